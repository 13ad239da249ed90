"""SASF files as a media server would have written them, for a recorder to fetch: two voices in PCMU."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.keys import PublicKey, load_public
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.writer import SasfWriter
from mediaserverd.recorder.keyfiles import public_pem
from tests.kit.g711 import PCMU
from tests.kit.speech import Samples, speech
from tests.recorder.media_server import File, whole_call
from tests.recorder.site import Site

FRAME = 160
UNITS_PER_S = 8000
CALLING_SEED, CALLED_SEED = 1, 2


@dataclass
class Pen:
    """A media server's identity, trusted by the site's recorder, and the recipients that it finds there."""

    site: Site
    signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        (self.site.settings.keys_directory / "signers" / "media.pem").write_bytes(public_pem(self.signer.public_key()))

    def recipients(self) -> list[PublicKey]:
        directory = self.site.settings.keys_directory / "recipients"
        return [load_public(path.read_bytes()) for path in sorted(directory.glob("*.pem"))]

    def add(self, *, seconds: float = 2.0, encrypted: bool = True, spoil_at: int = 0, **report: Any) -> File:
        """A finished file on the site's media server. ``spoil_at``: the byte that is wrong in it; ``meta`` as below."""
        recording_id = report.pop("recording_id", "") or secrets.token_hex(16)
        meta, segment = report.pop("meta", None), report.pop("segment", 1)
        content = bytearray(
            report.pop("content", None)
            or sasf(recording_id, self.signer, self.recipients(), seconds, encrypted, meta, segment=segment)
        )
        if spoil_at:
            content[spoil_at] ^= 1
        media_type = "application/vnd.mediaserverd.sasf"
        return self.site.media.add(
            recording_id, segment, content=bytes(content), suffix=".sasf", media_type=media_type, **report
        )


async def stored(pen: Pen, file: File, sequence: int = 1) -> str:
    """Its recording id, once the call is announced, and the file stored and gone from its source."""
    recording_id: str = file.report["recording_id"]
    await pen.site.ledger(whole_call(sequence, recording_id, file=file.report["file"]))
    await pen.site.until_gone_from_source(recording_id)
    return recording_id


def sasf(
    recording_id: str,
    signer: Ed25519PrivateKey,
    recipients: Sequence[PublicKey],
    seconds: float = 2.0,
    encrypted: bool = True,
    meta: Mapping[str, Any] | None = None,
    closed: bool = True,
    segment: int = 1,
) -> bytes:
    """``meta``: what is in its META beyond, or other than, the usual. ``closed``: else its writer died."""
    target = io.BytesIO()
    header = Header(
        file_id=secrets.token_bytes(16),
        recording_id=recording_id,
        segment=segment,
        call_id="a84b4c76e66710",
        created_ns=1_767_323_045_000_000_000,
        suite="aes-256-gcm" if encrypted else "clear",
        content="received",
        writer="media",
    )
    writer = SasfWriter(target, header, signer, secrets.token_bytes(32) if encrypted else None, recipients)
    writer.add_meta({"encoding": "audio/opus", "metadata": {}, **(meta or {})})
    voices = [voice(seed, seconds) for seed in (CALLING_SEED, CALLED_SEED)]
    for side in (0, 1):
        writer.add_event(0, side, {"event": "codecs", "payload_types": {"0": "PCMU/8000"}})
    for number in range(len(voices[0]) // FRAME):
        for side, samples in enumerate(voices):
            payload = PCMU.encode(samples[number * FRAME : (number + 1) * FRAME])
            at = (number + 1) * FRAME
            writer.add_packet(Packet(side, at, 0, number, number * FRAME, 0x1000 + side, bytes(payload)))
    if closed:
        writer.close(int(seconds * UNITS_PER_S), "call-ended", {"tap_overflow": 0, "sides": [{}, {}]})
    else:
        writer.flush()
    return target.getvalue()


def voice(seed: int, seconds: float) -> Samples:
    return speech(seed, seconds)
