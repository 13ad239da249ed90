"""What is in a recording once its records are read: packets as columns, events, sender reports.

The one form in which recordings reach whatever renders or judges them. Not responsible for bytes (``records``), keys or
signatures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

UNITS_PER_SECOND: Final = 8000  # times in a file; 125 microseconds

Bytes: TypeAlias = npt.NDArray[np.uint8]
Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Event:
    """``at``: time since the start of the file in units of 125 us. ``side``: 0 calling, 1 called."""

    at: int
    side: int
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.body.get("event", ""))


@dataclass(frozen=True, slots=True)
class SenderReport:
    """Of an RTCP SR (RFC 3550 6.4.1): at ``ntp`` (32.32 seconds since 1900) the sender's clock stood at ``rtp``."""

    at: int
    side: int
    ssrc: int
    ntp: int
    rtp: int


@dataclass(frozen=True, slots=True)
class Packets:
    """RTP packets as columns of equal length, in the order of arrival.

    ``arrival`` in units of 125 us since the start of the file; ``start`` and ``length``: where in ``Contents.data`` the
    payload lies.
    """

    side: Integers
    arrival: Integers
    payload_type: Integers
    marker: Integers
    sequence: Integers
    timestamp: Integers
    ssrc: Integers
    start: Integers
    length: Integers

    def __len__(self) -> int:
        return len(self.side)

    def where(self, chosen: npt.NDArray[np.bool_] | Integers) -> Packets:
        return Packets(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the file, in units of 125 us, that could not be read: its audio is unknown, not silent."""

    start: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class Contents:
    """``duration``: in units of 125 us. ``end`` is None in a file that was not closed."""

    meta: Mapping[str, Any]
    packets: Packets
    events: tuple[Event, ...]
    sender_reports: tuple[SenderReport, ...]
    end: Event | None
    duration: int
    unreadable: tuple[Span, ...]
    data: Bytes
