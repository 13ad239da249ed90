"""What is known of a call when a policy looks at it. Values only: time, hash and names are given in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

# What a media server is selected for: to relay a call from its beginning, or an operation that needs the audio.
OPERATIONS: Final = ("call", "record", "announce", "transcode", "srtp", "conference", "listen")


class CallDirection(Enum):
    """Seen from the site: between two stations, from a line to a station, or out over a line."""

    INTERNAL = "internal"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a call. ``station`` or ``line`` names the device that it is reached by; the other is empty."""

    number: str = ""
    name: str = ""
    station: str = ""
    line: str = ""
    location: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallFacts:
    """``sample`` is a stable hash of the call id folded to 0.0 <= sample < 100.0: a policy that takes 10 per cent
    takes the calls below 10, and takes the same ones whenever it is asked again. ``local_time`` is naive: the time
    on the site's wall. ``operation`` is one of ``OPERATIONS``, while a media server is selected."""

    direction: CallDirection
    calling: Party
    called: Party
    local_time: datetime
    workgroup: str = ""
    operation: str = ""
    sample: float = 0.0
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def stations(self) -> tuple[str, ...]:
        return tuple(each.station for each in (self.calling, self.called) if each.station)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(each.line for each in (self.calling, self.called) if each.line)

    @property
    def locations(self) -> tuple[str, ...]:
        return tuple(each.location for each in (self.calling, self.called) if each.location)

    @property
    def roles(self) -> tuple[str, ...]:
        return self.calling.roles + self.called.roles
