"""Files to read, and the keys that they are for. The same keys in every test, fresh file keys in every file."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mediaserverd.protocol.sasf.contents import Contents
from mediaserverd.protocol.sasf.header import Header, Suite
from mediaserverd.protocol.sasf.keys import PublicKey
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.writer import SasfWriter

SIGNER: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER_PUBLIC: Final = SIGNER.public_key().public_bytes_raw()
RECIPIENT: Final = X25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
ESCROW: Final = X25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
STRANGER: Final = X25519PrivateKey.from_private_bytes(bytes(range(96, 128)))
HSM: Final = rsa.generate_private_key(public_exponent=65537, key_size=3072)

META: Final = {"encoding": "audio/opus", "metadata": {"calling": "101", "called": "202"}}
CODECS: Final = {"event": "codecs", "payload_types": {"0": "PCMU/8000"}}
SUITES: Final[tuple[Suite, ...]] = ("aes-256-gcm", "clear")


def header(suite: Suite, seed: int = 1) -> Header:
    return Header(
        file_id=random.Random(seed).randbytes(16),
        recording_id="ab" * 16,
        segment=1,
        call_id="a call",
        created_ns=1_750_000_000_000_000_000,
        suite=suite,
        content="received",
        writer="media-1",
    )


def writer(
    target: io.BytesIO,
    suite: Suite,
    seed: int = 1,
    recipients: Sequence[PublicKey] = (RECIPIENT.public_key(),),
    chunk_ms: int = 400,
) -> SasfWriter:
    key = None if suite == "clear" else random.Random(seed + 1).randbytes(32)
    return SasfWriter(target, header(suite, seed), SIGNER, key, recipients if key else (), chunk_ms=chunk_ms)


def talk(count: int, seed: int = 1, payload_bytes: int = 160) -> list[Packet]:
    """Both sides, 20 ms apart, with jitter, loss and a bit of everything that a packet can differ in."""
    dice = random.Random(seed)
    ssrc = [dice.randrange(1 << 32), dice.randrange(1 << 32)]
    sequence, timestamp = [65530, 0], [0xFFFFFF00, 5]
    packets: list[Packet] = []
    for place in range(count):
        side = place % 2
        lost = dice.choice((0,) * 20 + (1, 3))
        sequence[side] = sequence[side] + 1 + lost & 0xFFFF
        timestamp[side] = timestamp[side] + 160 * (1 + lost) & 0xFFFFFFFF
        size = dice.choice((payload_bytes,) * 9 + (4,))
        arrival = (place // 2) * 160 + dice.randrange(30)
        packets.append(
            Packet(side, arrival, dice.choice((0,) * 12 + (101,)), sequence[side], timestamp[side], ssrc[side],
                   dice.randbytes(size), dice.random() < 0.05)
        )  # fmt: skip
    return packets


def written(suite: Suite, packets: Sequence[Packet], seed: int = 1, *, closed: bool = True) -> bytes:
    """META, one codecs event a side, the packets, a sender report every 5 s, END."""
    target = io.BytesIO()
    made = writer(target, suite, seed)
    made.add_meta(META)
    for side in (0, 1):
        made.add_event(0, side, CODECS)
    for place, packet in enumerate(packets):
        made.add_packet(packet)
        if place % 500 == 499:
            made.add_sender_report(packet.arrival, packet.side, packet.ssrc, 0xE000_0000_0000_0000 + place, place)
    if closed:
        end = max((packet.arrival for packet in packets), default=0) + 160
        made.close(end, "call-ended", {"tap_overflow": 0, "sides": [{"packets": 1}, {"packets": 2}]})
    else:
        made.flush()
    return target.getvalue()


def packets_of(contents: Contents) -> list[Packet]:
    """As they were given to the writer."""
    columns, data = contents.packets, contents.data.tobytes()
    return [
        Packet(side, arrival, kind, sequence, timestamp, ssrc, data[start : start + length], bool(marker))
        for side, arrival, kind, marker, sequence, timestamp, ssrc, start, length in zip(
            *(getattr(columns, name).tolist() for name in columns.__slots__), strict=True
        )
    ]
