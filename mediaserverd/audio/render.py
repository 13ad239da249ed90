"""A recording as sound: two channels on one clock, left the calling party, right the called one.

Any part can be had at any time, and is the same as in the whole. Works in cells of fixed length, each rendered on its
own, so memory does not grow with the recording; two cells are kept. One ``Rendering`` serves one thread at a time.

Frames are those that are heard: where a pause is cut out (``omit``), they go on behind the beep that marks it.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio.activity import Activity
from mediaserverd.audio.codec import Samples
from mediaserverd.audio.cuts import Cuts
from mediaserverd.audio.pauses import Splice, beep, pauses, splices
from mediaserverd.audio.quality import Quality, skew_ms
from mediaserverd.audio.reception import outage
from mediaserverd.audio.side import Packetized, Side, side
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents

SampleRate: TypeAlias = Literal[8000, 16000, 48000]
RATES: Final[tuple[SampleRate, ...]] = (8000, 16000, 48000)
CHANNELS: Final = 2
CELL_SECONDS: Final = 20
_CELLS_KEPT: Final = 2
_SILENCE: Final = UNITS_PER_SECOND  # even a phone that sends nothing while nobody speaks says so once a second
_AFTER_BREAK: Final = UNITS_PER_SECOND  # how much audio may outlast the last arrival of a file that was not closed


class Rendering:
    """``sample_rate`` None: the least that loses nothing; that of Opus by the audio bandwidth of its packets."""

    def __init__(self, contents: Contents, *, sample_rate: SampleRate | None = None) -> None:
        self._contents = contents
        self._pauses = pauses(contents.events, contents.duration)
        self._sides = _sides(contents, np.array(sorted(self._borders()), np.int64))
        self.sample_rate: SampleRate = sample_rate or _best_rate(self._sides)
        self._units = _duration(contents, self._sides)
        self._recorded = self._units * self.sample_rate // UNITS_PER_SECOND
        self._splices = splices(self._pauses, self._recorded, self.sample_rate)
        self._cells: OrderedDict[int, npt.NDArray[np.int16]] = OrderedDict()
        self._cell_frames = CELL_SECONDS * self.sample_rate
        self._activity = Activity(self._recorded, self.sample_rate)

    @cached_property
    def heard_ms(self) -> tuple[int, int] | None:
        """From the first audio to the last, where it was placed: packets that waited somewhere come late, all at once.
        What was cut out on purpose counts as heard. None if there is nothing."""
        times = [float(edge) for each in self._sides for edges in (each.begin, each.end) for edge in edges]
        times += [edge for pause in self._pauses for edge in (pause.start, pause.end)]
        return (max(0, _ms(int(min(times)))), min(_ms(int(max(times))), _ms(self._units))) if times else None

    @cached_property
    def silences_ms(self) -> list[list[int]]:
        """Spans in which nothing at all came, from neither side, but for pauses."""
        times = np.sort(self._contents.packets.arrival)
        spans = [(int(times[at]), int(times[at + 1])) for at in np.flatnonzero(np.diff(times) > _SILENCE).tolist()]
        cut = [(pause.start - _SILENCE, pause.end + _SILENCE) for pause in self._pauses]
        return [
            [_ms(start), _ms(end)]
            for start, end in spans
            if not any(begin <= start and end <= finish for begin, finish in cut)
        ]

    @cached_property
    def outages_ms(self) -> list[list[int]]:
        """Those silences in which somebody sent what never came: the sequence numbers behind them tell."""
        packets = self._contents.packets
        sides = [packets.where(packets.side == number) for number in range(CHANNELS)]
        return [span for span in self.silences_ms if any(outage(each, *map(_units, span)) for each in sides)]

    @property
    def cuts(self) -> Cuts:
        """What is left out of what is heard."""
        return [(_ms(pause.start), _ms(pause.end)) for pause in self._pauses if pause.mode == "omit"]

    @property
    def look_back_ms(self) -> int:
        """How much of it is from before it was asked for."""
        return next((_ms(event.at) for event in self._contents.events if event.name == "begin"), 0)

    def times_as_json(self) -> dict[str, Any]:
        """Beside ``quality.as_json()``, for whoever has to join this with what was recorded elsewhere."""
        heard = self.heard_ms
        return {
            "heard": list(heard) if heard else None,
            "look_back_ms": self.look_back_ms,
            "silences": self.silences_ms,
            "outages": self.outages_ms,
        }

    @cached_property
    def frames(self) -> int:
        return sum(splice.count for splice in self._splices)

    def frames_until(self, milliseconds: int) -> int:
        """How many frames are heard of what was recorded before that."""
        end, heard = milliseconds * self.sample_rate // 1000, 0
        for splice in self._splices:
            if splice.source is not None and splice.source >= end:
                break
            heard += splice.count if splice.source is None else min(splice.count, end - splice.source)
        return heard

    def block(self, first: int, count: int) -> npt.NDArray[np.int16]:
        """``count`` frames from ``first`` on, as rows of two samples; fewer at the end."""
        first = max(0, first)
        end = max(first, min(first + count, self.frames))
        whole = self._within_a_cell(first, end)
        if whole is not None:
            return whole
        block = np.empty((end - first, CHANNELS), np.int16)
        for splice in self._splices:
            start, stop = max(first, splice.first), min(end, splice.first + splice.count)
            if start < stop:
                self._copy(splice, start - splice.first, block[start - first : stop - first])
        return block

    def _within_a_cell(self, first: int, end: int) -> npt.NDArray[np.int16] | None:
        """What lies within one cell of a recording without cuts need not be copied; it cannot be written to."""
        number, within = divmod(first, self._cell_frames)
        if len(self._splices) != 1 or end <= first or end > (number + 1) * self._cell_frames:
            return None
        return self._cell(number)[within : within + end - first]

    @cached_property
    def quality(self) -> Quality:
        """Listens to what has not been rendered yet: cheap behind the last block, a whole rendering before it."""
        for cell in range(-(-self._recorded // self._cell_frames)):
            if not self._activity.knows(cell * self._cell_frames):
                self._cell(cell)
        contents = self._contents
        overflow = contents.end.body.get("tap_overflow", 0) if contents.end else 0
        overflow = overflow if isinstance(overflow, int) else 0
        of_sides = (self._sides[0].quality, self._sides[1].quality)
        undecodable = any(each.undecodable for each in of_sides)
        return Quality(
            degraded=bool(overflow or undecodable or contents.unreadable),
            duration_ms=self._units * 1000 // UNITS_PER_SECOND,
            skew_ms=skew_ms(self._sides[0], self._sides[1]),
            tap_overflow=overflow,
            masked=tuple((_ms(pause.start), _ms(pause.end), pause.mode) for pause in self._pauses),
            one_way=tuple(self._activity.one_way()),
            unreadable=tuple((_ms(span.start), _ms(span.end), span.why) for span in contents.unreadable),
            sides=of_sides,
        )

    def _copy(self, splice: Splice, offset: int, target: npt.NDArray[np.int16]) -> None:
        if splice.source is None:
            target[:] = beep(self.sample_rate)[offset : offset + len(target), None]
            return
        at, done = splice.source + offset, 0
        while done < len(target):
            number, within = divmod(at + done, self._cell_frames)
            part = self._cell(number)[within : within + len(target) - done]
            target[done : done + len(part)] = part
            done += len(part)

    def _cell(self, number: int) -> npt.NDArray[np.int16]:
        if number in self._cells:
            self._cells.move_to_end(number)
            return self._cells[number]
        first = number * self._cell_frames
        count = min(self._cell_frames, self._recorded - first)
        cell = np.empty((count, CHANNELS), np.int16)
        for channel, each in enumerate(self._sides):
            heard = self._heard(each, first, count)
            self._activity.hear(channel, first, heard)
            cell[:, channel] = heard
        cell.flags.writeable = False
        self._cells[number] = cell
        if len(self._cells) > _CELLS_KEPT:
            self._cells.popitem(last=False)
        return cell

    def _heard(self, each: Side, first: int, count: int) -> Samples:
        heard = np.zeros(count, np.int16)
        unit = UNITS_PER_SECOND / self.sample_rate
        for track in each.between((first - 1) * unit, (first + count + 1) * unit):
            track.add(self._contents.data, first, heard, self.sample_rate)
        for pause in self._pauses:
            start, end = (units * self.sample_rate // UNITS_PER_SECOND - first for units in (pause.start, pause.end))
            heard[max(0, start) : max(0, end)] = 0
        return heard

    def _borders(self) -> set[int]:
        unreadable = self._contents.unreadable
        return {pause.start for pause in self._pauses} | {
            border for span in unreadable for border in (span.start, span.end)
        }


def _sides(contents: Contents, borders: npt.NDArray[np.int64]) -> tuple[Side, Side]:
    sent = [Packetized.of(contents, number) for number in range(CHANNELS)]
    durations = [duration for each in sent if (duration := each.usual_duration) is not None]
    lead = min(durations, default=0.0)
    return side(contents, sent[0], lead, borders), side(contents, sent[1], lead, borders)


def _best_rate(sides: tuple[Side, Side]) -> SampleRate:
    wanted = max((rate for each in sides for rate in each.rates), default=RATES[0])
    return next((rate for rate in RATES if rate >= wanted), RATES[-1])


def _duration(contents: Contents, sides: tuple[Side, Side]) -> int:
    """A recording that broke off ends with the last packet's audio, not with its arrival."""
    if contents.end is not None:
        return contents.duration
    ends = [float(end) for each in sides for end in each.end if end <= contents.duration + _AFTER_BREAK]
    return max([contents.duration, *map(int, ends)])


def _ms(units: int) -> int:
    return units * 1000 // UNITS_PER_SECOND


def _units(milliseconds: int) -> int:
    return milliseconds * UNITS_PER_SECOND // 1000
