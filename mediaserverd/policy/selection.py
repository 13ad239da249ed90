"""Selection rules: which media servers to try for a call, in which order, and why each was taken or passed.

::

    locations:                      # location -> its rule; one that is not listed has the rule "default"
      berlin: {rule: berlin-first}
    rules:
      default: [$device, $other-parties, $controller, any]
      berlin-first:
        - location: berlin
          when: {direction: inbound}
        - group: [berlin, $device]  # all their servers at equal priority
        - any: {except: [hamburg]}
    examples:
      - device: berlin
        servers: [{name: b1, location: berlin, cpu: 10}, {name: b2, location: berlin, cpu: 5}]
        expect: [b2, b1]

How a document is read is in ``selection_document``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final

from mediaserverd.policy.criteria import Criteria
from mediaserverd.policy.document import Fault, Path
from mediaserverd.policy.facts import CallFacts

DEFAULT_LOCATION: Final = "default"
DEFAULT_RULE: Final = "default"
MAX_TRIED: Final = 8  # media servers for one call: no caller waits for more of them to refuse


class Variable(Enum):
    """A location that only the call tells."""

    DEVICE = "$device"  # of the device that asks
    OTHER_PARTIES = "$other-parties"
    CONTROLLER = "$controller"


Place = str | Variable


@dataclass(frozen=True, slots=True)
class InPlaces:
    """The servers of these locations at equal priority; one place, or a load-balanced group."""

    places: tuple[Place, ...]

    def __str__(self) -> str:
        return " + ".join(_shown(place) for place in self.places)


@dataclass(frozen=True, slots=True)
class Anywhere:
    excepted: tuple[Place, ...] = ()

    def __str__(self) -> str:
        return "any" + (f" except {', '.join(_shown(place) for place in self.excepted)}" if self.excepted else "")


@dataclass(frozen=True, slots=True)
class Entry:
    servers: InPlaces | Anywhere
    when: Criteria


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class MediaServer:
    """A server as it stands. ``unavailable``: why it may not be used now (not connected, draining, at a limit); empty
    if it may."""

    name: str
    location: str = DEFAULT_LOCATION
    unavailable: str = ""
    cpu_permille: int = 0
    sessions: int = 0

    @property
    def load(self) -> tuple[int, int, str]:
        """The least loaded first: CPU, then resources in use. The name keeps the order stable."""
        return self.cpu_permille, self.sessions, self.name


@dataclass(frozen=True, slots=True)
class SelectionRequest:
    device_location: str
    other_locations: tuple[str, ...]
    controller_location: str
    facts: CallFacts

    def locations(self, places: Sequence[Place]) -> frozenset[str]:
        return frozenset(location for place in places for location in self._locations(place))

    def _locations(self, place: Place) -> tuple[str, ...]:
        match place:
            case Variable.DEVICE:
                return (self.device_location,)
            case Variable.OTHER_PARTIES:
                return self.other_locations
            case Variable.CONTROLLER:
                return (self.controller_location,)
            case str():
                return (place,)


@dataclass(frozen=True, slots=True)
class Step:
    """One server considered, or (``server`` empty) an entry that led to none."""

    rule: str
    entry: str
    server: str
    taken: bool
    reason: str

    def __str__(self) -> str:
        verdict = "take" if self.taken else "pass"
        return f"{self.rule}: {self.entry}: " + (f"{verdict} {self.server}: " if self.server else "") + self.reason


@dataclass(frozen=True, slots=True)
class SelectionExample:
    where: str
    keys: Path
    rule: str
    request: SelectionRequest
    servers: tuple[MediaServer, ...]
    expect: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SelectionRules:
    rules: Mapping[str, Rule]
    location_rules: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[SelectionExample, ...] = ()

    def rule_of(self, location: str) -> Rule:
        return self.rules[self.location_rules.get(location, DEFAULT_RULE)]

    def walk(self, request: SelectionRequest, servers: Sequence[MediaServer], rule: str = "") -> Iterator[Step]:
        """Every server considered, in order; those taken are to be tried one after the other. This is also the
        explanation. ``rule`` empty: the rule of the device's location."""
        chosen = self.rules[rule] if rule else self.rule_of(request.device_location)
        by_location: dict[str, list[MediaServer]] = {}
        for server in servers:
            by_location.setdefault(server.location, []).append(server)
        considered: set[str] = set()
        for entry in chosen.entries:
            yield from _entry_steps(chosen.name, entry, request, by_location, considered)

    def candidates(self, request: SelectionRequest, servers: Sequence[MediaServer]) -> tuple[str, ...]:
        """The names to try, best first."""
        taken = (step.server for step in self.walk(request, servers) if step.taken)
        return tuple(islice(taken, MAX_TRIED))

    def example_faults(self) -> list[Fault]:
        """What the examples expect and the rules do not do."""
        return [fault for example in self.examples for fault in self._example_faults(example)]

    def _example_faults(self, example: SelectionExample) -> Iterator[Fault]:
        steps = [*self.walk(example.request, example.servers, example.rule)]
        found = tuple(step.server for step in steps if step.taken)
        if found != example.expect:
            expected = ", ".join(example.expect) or "none"
            yield Fault(example.where, example.keys, f"expected {expected}, got {', '.join(found) or 'none'}")


def _entry_steps(
    rule: str,
    entry: Entry,
    request: SelectionRequest,
    by_location: Mapping[str, Sequence[MediaServer]],
    considered: set[str],
) -> Iterator[Step]:
    """One entry's servers, the least loaded first. A server is considered once: an earlier entry's verdict stands."""
    text = str(entry.servers)
    unmet = entry.when.unmet(request.facts)
    if unmet:
        yield Step(rule, text, "", taken=False, reason=unmet)
        return
    found = [server for server in _servers(entry.servers, request, by_location) if server.name not in considered]
    if not found:
        yield Step(rule, text, "", taken=False, reason="no further server there")
    for server in sorted(found, key=lambda each: each.load):
        considered.add(server.name)
        yield _server_step(rule, text, server)


def _server_step(rule: str, entry: str, server: MediaServer) -> Step:
    if server.unavailable:
        return Step(rule, entry, server.name, taken=False, reason=server.unavailable)
    load = f"CPU {server.cpu_permille / 10:g} %, {server.sessions} sessions"
    return Step(rule, entry, server.name, taken=True, reason=load)


def _servers(
    wanted: InPlaces | Anywhere, request: SelectionRequest, by_location: Mapping[str, Sequence[MediaServer]]
) -> Iterator[MediaServer]:
    if isinstance(wanted, InPlaces):
        for location in sorted(request.locations(wanted.places)):
            yield from by_location.get(location, ())
        return
    excepted = request.locations(wanted.excepted)
    for location, servers in by_location.items():
        if location not in excepted:
            yield from servers


def _shown(place: Place) -> str:
    return place.value if isinstance(place, Variable) else place
