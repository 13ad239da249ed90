"""Recordings for tests: RTP streams over a simulated network, as the contents of a file, on the test's own clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from mediaserverd.protocol.sasf.contents import Contents, Event, Packets, SenderReport, Span
from tests.kit.speech import Samples

FRAME_MS: Final = 20
FRAME_SAMPLES: Final = 160
CODECS: Final = {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000"}


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

    def later(self, ms: float) -> Rtp:
        return replace(self, arrival_ms=self.arrival_ms + ms)


def event(ms: float, side: int, name: str, **body: Any) -> Event:
    return Event(units(ms), side, {"event": name, **body})


def codecs(payload_types: dict[str, str], *, side: int = 0, ms: float = 0) -> Event:
    return event(ms, side, "codecs", payload_types=payload_types)


def units(ms: float) -> int:
    return round(ms * 8)


def packetized(
    side: int,
    payloads: Sequence[bytes],
    *,
    ticks: int = FRAME_SAMPLES,
    frame_ms: float = FRAME_MS,
    start_ms: float = 0.0,
    sequence: int = 0,
    timestamp: int = 0,
    payload_type: int = 0,
    ssrc: int = 0x1234,
    clock_ppm: float = 0.0,
) -> list[Rtp]:
    """A side that sends ``payloads`` from ``start_ms`` on, over a perfect network; ``clock_ppm``: its clock is fast."""
    step_ms = frame_ms / (1 + clock_ppm / 1e6)
    return [
        Rtp(side, start_ms + i * step_ms, sequence + i, timestamp + i * ticks, payload, payload_type, ssrc)
        for i, payload in enumerate(payloads)
    ]


def stream(side: int, octets: bytes, **options: Any) -> list[Rtp]:
    """As ``packetized``, of G.711 in packets of 20 ms."""
    return packetized(side, [octets[at : at + FRAME_SAMPLES] for at in range(0, len(octets), FRAME_SAMPLES)], **options)


def contents(
    packets: Iterable[Rtp],
    *events: Event,
    duration_ms: float,
    closed: bool = True,
    tap_overflow: int = 0,
    reports: Sequence[SenderReport] = (),
    unreadable: Sequence[Span] = (),
) -> Contents:
    """What a reader makes of a file with these packets, by arrival; both sides know G.711 from the beginning."""
    ordered = sorted(packets, key=lambda packet: units(packet.arrival_ms))
    lengths = np.array([len(packet.payload) for packet in ordered], np.int64)
    known = [codecs(CODECS, side=side) for side in (0, 1)]
    end = Event(units(duration_ms), 0, {"reason": "stopped", "tap_overflow": tap_overflow})

    def column(values: Iterable[int]) -> Any:
        return np.fromiter(values, np.int64, len(ordered))

    return Contents(
        meta={},
        packets=Packets(
            side=column(packet.side for packet in ordered),
            arrival=column(units(packet.arrival_ms) for packet in ordered),
            payload_type=column(packet.payload_type for packet in ordered),
            marker=np.zeros(len(ordered), np.int64),
            sequence=column(packet.sequence & 0xFFFF for packet in ordered),
            timestamp=column(packet.timestamp & 0xFFFFFFFF for packet in ordered),
            ssrc=column(packet.ssrc for packet in ordered),
            start=np.cumsum(lengths) - lengths,
            length=lengths,
        ),
        events=tuple(sorted([*known, *events], key=lambda each: each.at)),
        sender_reports=tuple(reports),
        end=end if closed else None,
        duration=units(duration_ms),
        unreadable=tuple(unreadable),
        data=np.frombuffer(b"".join(packet.payload for packet in ordered), np.uint8),
    )


def padded(samples: Samples, frame: int = FRAME_SAMPLES) -> Samples:
    return samples[: len(samples) // frame * frame]
