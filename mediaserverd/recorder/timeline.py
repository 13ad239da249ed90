"""How the segments of one recording follow each other: what is heard of each, and what is missing between them. Pure.

All times are on one clock (``one_clock``). Where one segment ends and another one follows, the gap is from the last
packet of the one to the first packet of the other: a media server that was cut off goes on writing silence, and phones
need a moment to find the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mediaserverd.audio.cuts import Cuts, heard_ms
from mediaserverd.protocol.sasf.manifest import OUTAGE, Gap
from mediaserverd.recorder.states import Reason, SegmentState

UNNOTICED_MS: Final = 1000  # a media server that dies may lose so much, and a controller hears of an end a little later
SERVER_LOST: Final = "media-server-lost"
_ENDED_IN_ORDER: Final = ("call-ended", "stopped", "")  # in a media server's word


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, as far as it is known. ``ended_because`` is the controller's word, ``reason`` the media server's or
    ours. ``begin_ms`` may be off by ``within_ms``; None: by more than anybody knows. ``heard_from_ms``,
    ``heard_to_ms``: its first and last audio; None while nobody has looked. ``is_silent``: there is none.
    ``over_ms``: when the controller took it for ended. ``silences_ms``: where nothing came, ``outages_ms``: although
    something was sent. ``cuts``: what is left out of what is heard of it."""

    number: int
    state: SegmentState
    reason: str
    ended_because: str
    started: bool
    begin_ms: int
    duration_ms: int
    within_ms: int | None = None
    over_ms: int | None = None
    is_silent: bool = False
    heard_from_ms: int | None = None
    heard_to_ms: int | None = None
    silences_ms: tuple[tuple[int, int], ...] = ()
    outages_ms: tuple[tuple[int, int], ...] = ()
    cuts: Cuts = ()

    @property
    def failed(self) -> bool:
        return self.state is SegmentState.FAILED

    @property
    def first_heard_ms(self) -> int:
        return self.begin_ms + (self.heard_from_ms or 0)

    @property
    def cause(self) -> str:
        """Why it is over. What a media server ended in order, and its controller never heard of, it had lost."""
        told = SERVER_LOST if self.reason in _ENDED_IN_ORDER else self.reason
        return self.reason if self.failed else self.ended_because or told

    @property
    def end_ms(self) -> int:
        return self.begin_ms + self.duration_ms

    def heard_until_ms(self, following: Part) -> int:
        """What would be heard after another media server had taken over came too late to be placed: a frozen host takes
        packets in, and finds them all at once when it wakes. The segment itself keeps them."""
        known = self.duration_ms if self.heard_to_ms is None else self.heard_to_ms
        limit = following.first_heard_ms - self.begin_ms
        late = [start for start, end in ((0, self.heard_from_ms or 0), *self.silences_ms) if end > limit]
        return max(0, min(known, *late)) if late and 0 < limit < known else known


@dataclass(frozen=True, slots=True)
class Piece:
    """What the joined audio has of a segment: silence first, then the segment; less than none where its first moment,
    in which nobody is heard, lies in the segment before it. ``until_ms``: only so much of it, in the segment's own
    time."""

    number: int
    silence_before_ms: int = 0
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """``gaps``: what lies before its beginning or behind its end is not in the joined audio."""

    pieces: tuple[Piece, ...] = ()
    gaps: tuple[Gap, ...] = ()
    duration_ms: int = 0  # of the joined audio


def timeline(parts: Sequence[Part]) -> Timeline:
    """``parts`` by number; a discarded segment has no place in a recording."""
    parts = [part for part in parts if part.state is not SegmentState.DISCARDED]
    kept = [part for part in parts if not part.failed]
    heard = [part for part in kept if not part.is_silent] or kept[:1]
    if not heard:
        return Timeline(gaps=tuple(_before(parts, heard)))
    pieces, gaps = [], [*_before(parts, heard)]
    position = silence = 0
    for part, following in pairwise(heard):
        until = part.heard_until_ms(following)
        last_heard = part.begin_ms + until
        pieces.append(Piece(part.number, silence, until))
        gaps += _within(part, until, position + silence)
        position += silence + heard_ms(part.cuts, until)
        if (missing := following.first_heard_ms - last_heard) > 0:
            why = _why(parts, part, following)
            gaps.append(Gap(part.number, position, missing, why, _accuracy(part, following)))
        silence = max(-(following.heard_from_ms or 0), following.begin_ms - last_heard)
    last, lost = heard[-1], [part for part in parts if part.number > heard[-1].number]
    until = last.heard_until_ms(lost[0]) if lost else last.duration_ms
    pieces.append(Piece(last.number, silence, until if lost else None))
    gaps += _within(last, until, position + silence)
    position += silence + heard_ms(last.cuts, until)
    pieces += [Piece(part.number, 0, 0) for part in kept if part not in heard]
    pieces.sort(key=lambda piece: piece.number)
    return Timeline(tuple(pieces), (*gaps, *_behind(last, lost, until, position)), position)


def _within(part: Part, until_ms: int, position: int) -> Iterator[Gap]:
    """Where packets were lost on the way, for so long that everybody hears it."""
    for start, end in part.outages_ms:
        if end <= until_ms:
            yield Gap(part.number, position + heard_ms(part.cuts, start), end - start, OUTAGE, 0)


def _before(parts: Sequence[Part], heard: Sequence[Part]) -> Iterator[Gap]:
    """Failed segments at the beginning; all of them if nothing is heard."""
    lost = [part for part in parts if not heard or part.number < heard[0].number]
    if lost:
        end = heard[0].first_heard_ms if heard else lost[-1].end_ms
        if (missing := end - lost[0].begin_ms) > 0:
            yield Gap(0, 0, missing, lost[0].cause, _accuracy(lost[0], heard[0] if heard else lost[-1]))


def _behind(last: Part, lost: Sequence[Part], until_ms: int, position: int) -> Iterator[Gap]:
    """What the last one that is heard has not: because others were lost, or because its media server lost the end of it
    and no controller was there to notice."""
    if lost and (missing := lost[-1].end_ms - last.begin_ms - until_ms) > 0:
        why = lost[0].reason if lost[0].failed else last.cause
        yield Gap(last.number, position, missing, why, _accuracy(last, lost[-1]))
    elif not lost and (missing := (last.over_ms or last.end_ms) - last.end_ms) > UNNOTICED_MS:
        why = SERVER_LOST if last.reason == Reason.RECOVERED else last.reason.partition(":")[0]
        if last.reason not in _ENDED_IN_ORDER:
            yield Gap(last.number, position, missing, why, last.within_ms)


def _accuracy(one: Part, other: Part) -> int | None:
    if one.within_ms is None or other.within_ms is None:
        return None
    return one.within_ms if one is other else one.within_ms + other.within_ms


def _why(parts: Sequence[Part], one: Part, other: Part) -> str:
    """A lost segment explains more than the end of the one before it; one that never began explains nothing."""
    lost = (part for part in parts if one.number < part.number < other.number and part.started)
    return next((part.cause for part in lost), one.cause)
