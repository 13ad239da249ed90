"""Pauses of a recording, and what they do to its length: ``mask`` is silence, ``omit`` is cut out and marked by a beep.

The recording's clock runs on in a pause; the frames that are heard do not where it is cut out. A ``Splice`` says which
frames of the recording stand where in what is heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mediaserverd.audio.codec import Samples
from mediaserverd.audio.cuts import BEEP_MS
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Event

_BEEP_HZ: Final = 1000
_BEEP_PEAK: Final = 3300  # -20 dB: heard, and no fright
_BEEP_RAMP_MS: Final = 10


@dataclass(frozen=True, slots=True)
class Pause:
    """From ``start`` to ``end``, in units of 125 us."""

    start: int
    end: int
    mode: str


@dataclass(frozen=True, slots=True)
class Splice:
    """``count`` frames from ``first`` of what is heard are the recording's from ``source`` on; None for a beep."""

    first: int
    count: int
    source: int | None


def pauses(events: Sequence[Event], duration: int) -> list[Pause]:
    """A pause without a resume lasts to the end; one within a pause changes nothing, but that it cuts out."""
    found: list[Pause] = []
    begun: Event | None = None
    mode = "mask"
    for event in events:
        if event.name == "pause":
            begun = begun or event
            mode = "omit" if "omit" in (event.body.get("mode"), mode) else "mask"
        elif event.name == "resume" and begun is not None:
            found.append(Pause(begun.at, event.at, mode))
            begun, mode = None, "mask"
    if begun is not None:
        found.append(Pause(begun.at, max(begun.at, duration), mode))
    return [pause for pause in found if pause.end > pause.start]


def splices(found: Sequence[Pause], frames: int, rate: int) -> list[Splice]:
    """What is heard of ``frames`` frames, in its order."""
    heard, at, source = list[Splice](), 0, 0
    for pause in found:
        start, end = (min(frames, units * rate // UNITS_PER_SECOND) for units in (pause.start, pause.end))
        if pause.mode != "omit" or end <= source:
            continue
        beep = BEEP_MS * rate // 1000
        for splice in (Splice(at, max(0, start - source), source), Splice(at + max(0, start - source), beep, None)):
            heard.append(splice)
            at += splice.count
        source = end
    heard.append(Splice(at, frames - source, source))
    return [splice for splice in heard if splice.count]


def beep(rate: int) -> Samples:
    time = np.arange(BEEP_MS * rate // 1000) / rate
    ramp = np.minimum(1.0, np.minimum(time, time[::-1]) * 1000 / _BEEP_RAMP_MS)
    return np.asarray(np.round(_BEEP_PEAK * ramp * np.sin(2 * np.pi * _BEEP_HZ * time)), np.int16)
