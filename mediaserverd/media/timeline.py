"""Where each packet of one side belongs on the recording's timeline. Arrays in, arrays out; no audio, no files.

An RTP timestamp says exactly how far apart two packets were spoken, but not when; the arrival says when, plus a delay
that is never negative. So a source is anchored at its least delayed packets: position = timestamp + min(arrival -
timestamp). Jitter then moves nothing. The anchor follows the drift of the sender's clock, and is taken anew where the
timestamps jump.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mediaserverd.media.spool import Integers, Packets

SAMPLE_RATE: Final = 8000
SAMPLE_NS: Final = 1_000_000_000 // SAMPLE_RATE

JUMP_NS: Final = 200_000_000  # timestamps and arrivals that disagree by more are no jitter of a usable call
ANCHOR_PACKETS: Final = 200  # looked at for an anchor: a burst of these makes up for a stall of 4 s at 20 ms
STRAY_PACKETS: Final = 3  # fewer in a row off the anchor are strays, and the old anchor holds behind them
DRIFT_WINDOW_NS: Final = 10_000_000_000  # 500 packets: among so many one meets an empty queue
DRIFT_DEADBAND_NS: Final = 1_000_000  # smaller moves of the minimum are noise, not drift
DRIFT_LIMIT_PPM: Final = 500  # crystals are within 100; more is a change of route, followed slowly
MAX_DROPOUT: Final = 3000  # a larger step of the sequence number is a restart, not loss (RFC 3550 A.1)


@dataclass(frozen=True, slots=True)
class Reception:
    """What the sequence numbers of one side tell."""

    packets: int
    lost: int
    duplicates: int
    ssrc_changes: int
    jitter_ms: float


def received(packets: Packets) -> tuple[Reception, npt.NDArray[np.bool_]]:
    """The reception of one side, and which packets are the first of their kind (no duplicates)."""
    first = np.ones(len(packets), bool)
    lost, jitters = 0, []
    for chosen in _by_source(packets.ssrc):
        sequence = _unwrapped(packets.sequence[chosen], 16)
        timestamp = _unwrapped(packets.timestamp[chosen], 32)
        first[chosen] = _first_of_each(sequence, timestamp)
        lost += _lost(sequence)
        jitters.append((len(chosen), _jitter_ns(packets.arrival_ns[chosen], timestamp)))
    changes = int(np.count_nonzero(np.diff(packets.ssrc)))
    jitter_ns = max(jitters)[1] if jitters else 0.0  # of the source that said most
    return Reception(len(packets), lost, int(np.count_nonzero(~first)), changes, round(jitter_ns / 1e6, 3)), first


def positions(packets: Packets, origin_ns: int) -> Integers:
    """The first sample of each packet, counted from ``origin_ns`` at 8 kHz. May be negative."""
    placed = np.zeros(len(packets), np.int64)
    for chosen in _by_source(packets.ssrc):
        spoken_ns = _unwrapped(packets.timestamp[chosen], 32) * SAMPLE_NS
        anchor_ns = _anchors(packets.arrival_ns[chosen] - origin_ns, spoken_ns)
        placed[chosen] = (spoken_ns + anchor_ns + SAMPLE_NS // 2) // SAMPLE_NS
    return placed


def _by_source(ssrc: Integers) -> list[Integers]:
    """Indices of each SSRC, in the order of arrival."""
    order = np.argsort(ssrc, kind="stable")
    return [part for part in np.split(order, np.flatnonzero(np.diff(ssrc[order])) + 1) if len(part)]


def _unwrapped(counter: Integers, bits: int) -> Integers:
    """A counter of ``bits`` bits as a line that begins at 0: each step is taken as the shorter way round."""
    half = 1 << bits - 1
    steps = (np.diff(counter) + half) % (1 << bits) - half
    return np.concatenate((np.zeros(min(1, len(counter)), np.int64), np.cumsum(steps)))


def _first_of_each(sequence: Integers, timestamp: Integers) -> npt.NDArray[np.bool_]:
    order = np.lexsort((np.arange(len(sequence)), timestamp, sequence))
    again = (np.diff(sequence[order]) == 0) & (np.diff(timestamp[order]) == 0)
    first = np.ones(len(sequence), bool)
    first[order[1:][again]] = False
    return first


def _lost(sequence: Integers) -> int:
    runs = np.split(sequence, np.flatnonzero(np.abs(np.diff(sequence)) > MAX_DROPOUT) + 1)
    return sum(int(run.max() - run.min()) + 1 - len(np.unique(run)) for run in runs)


def _jitter_ns(arrival_ns: Integers, timestamp: Integers) -> float:
    """The interarrival jitter of RFC 3550 6.4.1 as it stood at the end."""
    transit_steps = np.abs(np.diff(arrival_ns - timestamp * SAMPLE_NS))
    jitter = 0.0
    for step in transit_steps[transit_steps < JUMP_NS].tolist():
        jitter += (step - jitter) / 16
    return jitter


def _anchors(arrival_ns: Integers, spoken_ns: Integers) -> Integers:
    """For each packet of one source what to add to its spoken time."""
    offset = arrival_ns - spoken_ns
    anchors = np.empty(len(offset), np.int64)
    for start, end in _spans(offset):
        anchors[start:end] = _drifting_anchor(arrival_ns[start:end], spoken_ns[start:end], offset[start:end])
    return anchors


def _spans(offset: Integers) -> list[tuple[int, int]]:
    """Cuts a source where its timestamps jump. A stall of the network is no cut: its packets catch up by themselves."""
    starts = [0, *(np.flatnonzero(np.abs(np.diff(offset)) > JUMP_NS) + 1).tolist(), len(offset)]
    spans: list[tuple[int, int]] = []
    anchor, strays = None, False
    for start, end in itertools.pairwise(starts):
        base = int(offset[start : min(end, start + ANCHOR_PACKETS)].min())
        same = anchor is not None and abs(base - anchor) <= JUMP_NS
        if same and not strays:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
        strays = not same and anchor is not None and end - start < STRAY_PACKETS
        if not same and not strays:
            anchor = base
    return spans


def _drifting_anchor(arrival_ns: Integers, spoken_ns: Integers, offset: Integers) -> Integers:
    """The lower envelope of ``offset``: per window its minimum, followed no faster than a clock can drift."""
    window = (arrival_ns - arrival_ns[0]) // DRIFT_WINDOW_NS
    window_starts = np.concatenate(([0], np.flatnonzero(np.diff(window)) + 1))
    lowest = np.minimum.reduceat(offset, window_starts)
    base = int(lowest[0])
    envelope = [0]
    for elapsed, target in zip(np.diff(window[window_starts]).tolist(), (lowest[1:] - base).tolist(), strict=True):
        envelope.append(_follow(envelope[-1], target, elapsed * DRIFT_WINDOW_NS * DRIFT_LIMIT_PPM // 1_000_000))
    if not any(envelope):
        return np.full(len(offset), base)
    centres = spoken_ns[window_starts] + DRIFT_WINDOW_NS // 2
    return base + np.interp(spoken_ns, centres, envelope).round().astype(np.int64)


def _follow(now: int, target: int, most: int) -> int:
    step = target - now
    if abs(step) <= DRIFT_DEADBAND_NS:
        return now
    if abs(step) > JUMP_NS:  # a sender whose clock rate is simply wrong: stay with the arrivals
        return target
    return now + max(-most, min(most, step))
