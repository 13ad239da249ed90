"""The records of many chunks at once, as columns.

Each chunk can be decoded alone, so all are decoded in step: the first record of each, then the second of each, with one
numpy operation for all. An hour of two-sided G.711 is 9000 chunks of 40 packets: 40 steps instead of 360,000 records.
What is left when few chunks have records left, and what seems broken, ``records`` decodes one after the other; it has
the last word.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mediaserverd.protocol.sasf import records
from mediaserverd.protocol.sasf.contents import Bytes, Integers
from mediaserverd.protocol.sasf.records import COLUMNS, MAX_TIME, VARINT_BYTES, BrokenRecords, Record

MIN_LANES: Final = 64  # below this a step (some 100 us) costs more than its records one by one (1.5 us each)
_BEYOND: Final = 1 << 61  # an offset behind every chunk: whoever stands there is broken


@dataclass(frozen=True, slots=True)
class Unpacked:
    """``columns``: COLUMNS rows, one number a packet in each. ``broken``: bodies that break the rules, and how."""

    columns: Integers
    others: tuple[Record, ...]
    broken: tuple[tuple[int, str], ...]


def unpack_bodies(data: memoryview, starts: Sequence[int], lengths: Sequence[int]) -> Unpacked:
    """What ``records.unpack`` makes of each body, in their order; nothing of the broken ones."""
    starting = np.array(starts, np.int64)
    ending = starting + np.array(lengths, np.int64)
    lockstep = _Lockstep(np.frombuffer(data, np.uint8), starting, ending)
    lockstep.run()
    rows, bodies, others, broken = array("q"), array("q"), lockstep.others, []
    for body in lockstep.left:
        kept, found = len(rows), list[Record]()
        try:
            records.unpack(data, int(starting[body]), int(ending[body]), rows, found)
        except BrokenRecords as fault:
            del rows[kept:]
            broken.append((body, str(fault)))
            continue
        bodies.extend([body] * ((len(rows) - kept) // COLUMNS))
        others += [(body, record) for record in found]
    columns = _in_order(lockstep, np.frombuffer(rows, np.int64).reshape(-1, COLUMNS), np.frombuffer(bodies, np.int64))
    others.sort(key=lambda other: (other[0], other[1].start))
    return Unpacked(columns, tuple(record for _, record in others), tuple(broken))


def _in_order(lockstep: _Lockstep, rows: Integers, bodies: Integers) -> Integers:
    """One after the other and in step, put together in the order of the file."""
    if not lockstep.steps:
        return np.ascontiguousarray(rows.T)
    lanes = np.concatenate([*(step[0] for step in lockstep.steps), bodies])
    order = np.argsort(lanes, kind="stable")
    left = np.zeros(lockstep.count, np.bool_)
    left[lockstep.left] = True
    keep = np.ones(len(lanes), np.bool_)
    keep[: len(lanes) - len(bodies)] = ~left[lanes[: len(lanes) - len(bodies)]]
    order = order[keep[order]]
    made = np.empty((COLUMNS, len(order)), np.int64)
    for place in range(COLUMNS):
        column = np.concatenate([*(step[1 + place] for step in lockstep.steps), rows[:, place]])
        made[place] = column[order]
    return made


class _Lockstep:
    """Lanes are bodies. A column of state holds a number for each lane and side: ``lane`` + ``count`` x side."""

    def __init__(self, data: Bytes, starts: Integers, ends: Integers) -> None:
        self.count = len(starts)
        self.steps: list[tuple[Integers, ...]] = []  # lane and the COLUMNS of one packet each
        self.others: list[tuple[int, Record]] = []
        self.left: list[int] = []
        self._data = data
        self._last = max(0, len(data) - 1)
        self._at = starts.copy()
        self._end = ends
        self._known = np.zeros(2 * self.count, np.bool_)
        self._kind, self._sequence, self._timestamp, self._ssrc = self._columns(4)
        self._arrival, self._cadence, self._length, self._step = self._columns(4)

    def run(self) -> None:
        lane = np.flatnonzero(self._at < self._end)
        while len(lane) >= MIN_LANES:
            first = self._data[self._at[lane]].astype(np.int64)
            packet = first >= records.PACKET
            full = (first & records.FULL != 0) & packet
            self._full(lane[full], first[full])
            follows = packet & ~full
            self._following(lane[follows], first[follows])
            self._other(lane[~packet], first[~packet])
            lane = lane[self._at[lane] < self._end[lane]]
        self.left = sorted({*lane.tolist(), *np.flatnonzero(self._at > self._end).tolist()})
        broken = set(self.left)
        self.others = [other for other in self.others if other[0] not in broken]

    def _columns(self, how_many: int) -> list[Integers]:
        return [np.zeros(2 * self.count, np.int64) for _ in range(how_many)]

    def _full(self, lane: Integers, first: Integers) -> None:
        if not len(lane):
            return
        state = self._state(lane, first)
        at = self._at[lane] + 1
        for column, size in ((self._kind, 1), (self._sequence, 2), (self._timestamp, 4), (self._ssrc, 4)):
            column[state] = self._number(at, size)
            at += size
        self._arrival[state], at = self._varint(at)
        cadence, at = self._varint(at)
        at[cadence >= MAX_TIME] = _BEYOND
        self._cadence[state] = cadence
        self._length[state], at = self._varint(at)
        self._step[state] = 0
        self._known[state] = True
        self._packet(lane, first, state, at)

    def _following(self, lane: Integers, first: Integers) -> None:
        if not len(lane):
            return
        state = self._state(lane, first)
        at = self._at[lane] + 1
        at[~self._known[state]] = _BEYOND
        self._given(first & records.STEP != 0, self._step, state, at, signed=True)
        skipped = np.zeros(2 * self.count, np.int64)
        self._given(first & records.SEQUENCE != 0, skipped, state, at, signed=True)
        late, at = self._varint(at)
        self._given(first & records.LENGTH != 0, self._length, state, at, signed=False)
        self._sequence[state] = self._sequence[state] + 1 + skipped[state] & 0xFFFF
        self._timestamp[state] = self._timestamp[state] + self._step[state] & 0xFFFFFFFF
        self._arrival[state] += self._cadence[state] + _signed(late)
        self._packet(lane, first, state, at)

    def _given(
        self, which: npt.NDArray[np.bool_], column: Integers, state: Integers, at: Integers, *, signed: bool
    ) -> None:
        """A field that only some packets have; the others go on with what is in the column."""
        if not which.any():
            return
        value, at[which] = self._varint(at[which])
        column[state[which]] = _signed(value) if signed else value

    def _packet(self, lane: Integers, first: Integers, state: Integers, at: Integers) -> None:
        arrival, length = self._arrival[state], self._length[state]
        at[(arrival < 0) | (arrival >= MAX_TIME)] = _BEYOND
        self._at[lane] = at + np.minimum(length, _BEYOND)
        self.steps.append((
            lane, first >> 6 & 1, arrival, self._kind[state], first >> 4 & 1, self._sequence[state],
            self._timestamp[state], self._ssrc[state], at, length,
        ))  # fmt: skip

    def _other(self, lane: Integers, first: Integers) -> None:
        if not len(lane):
            return
        time, at = self._varint(self._at[lane] + 1)
        length, at = self._varint(at)
        at[time >= MAX_TIME] = _BEYOND
        self._at[lane] = at + np.minimum(length, _BEYOND)
        kind, side = first & records.KIND_BITS, first >> 6 & 1
        self.others += [
            (body, Record(*fields))
            for body, *fields in zip(*(each.tolist() for each in (lane, kind, side, time, at, length)), strict=True)
        ]

    def _state(self, lane: Integers, first: Integers) -> Integers:
        return lane + self.count * (first >> 6 & 1)

    def _bytes(self, at: Integers) -> Integers:
        """What stands there; anything behind the data: whoever reads there ends behind its chunk, and is broken."""
        return self._data[np.minimum(at, self._last)].astype(np.int64)

    def _number(self, at: Integers, size: int) -> Integers:
        value = self._bytes(at)
        for place in range(1, size):
            value |= self._bytes(at + place) << 8 * place
        return value

    def _varint(self, at: Integers) -> tuple[Integers, Integers]:
        byte = self._bytes(at)
        value, behind = byte & 0x7F, at + 1
        longer = np.flatnonzero(byte & 0x80)
        for place in range(1, VARINT_BYTES):
            if not len(longer):
                return value, behind
            byte = self._bytes(behind[longer])
            value[longer] |= (byte & 0x7F) << 7 * place
            behind[longer] += 1
            longer = longer[byte & 0x80 != 0]
        behind[longer] = _BEYOND
        return value, behind


def _signed(zigzag: Integers) -> Integers:
    return (zigzag >> 1) ^ -(zigzag & 1)
