"""Spool files and RTP streams for tests: what the engine would write, byte by byte, on a clock of the test's own."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.kit.speech import Samples

START_NS = 1_767_225_600_000_000_000  # 2026-01-01
FRAME_MS = 20
FRAME_SAMPLES = 160
CODECS = {"payload_types": {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000"}}


def frame(kind: int, side: int, payload: bytes) -> bytes:
    covered = struct.pack("<BBI", kind, side, len(payload)) + payload
    return struct.pack("<H", 0xD5A5) + covered + struct.pack("<I", zlib.crc32(covered))


def document(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def meta_frame(**extra: Any) -> bytes:
    meta = {"recording_id": "ab" * 16, "segment": 1, "call_id": "call-1", "encoding": "audio/L16", "metadata": {}}
    return frame(1, 0, document({**meta, "started_ns": START_NS, **extra}))


def event_frame(ms: float, side: int, **body: Any) -> bytes:
    return frame(3, side, struct.pack("<Q", START_NS + int(ms * 1e6)) + document(body))


def end_frame(ms: float, reason: str = "stopped", tap_overflow: int = 0) -> bytes:
    body = document({"reason": reason, "tap_overflow": tap_overflow})
    return frame(4, 0, struct.pack("<Q", START_NS + int(ms * 1e6)) + body)


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
    marker: bool = False

    def encode(self) -> bytes:
        second = self.payload_type | (0x80 if self.marker else 0)
        numbers = self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc
        return struct.pack(">BBHII", 0x80, second, *numbers) + self.payload

    def frame(self) -> bytes:
        return frame(2, self.side, struct.pack("<Q", START_NS + int(self.arrival_ms * 1e6)) + self.encode())

    def later(self, ms: float) -> Rtp:
        return replace(self, arrival_ms=self.arrival_ms + ms)


def stream(
    side: int,
    payload: bytes,
    *,
    start_ms: float = 0.0,
    sequence: int = 0,
    timestamp: int = 0,
    payload_type: int = 0,
    ssrc: int = 0x1234,
    clock_ppm: float = 0.0,
) -> list[Rtp]:
    """A side that speaks ``payload`` (G.711) from ``start_ms`` on, in packets of 20 ms, over a perfect network."""
    pieces = [payload[at : at + FRAME_SAMPLES] for at in range(0, len(payload), FRAME_SAMPLES)]
    step_ms = FRAME_MS * (1 + clock_ppm / 1e6)
    return [
        Rtp(
            side,
            start_ms + index * step_ms,
            sequence + index,
            timestamp + index * FRAME_SAMPLES,
            piece,
            payload_type,
            ssrc,
        )
        for index, piece in enumerate(pieces)
    ]


def spool_bytes(packets: Iterable[Rtp], *events: bytes, end: bytes = b"", **meta: Any) -> bytes:
    """META, the codecs of both sides, further ``events`` (with a time each), packets by arrival, then ``end``."""
    codecs = b"".join(event_frame(0, side, event="codecs", **CODECS) for side in (0, 1))
    ordered = sorted(packets, key=lambda packet: packet.arrival_ms)
    frames = b"".join(packet.frame() for packet in ordered)
    return struct.pack("<8sHHI", b"MSDSPOOL", 1, 0, 0) + meta_frame(**meta) + codecs + b"".join(events) + frames + end


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def padded(samples: Samples) -> Samples:
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
