"""What a recording is worth: what came, what is missing, how exact its times are. Values and their JSON form only.

All times are of the recording as it ran; where a pause was cut out (``omit``) what one hears is shorter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND

_SKEW_WINDOW: Final = 60 * UNITS_PER_SECOND  # among a minute's packets one met an empty queue


class _Placed(Protocol):
    """A side whose least delayed packets came ``errors`` later than placed, at these times; in units of 125 us."""

    @property
    def error_at(self) -> npt.NDArray[np.float64]: ...
    @property
    def errors(self) -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True)
class SideQuality:
    """One party. ``late``: packets that came behind a later one. ``drift_ppm``: positive if the sender's clock is fast.

    ``undecodable``: packets of codecs that cannot be decoded, kept in the file. ``dtmf``: how many digits were sent as
    telephone events; which ones is nobody's business here.
    """

    packets: int = 0
    expected: int = 0
    received: int = 0
    late: int = 0
    lost: int = 0
    duplicates: int = 0
    concealed_ms: int = 0
    undecodable: int = 0
    ssrc_changes: int = 0
    codecs: tuple[str, ...] = ()
    jitter_ms: float = 0.0
    drift_ppm: float = 0.0
    comfort_noise_ms: int = 0
    dtmf: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """``skew_ms``: how far the two sides are apart at worst, by what arrived. ``masked``: (start, end, mode) of pauses.

    ``one_way``: (side, start, end) where nothing at all came from one side while the other one spoke.
    """

    degraded: bool
    duration_ms: int
    skew_ms: float
    tap_overflow: int
    masked: tuple[tuple[int, int, str], ...]
    one_way: tuple[tuple[int, int, int], ...]
    unreadable: tuple[tuple[int, int, str], ...]
    sides: tuple[SideQuality, SideQuality]

    def as_json(self) -> dict[str, Any]:
        document = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("masked", "one_way", "unreadable"):
            document[name] = [list(span) for span in document[name]]
        document["sides"] = [asdict(side) | {"codecs": list(side.codecs)} for side in self.sides]
        return document


def skew_ms(one: _Placed, other: _Placed) -> float:
    """How far two sides are apart in their worst minute: where each is placed against where it came."""
    worst = 0.0
    minutes = [_least_of_minutes(side) for side in (one, other)]
    for minute in minutes[0].keys() & minutes[1].keys():
        worst = max(worst, abs(minutes[0][minute] - minutes[1][minute]))
    return round(worst * 1000 / UNITS_PER_SECOND, 3)


def _least_of_minutes(side: _Placed) -> dict[int, float]:
    least: dict[int, float] = {}
    for at, error in zip(side.error_at.tolist(), side.errors.tolist(), strict=True):
        minute = int(at // _SKEW_WINDOW)
        least[minute] = min(error, least.get(minute, error))
    return least
