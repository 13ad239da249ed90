"""``python -m bench.reading``: what reading a SASF recording costs: opening and proving it, hearing all or a second.

CPU time of one core, and its ratio to hashing the file once with SHA-256, which is the least that proving it can cost.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Callable
from typing import Annotated, Final

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console
from rich.table import Table

from mediaserverd.audio.render import Rendering
from mediaserverd.protocol.sasf.header import Header, Suite
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.verify import verify
from mediaserverd.protocol.sasf.writer import SasfWriter

SUITES: Final[tuple[Suite, ...]] = ("clear", "aes-256-gcm")
_RECIPIENT: Final = X25519PrivateKey.generate()
_PACKET: Final = 160  # 20 ms of G.711, and as many units of SASF's clock
_PACKETS_PER_S: Final = 50
_BLOCK: Final = 60 * _PACKETS_PER_S * _PACKET
_CODECS: Final = {"event": "codecs", "payload_types": {"0": "PCMU/8000"}}


def recorded(suite: Suite, seconds: int) -> bytes:
    """Two sides of noise in G.711."""
    key = secrets.token_bytes(32) if suite == "aes-256-gcm" else None
    header = Header(
        file_id=secrets.token_bytes(16),
        recording_id=secrets.token_hex(16),
        segment=1,
        call_id="bench",
        created_ns=time.time_ns(),
        suite=suite,
        content="received",
        writer="bench",
    )
    target = io.BytesIO()
    recipients = [_RECIPIENT.public_key()] if key else []
    writer = SasfWriter(target, header, Ed25519PrivateKey.generate(), key, recipients)
    writer.add_meta({})
    for side in (0, 1):
        writer.add_event(0, side, _CODECS)
    noise = secrets.token_bytes(_PACKETS_PER_S * _PACKET)
    for number in range(seconds * _PACKETS_PER_S):
        at, start = number * _PACKET, number % _PACKETS_PER_S * _PACKET
        payload = noise[start : start + _PACKET]
        for side in (0, 1):
            writer.add_packet(Packet(side, at, 0, number & 0xFFFF, at, side, payload, False))
    writer.close(seconds * _PACKETS_PER_S * _PACKET, "stopped", {})
    return target.getvalue()


def measure(data: bytes, seconds: int, tries: int = 1) -> dict[str, float]:
    """CPU seconds by what was done, the best of so many tries."""
    middle_ms = seconds * 500

    def reader() -> SasfReader:
        return SasfReader(data, [_RECIPIENT])

    def proven_and_heard() -> None:
        proven = reader()
        assert verify(proven).ok
        heard = Rendering(proven.contents())
        for first in range(0, heard.frames, _BLOCK):
            heard.block(first, min(_BLOCK, heard.frames - first))
        assert heard.frames >= seconds * _PACKETS_PER_S * _PACKET

    def one_second() -> None:
        part = reader().contents(middle_ms, middle_ms + 1000)
        assert len(part.packets.sequence) == 2 * _PACKETS_PER_S

    steps: dict[str, Callable[[], object]] = {
        "hash": lambda: hashlib.sha256(data).digest(),
        "open": lambda: reader().seal,
        "verify": lambda: verify(reader()),
        "verify and decode": proven_and_heard,
        "one second of the middle": one_second,
    }
    return {name: min(_timed(step) for _ in range(tries)) for name, step in steps.items()}


def _timed(step: Callable[[], object]) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


def main(
    minutes: Annotated[int, typer.Option(help="How long the call is.", min=1, max=600)] = 60,
    tries: Annotated[int, typer.Option(help="How often each is measured.", min=1, max=10)] = 3,
) -> None:
    """What reading a recording costs."""
    for suite in SUITES:
        data = recorded(suite, minutes * 60)
        costs = measure(data, minutes * 60, tries)
        table = Table("", "CPU ms", "times hashing", title=f"{minutes} minutes, {len(data) / 1e6:.0f} MB, {suite}")
        for name, cost in costs.items():
            table.add_row(name, f"{cost * 1e3:.1f}", f"{cost / costs['hash']:.2f}")
        Console().print(table)


if __name__ == "__main__":
    typer.run(main)
