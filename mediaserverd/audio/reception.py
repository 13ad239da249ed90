"""What the sequence numbers of one side tell: what is missing, came twice, or late. Arrays in, arrays out.

An epoch is a time without a pause or an unreadable span: what is missing across its border was not lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio.timeline import JUMP, groups, unwrapped
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Integers, Packets

Flags: TypeAlias = npt.NDArray[np.bool_]

_ROUNDED: Final = UNITS_PER_SECOND // 1000  # spans are in whole milliseconds
MAX_DROPOUT: Final = 3000  # a larger step of the sequence number is a restart, not loss (RFC 3550 A.1)


@dataclass(frozen=True, slots=True)
class Reception:
    """Columns: ``sequence`` unwrapped, ``rank`` among the received of its SSRC, ``first`` of its kind: no duplicate."""

    sequence: Integers
    rank: Integers
    first: Flags
    expected: int
    received: int
    late: int
    ssrc_changes: int

    @property
    def lost(self) -> int:
        return self.expected - self.received

    @property
    def duplicates(self) -> int:
        return len(self.first) - int(np.count_nonzero(self.first))


def reception(packets: Packets, epoch: Integers) -> Reception:
    count = len(packets)
    sequence, rank, first = np.zeros(count, np.int64), np.zeros(count, np.int64), np.ones(count, bool)
    expected = late = 0
    for chosen in groups(packets.ssrc):
        line = unwrapped(packets.sequence[chosen], 16)
        sequence[chosen] = line
        if (np.diff(line) <= 0).any():
            first[chosen] = _first_of_each(line, packets.timestamp[chosen])
        kept = chosen[first[chosen]]
        order = kept[np.argsort(sequence[kept], kind="stable")]
        rank[order] = np.arange(len(order))
        expected += _expected(sequence[order], epoch[order])
        late += int(np.count_nonzero(sequence[kept] < np.maximum.accumulate(sequence[kept])))
    received = int(np.count_nonzero(first))
    changes = int(np.count_nonzero(np.diff(packets.ssrc)))
    return Reception(sequence, rank, first, max(expected, received), received, late, changes)


def jitter_ms(arrival: Integers, spoken: npt.NDArray[np.float64]) -> float:
    """The interarrival jitter of RFC 3550 6.4.1, over all packets and not as it stood at the end."""
    steps = np.abs(np.diff(arrival - spoken))
    steps = steps[steps < JUMP]
    return float(steps.mean()) * 1000 / UNITS_PER_SECOND if len(steps) else 0.0


def _first_of_each(sequence: Integers, timestamp: Integers) -> Flags:
    order = np.lexsort((np.arange(len(sequence)), timestamp, sequence))
    again = (np.diff(sequence[order]) == 0) & (np.diff(timestamp[order]) == 0)
    first = np.ones(len(sequence), bool)
    first[order[1:][again]] = False
    return first


def _expected(sequence: Integers, epoch: Integers) -> int:
    """Of one SSRC in the order of the sequence numbers: how many there must have been."""
    steps = np.diff(sequence)
    counted = (steps <= MAX_DROPOUT) & (np.diff(epoch) == 0)
    return len(sequence) + int((steps[counted] - 1).clip(min=0).sum())


def outage(sent: Packets, start: int, end: int) -> bool:
    """Whether most of what this side sent was lost while nothing came, from ``start`` to ``end``, in units."""
    before, behind = np.flatnonzero(sent.arrival < start + _ROUNDED), np.flatnonzero(sent.arrival >= end)
    if not len(before) or not len(behind):
        return False
    last, first = before[-1], behind[0]
    missing = int(sent.sequence[first] - sent.sequence[last]) % (1 << 16) - 1
    if sent.ssrc[first] != sent.ssrc[last] or not 0 < missing <= MAX_DROPOUT:
        return False
    return missing * float(np.median(np.diff(sent.arrival))) > (end - start) / 2
