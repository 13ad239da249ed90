"""Whether a recording sounds as its call was spoken: every second of both channels, but for those of which the
recording itself says that they are missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final, TypeAlias

import numpy as np

from tests.chaos.calls import Attempt
from tests.kit.doors import Json
from tests.kit.judge import best_match, judge
from tests.kit.speech import RATE, Samples
from tests.kit.wav import read_wav

BESIDE_S: Final = 0.5  # around a gap: the two sides do not stop and begin at the same moment
_HEARD: Final = 0.9  # G.711 gives 0.99; what is partly missing, less
_PARTLY_HEARD: Final = 0.6  # some packets of a second are missing
_SLACK_MS: Final = 150.0
_QUARTER: Final = RATE // 4

Spans: TypeAlias = list[tuple[float, float]]  # in seconds of joined audio


def unheard(attempt: Attempt, detail: Json, audio: bytes, silent: Spans) -> tuple[int, list[str]]:
    """How many seconds were judged, and those that do not sound as they were spoken, though nothing is said of them.
    ``silent``: where nothing is to be heard."""
    judged, found = 0, list[str]()
    joints = list(_joints(detail))
    for side, (voice, heard) in enumerate(zip(attempt.voices, read_wav(audio), strict=True)):
        verdict = judge(voice[: int(attempt.seconds * RATE)], heard, slack_ms=_SLACK_MS)
        lag_s = verdict.lag_ms / 1000
        excused = [*_excused(detail, side), *silent]
        first = max(0, math.ceil(-lag_s))  # seconds that were said before the recording began
        judged += len(verdict.correlations)
        for second, whole in enumerate(verdict.correlations, first):
            at = lag_s + second
            correlation = whole if whole > _HEARD else _by_quarters(voice, heard, second, at)
            spans = excused + joints if correlation > _PARTLY_HEARD else excused
            if correlation <= _HEARD and not any(start < at + 1 and at < end for start, end in spans):
                found.append(f"{('left', 'right')[side]} {second} s, at {at:.1f} s: {correlation:.2f}")
    return judged, found


def _by_quarters(voice: Samples, heard: Samples, second: int, at: float) -> float:
    """How well a second is heard if its quarters need not follow each other to the sample: where two segments meet,
    they are off by less than a millisecond, and that alone spoils the correlation of the whole."""
    said, got = voice.astype(np.float64), heard.astype(np.float64)
    total = energy = 0.0
    for start in range(second * RATE, (second + 1) * RATE, _QUARTER):
        piece = said[start : start + _QUARTER]
        score, _ = best_match(piece, got, round(at * RATE) + start - second * RATE, round(_SLACK_MS * RATE / 1000))
        weight = float(np.dot(piece, piece))
        total, energy = total + score * weight, energy + weight
    return total / max(energy, 1.0)


def _excused(detail: Json, side: int) -> Iterator[tuple[float, float]]:
    """Where the recording says that something is missing, in seconds of its joined audio; and its very ends."""
    length_s = detail["duration_ms"] / 1000
    yield -1.0, 0.5
    yield length_s - 0.5, length_s + 1.0
    for gap in detail["gaps"]:
        start = gap["start_ms"] / 1000
        yield start - BESIDE_S, start + gap["duration_ms"] / 1000 + BESIDE_S
    stored = heard_segments(detail)
    for one in stored:
        offset = seconds_of(one["started_at"]) - seconds_of(stored[0]["started_at"])
        for of_side, start_ms, end_ms in (one["quality"] or {}).get("one_way", ()):
            if of_side == side:
                yield offset + start_ms / 1000 - BESIDE_S, offset + end_ms / 1000 + BESIDE_S


def _joints(detail: Json) -> Iterator[tuple[float, float]]:
    """Where one media server took over from another: the phones go there one after the other, and so one side may lose
    a few packets where the recording as a whole has no gap."""
    stored = heard_segments(detail)
    for one in stored[1:]:
        at = seconds_of(one["started_at"]) - seconds_of(stored[0]["started_at"])
        yield at - BESIDE_S, at + BESIDE_S


def heard_segments(detail: Json) -> list[Json]:
    """Those that are in the joined audio. It begins with the first one in which somebody is heard."""
    stored = [one for one in detail["segments"] if one["state"] == "stored"]
    return [one for one in stored if one["heard_to_ms"] is not None] or stored


def seconds_of(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
