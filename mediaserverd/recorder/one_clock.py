"""Where the segments of one recording begin, on one clock: that of the controller, which asked for all of them. Pure.

Each media server dates its file by its own wall clock, which may be wrong, or set in the middle of a call. But a file
begins between the moment when the controller asked for it and the moment when it heard that it runs, and between one
segment and the next the controller counts by a clock that nobody sets. So a media server's word is taken as far as it
lies between these two moments, a few milliseconds apart, and the nearer one of them where it does not.

Within a segment its media server's clock is believed: it counts seconds well, whatever the time it shows. What no
controller announced is placed by the clocks of the media servers alone, and nobody can say how well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

_WRITTEN_MS: Final = 1  # all these moments are written in whole milliseconds


@dataclass(frozen=True, slots=True)
class Announced:
    """What the controller said of a segment. ``confirmed_at`` None: it never heard that it runs; ``over_at`` None: nor
    that it ended. ``lasted_ms``: from ``asked_at`` to its end, by the clock that nobody sets; None: it never ran."""

    asked_at: datetime
    confirmed_at: datetime | None = None
    over_at: datetime | None = None
    lasted_ms: int | None = None

    @property
    def over_after_ms(self) -> int | None:
        if self.lasted_ms is not None:
            return self.lasted_ms
        return None if self.over_at is None else whole_ms(self.over_at - self.asked_at)

    @property
    def window_ms(self) -> int | None:
        """How long after the question the recording can have begun."""
        if self.confirmed_at is not None:
            return max(0, whole_ms(self.confirmed_at - self.asked_at))
        return self.over_after_ms


@dataclass(frozen=True, slots=True)
class Dated:
    """A segment. ``started_at``: time 0 of its file, by its media server. ``look_back_ms``: how much of the file is
    from before it was asked for; None: nobody could look."""

    started_at: datetime
    announced: Announced | None
    look_back_ms: int | None = 0


@dataclass(frozen=True, slots=True)
class Place:
    """``begin_ms``: of time 0 of the file. ``within_ms``: how far off that may be; None: nobody knows. ``over_ms``:
    when the controller took it for ended; None: it did not say so."""

    begin_ms: int
    within_ms: int | None
    over_ms: int | None = field(default=None, compare=False)


def places(segments: Sequence[Dated]) -> list[Place]:
    """The zero of their clock is any."""
    found: list[Place] = []
    asked_ms, before = 0, None
    for at, segment in enumerate(segments):
        announced = segment.announced
        by_hosts = found[-1].begin_ms + whole_ms(segment.started_at - segments[at - 1].started_at) if found else 0
        if announced is None:
            found.append(Place(by_hosts, None))
            continue
        asked_ms = by_hosts if before is None else asked_ms + _between(before, announced)
        found.append(_place(segment, announced, asked_ms))
        before = announced
    return found


def _between(one: Announced, other: Announced) -> int:
    """From the question for one segment to that for the next one."""
    if one.over_at is None or one.over_after_ms is None:
        return max(0, whole_ms(other.asked_at - one.asked_at))
    return one.over_after_ms + max(0, whole_ms(other.asked_at - one.over_at))


def _place(segment: Dated, announced: Announced, asked_ms: int) -> Place:
    look_back, over_after = segment.look_back_ms or 0, announced.over_after_ms
    over = None if over_after is None else asked_ms + over_after
    began = whole_ms(segment.started_at - announced.asked_at) + look_back
    window = announced.window_ms
    if window is None:
        return Place(asked_ms + max(0, began) - look_back, None, over)
    within = None if segment.look_back_ms is None else window + _WRITTEN_MS
    return Place(asked_ms + min(max(0, began), window) - look_back, within, over)


def whole_ms(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))
