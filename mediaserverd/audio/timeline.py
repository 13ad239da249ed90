"""Where each packet of one side belongs on the recording's clock. Arrays in, arrays out; no audio.

An RTP timestamp says exactly how far apart two packets were spoken, but not when; the arrival says when, plus a delay
that is never negative. So each stretch of a source is mapped by a line under its arrivals: the least delayed packets
of every few seconds give the sender's drift (Theil-Sen: the median slope between any two of them, which neither jitter
nor a change of route bends), and what remains is followed slowly. Jitter then moves nothing. A stretch ends where the
timestamps jump.

A later arrival may mean a longer way, or a sender that lost a piece of its audio. RTCP sender reports tell which: they
hold a timestamp and the sender's own time. Where these two went evenly, only the wander of a crystal is followed.

Times are in units of 125 us. ``spoken`` is a timestamp as such a time, on the sender's clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Integers, SenderReport

Floats: TypeAlias = npt.NDArray[np.float64]

_MS: Final = UNITS_PER_SECOND // 1000
JUMP: Final = 200 * _MS  # timestamps and arrivals that disagree by more are no jitter of a usable call
ANCHOR_PACKETS: Final = 200  # looked at for an anchor: a burst of these makes up for a stall of 4 s at 20 ms
BACKLOG_PACE: Final = 4  # times as fast as it was spoken: nobody speaks so, what has waited is found so
STRAY_PACKETS: Final = 3  # fewer in a row off the anchor are strays, and the old anchor holds behind them
WINDOW: Final = 5 * UNITS_PER_SECOND  # 250 packets: among so many one meets an empty queue
MAX_WINDOWS: Final = 400  # pairs of them are compared
MIN_WINDOWS: Final = 6  # for less than half a minute a drift cannot be told from jitter, and does not matter
SPARSE: Final = 25  # packets; a window with fewer may have met no empty queue
DRIFT_LIMIT: Final = 0.02  # sound cards are within 0.01; beyond is no clock
DRIFT_DEADBAND: Final = 1 * _MS  # over a whole stretch; without drift samples are copied, not resampled
WANDER_DEADBAND: Final = 2 * _MS  # of what remains: smaller moves of the minimum are noise
WANDER_LIMIT: Final = 500e-6  # what remains is followed at this rate, which nobody hears
CRYSTAL_LIMIT: Final = 50e-6  # how much a crystal's rate may change with its temperature
STEADY: Final = 5 * _MS  # a sender's two clocks go evenly if nearly all its reports are within this
MIN_REPORTS: Final = 6  # half a minute of them (RFC 3550 6.2)
WANDER_WINDOWS: Final = 3  # looked at on each side for the least delay
_FAR: Final = 1e9  # beyond any stretch


@dataclass(frozen=True, slots=True)
class Source:
    """What one SSRC sent at one clock rate, as columns in the order of arrival. ``rows``: which packets these are."""

    rows: Integers
    arrival: Integers
    timestamp: Integers  # unwrapped
    duration: Integers  # in ticks of the clock, as the timestamp
    clock_rate: int


@dataclass(frozen=True, slots=True)
class Reports:
    """The sender reports of a source: its timestamps as times, and its own times, in units of 125 us."""

    spoken: Floats
    own: Floats

    @classmethod
    def of(cls, reports: Sequence[SenderReport], source: Source, first: int) -> Reports:
        """``first``: what the first timestamp was before it was unwrapped."""
        near = np.searchsorted(source.arrival, [report.at for report in reports]).clip(max=len(source.arrival) - 1)
        known = source.timestamp[near]
        half = 1 << 31
        steps = (np.array([report.rtp for report in reports], np.int64) - first - known + half) % (1 << 32) - half
        began = reports[0].ntp if reports else 0
        own = [(report.ntp - began) * UNITS_PER_SECOND / (1 << 32) for report in reports]
        return cls((known + steps) * (UNITS_PER_SECOND / source.clock_rate), np.array(own, np.float64))

    def say_steady(self, begin: float, end: float) -> bool:
        """Whether the sender's clocks went evenly from ``begin`` to ``end``; False if too little is known."""
        inside = (self.spoken >= begin - WINDOW) & (self.spoken <= end + WINDOW)
        spoken, ahead = self.spoken[inside], (self.own - self.spoken)[inside]
        if len(spoken) < MIN_REPORTS or np.ptp(spoken) < (end - begin) / 2:
            return False
        uneven = ahead - _slope(spoken[-MAX_WINDOWS:], ahead[-MAX_WINDOWS:]) * spoken
        return bool(np.mean(np.abs(uneven - np.median(uneven)) < STEADY) > 0.95)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a source without a jump: ``spoken`` maps to ``at`` along straight lines between the knots.

    ``rows`` and ``timestamp`` are in the order of the timestamps. ``errors``: at these times, how far the least delayed
    packets came from where the line has them.
    """

    rows: Integers
    timestamp: Integers
    clock_rate: int
    spoken: Floats
    at: Floats
    drift: float
    error_at: Floats
    errors: Floats

    def times(self, timestamp: Integers | Floats) -> Floats:
        return np.interp(timestamp.astype(np.float64) * (UNITS_PER_SECOND / self.clock_rate), self.spoken, self.at)


def unwrapped(counter: Integers, bits: int) -> Integers:
    """A counter of ``bits`` bits as a line that begins at 0: each step is taken as the shorter way round."""
    half = 1 << bits - 1
    steps = (np.diff(counter) + half) % (1 << bits) - half
    return np.concatenate((np.zeros(min(1, len(counter)), np.int64), np.cumsum(steps)))


def groups(key: Integers) -> list[Integers]:
    """Indices of each value of ``key``, in their order."""
    if len(key) and (key == key[0]).all():
        return [np.arange(len(key))]
    order = np.argsort(key, kind="stable")
    return [part for part in np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(part)]


def stretches(source: Source, reports: Reports, lead: float) -> list[Stretch]:
    """``lead``: how long a packet counts as, in units.

    A packet leaves when its last sample was spoken. Counted from there, packets of different lengths meet; ``lead``
    gives back the length of the shorter ones, so that the first packet of a recording is not cut off.
    """
    unit = UNITS_PER_SECOND / source.clock_rate
    spoken = source.timestamp.astype(np.float64) * unit
    offset = _without_backlog(source.arrival.astype(np.float64) - spoken - source.duration * unit + lead, spoken)
    return [
        stretch
        for start, end in _spans(offset)
        for stretch in _mapped(source, slice(start, end), spoken[start:end], offset[start:end], reports)
    ]


def _without_backlog(offset: Floats, spoken: Floats) -> Floats:
    """Packets that waited somewhere come all at once, and those behind them tell by how much that was late. If nothing
    is behind them (a server that was frozen wakes, and its phones are elsewhere), nothing does: they were spoken on the
    clock of what came before. A sender that stopped its clock sends at its own pace when it goes on."""
    starts = [*(np.flatnonzero(np.abs(np.diff(offset)) > JUMP) + 1).tolist(), len(offset)]
    found, before = offset, 0
    for start, end in itertools.pairwise(starts):
        anchor = float(found[max(before, start - ANCHOR_PACKETS) : start].min())
        run, took = float(spoken[end - 1] - spoken[start]), float((offset + spoken)[end - 1] - (offset + spoken)[start])
        if float(offset[start:end].min()) - anchor > JUMP and took * BACKLOG_PACE < run:
            found = offset.copy() if found is offset else found
            found[start:end] = anchor
        before = start
    return found


def _spans(offset: Floats) -> list[tuple[int, int]]:
    """Cuts a source where its timestamps jump. A stall of the network is no cut: its packets catch up by themselves."""
    starts = [0, *(np.flatnonzero(np.abs(np.diff(offset)) > JUMP) + 1).tolist(), len(offset)]
    spans: list[tuple[int, int]] = []
    anchor, strays = None, False
    for start, end in itertools.pairwise(starts):
        base = float(offset[start : min(end, start + ANCHOR_PACKETS)].min())
        same = anchor is not None and abs(base - anchor) <= JUMP
        if same and not strays:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
        strays = not same and anchor is not None and end - start < STRAY_PACKETS
        if not same and not strays:
            anchor = base
    return spans


@dataclass(frozen=True, slots=True)
class _Lows:
    """The least delayed packet of each window: when it was spoken, and how late it came. ``first``: of the window."""

    first: Integers
    spoken: Floats
    offset: Floats
    trusted: npt.NDArray[np.bool_]

    def part(self, chosen: slice) -> _Lows:
        return _Lows(self.first[chosen], self.spoken[chosen], self.offset[chosen], self.trusted[chosen])


def _mapped(source: Source, span: slice, spoken: Floats, offset: Floats, reports: Reports) -> Iterator[Stretch]:
    lows = _lows(source.arrival[span], spoken, offset)
    drift = _drift(lows.spoken[lows.trusted], lows.offset[lows.trusted])
    breaks = np.flatnonzero(np.abs(np.diff(lows.offset - drift * lows.spoken)) > JUMP) + 1
    rows, timestamp = source.rows[span], source.timestamp[span]
    for begin, end in itertools.pairwise([0, *breaks.tolist(), len(lows.first)]):
        first = lows.first[begin]
        last = lows.first[end] if end < len(lows.first) else len(rows)
        limit = CRYSTAL_LIMIT if reports.say_steady(spoken[first], spoken[last - 1]) else WANDER_LIMIT
        order = np.argsort(timestamp[first:last], kind="stable")
        placed = _Line(lows.part(slice(begin, end)), drift, limit)
        yield _stretch(rows[first:last][order], timestamp[first:last][order], source.clock_rate, placed)


def _lows(arrival: Integers, spoken: Floats, offset: Floats) -> _Lows:
    width = max(WINDOW, int(arrival[-1] - arrival[0]) // MAX_WINDOWS + 1)
    first = np.concatenate(([0], np.flatnonzero(np.diff(arrival // width)) + 1))
    counts = np.diff(np.append(first, len(arrival)))
    least = np.array(
        [start + int(offset[start : start + count].argmin()) for start, count in zip(first, counts, strict=True)]
    )
    trusted = counts >= SPARSE
    return _Lows(first, spoken[least], offset[least], trusted if trusted.any() else np.ones(len(first), bool))


def _drift(spoken: Floats, offset: Floats) -> float:
    """The median slope; 0 if it makes no difference over the whole stretch."""
    if len(spoken) < MIN_WINDOWS:
        return 0.0
    slope = _slope(spoken, offset)
    matters = abs(slope) * float(np.ptp(spoken)) >= DRIFT_DEADBAND
    return slope if matters and abs(slope) <= DRIFT_LIMIT else 0.0


def _slope(spoken: Floats, offset: Floats) -> float:
    one, other = np.triu_indices(len(spoken), 1)
    run = spoken[other] - spoken[one]
    rise = (offset[other] - offset[one])[run > 0]
    return float(np.median(rise / run[run > 0])) if len(rise) else 0.0


@dataclass(frozen=True, slots=True)
class _Line:
    """What a stretch is placed by; ``limit``: how fast what remains of ``lows`` beside ``drift`` is followed."""

    lows: _Lows
    drift: float
    limit: float


def _stretch(rows: Integers, timestamp: Integers, clock_rate: int, line: _Line) -> Stretch:
    lows, drift = line.lows, line.drift
    order = np.argsort(lows.spoken, kind="stable")
    spoken, offset = lows.spoken[order], lows.offset[order]
    remaining = offset - drift * spoken
    usable = np.flatnonzero(lows.trusted[order]) if lows.trusted.any() else np.arange(len(order))
    path = _followed(spoken[usable], _least_around(remaining[usable]), line.limit)
    path = np.round(path) if drift == 0.0 else path  # whole units are copied, not resampled
    errors = remaining[usable] - path
    at = spoken[usable] * (1 + drift) + path
    knots = _bends(path)
    known, times = spoken[usable][knots], at[knots]
    known = np.concatenate(([known[0] - _FAR], known, [known[-1] + _FAR]))
    times = np.concatenate(([times[0] - _FAR * (1 + drift)], times, [times[-1] + _FAR * (1 + drift)]))
    return Stretch(rows, timestamp, clock_rate, known, times, drift, at, errors)


def _least_around(values: Floats) -> Floats:
    padded = np.pad(values, WANDER_WINDOWS, constant_values=np.inf)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * WANDER_WINDOWS + 1).min(axis=1))


def _followed(spoken: Floats, targets: Floats, limit: float) -> Floats:
    """``targets``, no faster than ``limit``, and not at all for noise."""
    path = [float(targets[0])]
    for elapsed, target in zip(np.diff(spoken).tolist(), targets[1:].tolist(), strict=True):
        step = target - path[-1]
        most = max(0.0, elapsed) * limit
        path.append(path[-1] if abs(step) <= WANDER_DEADBAND else path[-1] + max(-most, min(most, step)))
    return np.array(path)


def _bends(path: Floats) -> Integers:
    """The first, the last, and where the path is not level."""
    level = np.diff(path) == 0
    kept = ~(np.append(level, True) & np.concatenate(([True], level)))
    kept[[0, -1]] = True
    return np.flatnonzero(kept)
