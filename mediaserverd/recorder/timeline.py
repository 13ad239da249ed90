"""How the segments of one recording follow each other: what is heard of each, and what is missing between them. Pure.

Times of segments are of the hosts that recorded them, which keep the same time to a few milliseconds (NTP). Where one
segment ends and another one follows, the gap is from the last packet of the one to the first packet of the other: a
media server that was cut off goes on writing silence, and phones need a moment to find the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from mediaserverd.recorder.states import SegmentState


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, as far as it is known. ``ended_because`` is the controller's word, ``reason`` the media server's or
    ours. ``heard_from_ms``, ``heard_to_ms``: its first and last audio; None while nobody has looked. ``silences_ms``:
    where nothing came."""

    number: int
    state: SegmentState
    reason: str
    ended_because: str
    started: bool
    started_at: datetime
    duration_ms: int
    heard_from_ms: int | None = None
    heard_to_ms: int | None = None
    silences_ms: tuple[tuple[int, int], ...] = ()

    @property
    def failed(self) -> bool:
        return self.state is SegmentState.FAILED

    @property
    def first_heard(self) -> datetime:
        return self.started_at + _ms(self.heard_from_ms or 0)

    def heard_until_ms(self, following: Part) -> int:
        """What came after another media server had taken over was late: a frozen host takes packets in, and finds
        them all at once when it wakes. The segment itself keeps them."""
        known = self.duration_ms if self.heard_to_ms is None else self.heard_to_ms
        limit = _whole_ms(following.first_heard - self.started_at)
        late = [start for start, end in self.silences_ms if end > limit]
        return max(0, min(known, *late)) if late and limit > 0 else known

    @property
    def end(self) -> datetime:
        return self.started_at + _ms(self.duration_ms)


@dataclass(frozen=True, slots=True)
class Gap:
    """``after``: the segment before it; 0: the beginning. ``start_ms``: in the joined audio; what lies before its
    beginning or behind its end is not in it."""

    after: int
    start_ms: int
    duration_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What the joined audio has of a segment: silence first, then the segment. ``until_ms``: only so much of it."""

    number: int
    silence_before_ms: int = 0
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    pieces: tuple[Piece, ...] = ()
    gaps: tuple[Gap, ...] = ()
    duration_ms: int = 0  # of the joined audio


def timeline(parts: Sequence[Part]) -> Timeline:
    """``parts`` by number; a discarded segment has no place in a recording."""
    parts = [part for part in parts if part.state is not SegmentState.DISCARDED]
    heard = [part for part in parts if not part.failed]
    if not heard:
        return Timeline(gaps=tuple(_before(parts, heard)))
    pieces, gaps = [], [*_before(parts, heard)]
    position = silence = 0
    for part, following in pairwise(heard):
        heard_ms = part.heard_until_ms(following)
        last_heard = part.started_at + _ms(heard_ms)
        pieces.append(Piece(part.number, silence, heard_ms))
        position += silence + heard_ms
        if (missing := _whole_ms(following.first_heard - last_heard)) > 0:
            gaps.append(Gap(part.number, position, missing, _why(parts, part, following)))
        silence = max(0, _whole_ms(following.started_at - last_heard))
    pieces.append(Piece(heard[-1].number, silence))
    position += silence + heard[-1].duration_ms
    return Timeline(tuple(pieces), (*gaps, *_behind(parts, heard, position)), position)


def _before(parts: Sequence[Part], heard: Sequence[Part]) -> Iterator[Gap]:
    """Failed segments at the beginning; all of them if nothing is heard."""
    lost = [part for part in parts if not heard or part.number < heard[0].number]
    if lost:
        end = heard[0].first_heard if heard else lost[-1].end
        if (missing := _whole_ms(end - lost[0].started_at)) > 0:
            yield Gap(0, 0, missing, lost[0].reason)


def _behind(parts: Sequence[Part], heard: Sequence[Part], position: int) -> Iterator[Gap]:
    lost = [part for part in parts if heard and part.number > heard[-1].number]
    if lost and (missing := _whole_ms(lost[-1].end - heard[-1].end)) > 0:
        yield Gap(heard[-1].number, position, missing, lost[0].reason)


def _why(parts: Sequence[Part], one: Part, other: Part) -> str:
    """A lost segment explains more than the end of the one before it; one that never began explains nothing."""
    lost = (part for part in parts if one.number < part.number < other.number and part.started)
    return next((part.reason for part in lost), one.ended_because or one.reason)


def _whole_ms(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))


def _ms(number: int) -> timedelta:
    return timedelta(milliseconds=number)
