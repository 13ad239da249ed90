"""Running files of recordings for tests: what the engine would write, on a clock of the test's own."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.keys import PublicKey
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.writer import SasfWriter
from tests.kit.speech import Samples

START_NS = 1_767_225_600_000_000_000  # 2026-01-01
FRAME_MS = 20
FRAME_SAMPLES = 160
UNITS_PER_MS = 8
CODECS = {"payload_types": {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000"}}
SIGNER = Ed25519PrivateKey.generate()
RECIPIENT = X25519PrivateKey.generate()


@dataclass(frozen=True, slots=True)
class Rtp:
    """One packet and when it arrived, in ms since the start."""

    side: int
    arrival_ms: float
    sequence: int
    timestamp: int
    payload: bytes
    payload_type: int = 0
    ssrc: int = 0x1234

    def record(self) -> Packet:
        return Packet(
            self.side, int(self.arrival_ms * UNITS_PER_MS), self.payload_type, self.sequence & 0xFFFF,
            self.timestamp & 0xFFFFFFFF, self.ssrc, self.payload,
        )  # fmt: skip


def stream(side: int, payload: bytes) -> list[Rtp]:
    """A side that speaks ``payload`` (G.711) from the start, in packets of 20 ms, over a perfect network."""
    pieces = [payload[at : at + FRAME_SAMPLES] for at in range(0, len(payload), FRAME_SAMPLES)]
    return [Rtp(side, index * FRAME_MS, index, index * FRAME_SAMPLES, piece) for index, piece in enumerate(pieces)]


@dataclass(frozen=True, slots=True)
class RunningFile:
    """A file as the engine leaves it. ``end_ms`` None: it never ended."""

    packets: Sequence[Rtp]
    end_ms: int | None = None
    reason: str = "stopped"
    recording_id: str = "ab" * 16
    segment: int = 1
    format: str = "sasf"
    encoding: str = "audio/L16"
    recipients: Sequence[PublicKey] = ()  # none: in clear
    metadata: Any = field(default_factory=dict)
    signer: Ed25519PrivateKey = SIGNER

    def encode(self) -> bytes:
        target = io.BytesIO()
        encrypted = bool(self.recipients)
        header = Header(
            file_id=bytes(range(16)), recording_id=self.recording_id, segment=self.segment, call_id="call-1",
            created_ns=START_NS, suite="aes-256-gcm" if encrypted else "clear", content="received", writer="media-1",
        )  # fmt: skip
        writer = SasfWriter(target, header, self.signer, bytes(range(32)) if encrypted else None, self.recipients)
        writer.add_meta({"format": self.format, "encoding": self.encoding, "metadata": self.metadata})
        for side in (0, 1):
            writer.add_event(0, side, {"event": "codecs", **CODECS})
        for packet in sorted(self.packets, key=lambda each: each.arrival_ms):
            writer.add_packet(packet.record())
        if self.end_ms is None:
            writer.flush()
        else:
            writer.close(self.end_ms * UNITS_PER_MS, self.reason, {"tap_overflow": 0})
        return target.getvalue()


def identity_file(directory: Path) -> Path:
    """``SIGNER`` as the media server keeps it."""
    path = directory / "media-identity.pem"
    path.write_bytes(SIGNER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def padded(samples: Samples) -> Samples:
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
