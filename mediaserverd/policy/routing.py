"""Routing: who is meant by a dialled number. Knows names of stations and lines, not where they are registered, so
"480, not registered" is the controller's to say.

Read in this order: extension of a station, its name, extension of a workgroup, then for stations the number patterns
of the lines as listed. A line never reaches another line: that is how telephony fraud works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mediaserverd.policy.criteria import NumberPattern
from mediaserverd.policy.document import Fault, PolicyError
from mediaserverd.policy.facts import CallDirection, Party

MAX_RING_ALL: Final = 64  # members of a workgroup; each is a call of its own towards phones

_SEPARATORS: Final = str.maketrans("", "", " -.()")  # RFC 3966 5.1.1: for the eye, without meaning


class StationEntry(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def extension(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def location(self) -> str: ...


class LineEntry(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def numbers(self) -> tuple[str, ...]: ...
    @property
    def strip_digits(self) -> int: ...
    @property
    def add_prefix(self) -> str: ...
    @property
    def inbound_to(self) -> str: ...
    @property
    def location(self) -> str: ...


class WorkgroupEntry(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def extension(self) -> str: ...
    @property
    def members(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class FromStation:
    name: str


@dataclass(frozen=True, slots=True)
class FromLine:
    """``number`` and ``display_name`` are what the carrier says of the caller."""

    name: str
    number: str = ""
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """A station to ring at all its contacts, or a line to send ``number`` to."""

    party: Party
    number: str


@dataclass(frozen=True, slots=True)
class Route:
    """All ``targets`` ring at once. ``rule`` says why, for the story of the call."""

    direction: CallDirection
    calling: Party
    called: Party
    targets: tuple[RouteTarget, ...]
    workgroup: str
    rule: str


@dataclass(frozen=True, slots=True)
class RouteRefusal:
    status: int
    reason: str
    rule: str


class Routing:
    """Raises ``PolicyError`` with every fault of the table."""

    def __init__(
        self,
        stations: Sequence[StationEntry],
        lines: Sequence[LineEntry] = (),
        workgroups: Sequence[WorkgroupEntry] = (),
        where: str = "",
    ) -> None:
        faults = [*_table_faults(stations, lines, workgroups, where)]
        self._patterns: list[tuple[LineEntry, NumberPattern]] = []
        for at, line in enumerate(lines):
            for index, text in enumerate(line.numbers):
                try:
                    self._patterns.append((line, NumberPattern.of(text)))
                except ValueError as error:
                    faults.append(Fault(where, ("lines", at, "numbers", index), str(error)))
        if faults:
            raise PolicyError(faults)
        self._stations = {each.name: each for each in stations}
        self._extensions = {each.extension: each for each in stations}
        self._lines = {each.name: each for each in lines}
        self._groups = {each.extension: each for each in workgroups}
        self._group_extensions = {each.name: each.extension for each in workgroups}

    def route(self, source: FromStation | FromLine, dialled: str) -> Route | RouteRefusal:
        """``dialled`` is the user part of the request's URI."""
        number = _plain(dialled)
        if isinstance(source, FromLine):
            return self._from_line(source, number)
        calling = self._stations.get(source.name)
        if calling is None:
            return RouteRefusal(403, "Forbidden", f"station {source.name} is not known")
        return self._from_station(_station_party(calling), number)

    def _from_station(self, calling: Party, number: str) -> Route | RouteRefusal:
        inside = self._inside(CallDirection.INTERNAL, calling, number, number)
        if inside:
            return inside
        for line, pattern in self._patterns:
            if pattern.fits(number):
                sent = line.add_prefix + number[line.strip_digits :]
                called = Party(number=number, line=line.name, location=line.location)
                rule = f"line {line.name}: {pattern.text}"
                return Route(CallDirection.OUTBOUND, calling, called, (RouteTarget(called, sent),), "", rule)
        return RouteRefusal(404, "Not Found", "no station, workgroup or line has this number")

    def _from_line(self, source: FromLine, number: str) -> Route | RouteRefusal:
        line = self._lines.get(source.name)
        if line is None:
            return RouteRefusal(403, "Forbidden", f"line {source.name} is not known")
        calling = Party(source.number, source.display_name, line=line.name, location=line.location)
        wanted = self._group_extensions.get(line.inbound_to, line.inbound_to) or number
        inside = self._inside(CallDirection.INBOUND, calling, wanted, number)
        return inside or RouteRefusal(404, "Not Found", "no station or workgroup has this number")

    def _inside(
        self, direction: CallDirection, calling: Party, wanted: str, dialled: str
    ) -> Route | RouteRefusal | None:
        station = self._extensions.get(wanted) or self._stations.get(wanted)
        if station:
            party = _station_party(station)
            target = RouteTarget(party, station.extension)
            return Route(direction, calling, party, (target,), "", f"station {station.name}")
        group = self._groups.get(wanted)
        if group is None:
            return None
        members = [self._stations[name] for name in group.members if name != calling.station]
        targets = tuple(RouteTarget(_station_party(each), each.extension) for each in members)
        rule = f"workgroup {group.name}"
        if not targets:
            return RouteRefusal(480, "Temporarily Unavailable", f"{rule} has no one else to ring")
        called = Party(number=dialled, name=group.name)
        return Route(direction, calling, called, targets, group.name, rule)


def _table_faults(
    stations: Sequence[StationEntry], lines: Sequence[LineEntry], workgroups: Sequence[WorkgroupEntry], where: str
) -> Iterator[Fault]:
    for kind, names in (
        ("stations", [each.name for each in stations]),
        ("lines", [each.name for each in lines]),
        ("workgroups", [each.name for each in workgroups]),
    ):
        for index in _repeated(names):
            yield Fault(where, (kind, index, "name"), f"{names[index]!r} is given more than once")
    extensions = [*(each.extension for each in stations), *(each.extension for each in workgroups)]
    for index in _repeated(extensions):
        place = ("stations", index) if index < len(stations) else ("workgroups", index - len(stations))
        yield Fault(where, (*place, "extension"), f"{extensions[index]!r} is taken already")
    known = {each.name for each in stations}
    for index, group in enumerate(workgroups):
        if len(group.members) > MAX_RING_ALL:
            yield Fault(where, ("workgroups", index, "members"), f"more than {MAX_RING_ALL} members ring at once")
        for at, member in enumerate(group.members):
            if member not in known:
                yield Fault(where, ("workgroups", index, "members", at), f"there is no station {member!r}")
    reachable = {*extensions, *known, *(each.name for each in workgroups), ""}
    for index, line in enumerate(lines):
        if line.inbound_to not in reachable:
            text = f"there is no station or workgroup {line.inbound_to!r}"
            yield Fault(where, ("lines", index, "inbound_to"), text)


def _repeated(names: Sequence[str]) -> Iterator[int]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield index
        seen.add(name)


def _station_party(station: StationEntry) -> Party:
    return Party(station.extension, station.display_name, station=station.name, location=station.location)


def _plain(dialled: str) -> str:
    """Without the separators people write into numbers; a name that is not a number stays as it is."""
    bare = dialled.translate(_SEPARATORS)
    return bare if bare.removeprefix("+").isdigit() else dialled
