"""What to put where a stretch has no packet: concealment for what was lost, comfort noise for what was not sent.

Decides how much and where; how it sounds is the native codecs' business. All columns are in ticks of the RTP clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mediaserverd.audio.decoding import Flags
from mediaserverd.audio.timeline import Stretch
from mediaserverd.protocol.sasf.contents import Integers

MAX_CONCEALED_MS: Final = 120  # longer gaps stay silent behind it: nobody can guess more than a syllable
MAX_UNSENT_MS: Final = 1000  # Opus without transmission refreshes its noise every 400 ms
LAST_NOISE_MS: Final = 1000  # behind which nothing more came


@dataclass(frozen=True, slots=True)
class Gaps:
    """Before each row of a stretch: ``length`` ticks to be filled from ``at`` on; 0 where there is nothing to fill.

    ``lost``: those that are there because packets were lost, and not because none were sent.
    """

    at: Integers
    length: Integers
    lost: Flags


@dataclass(frozen=True, slots=True)
class Noise:
    """Comfort noise of the packet ``row`` from ``start`` to ``end``."""

    row: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Of all packets of a side: what decides about gaps."""

    sequence: Integers
    rank: Integers
    epoch: Integers
    duration: Integers
    format: Integers
    noise: Flags
    opus: Flags


def gaps(stretch: Stretch, side: Columns) -> Gaps:
    rows, ticks_per_ms = stretch.rows, stretch.clock_rate // 1000
    before, after = rows[:-1], rows[1:]
    ends = stretch.timestamp[:-1] + side.duration[before]
    width = stretch.timestamp[1:] - ends
    steps = np.diff(side.sequence[rows])
    missing = steps - np.diff(side.rank[rows])
    fillable = (width > 0) & (steps > 0) & (np.diff(side.epoch[rows]) == 0)
    fillable &= ~side.noise[after] & ~side.noise[before] & (side.format[before] == side.format[after])
    lost = fillable & (missing > 0)
    unsent = fillable & (missing <= 0) & side.opus[after]
    length = np.zeros(len(rows), np.int64)
    concealed = np.minimum(width, missing * side.duration[before])
    length[1:][lost] = np.minimum(concealed, MAX_CONCEALED_MS * ticks_per_ms)[lost]
    length[1:][unsent] = np.minimum(width, MAX_UNSENT_MS * ticks_per_ms)[unsent]
    return Gaps(np.concatenate((stretch.timestamp[:1], ends)), length, np.concatenate(([False], lost)))


def noises(stretch: Stretch, side: Columns) -> list[Noise]:
    """From each comfort noise packet to the next packet of any kind."""
    rows, longest = stretch.rows, LAST_NOISE_MS * stretch.clock_rate // 1000
    found = []
    for place in np.flatnonzero(side.noise[rows]).tolist():
        start = int(stretch.timestamp[place])
        goes_on = place + 1 < len(rows) and side.epoch[rows[place]] == side.epoch[rows[place + 1]]
        end = int(stretch.timestamp[place + 1]) if goes_on else start + longest
        if end > start:
            found.append(Noise(int(rows[place]), start, end))
    return found
