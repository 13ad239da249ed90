"""Selection rules: which media servers to try for a call, in which order, and why each was taken or passed.

::

    rules:
      default: [$device, $other-parties, $controller, any]
      berlin-first:
        - location: berlin
          when: {direction: inbound, time: "08:00-18:00"}
        - group: [berlin, $device]  # all their servers at equal priority
        - any: {except: [hamburg]}
    locations:                      # location -> its rule; one that is not listed has the rule "default"
      berlin: {rule: berlin-first}
    examples:
      - device: berlin
        servers: [{name: b1, location: berlin, cpu: 10}, {name: b2, location: berlin, cpu: 5}]
        expect: [b2, b1]

How a document is read is in ``selection_document``; ``fleet`` knows how the servers stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple

from mediaserverd.policy.criteria import Criteria
from mediaserverd.policy.document import Fault, Path
from mediaserverd.policy.facts import CallFacts
from mediaserverd.policy.fleet import Fleet, MediaServer

DEFAULT_RULE: Final = "default"
MAX_TRIED: Final = 8  # media servers for one call: no caller waits for more of them to refuse
MAX_PASSED: Final = 10  # unfit servers of one entry that a call's explanation names; the others are counted
MAX_STEPS: Final = 60  # of one explanation that is kept with a call, at 200 bytes each
MAX_REASONS: Final = 3  # told to who asked for something that no server can do
RELAYS_ONLY: Final = "it only relays, and cannot record"
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


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
    """``text`` is how it is shown."""

    servers: InPlaces | Anywhere
    when: Criteria
    text: str

    @classmethod
    def of(cls, servers: InPlaces | Anywhere, when: Criteria) -> Entry:
        return cls(servers, when, str(servers))


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class SelectionRequest:
    """``facts.operation`` is what the server is for."""

    device_location: str
    other_locations: tuple[str, ...]
    controller_location: str
    facts: CallFacts

    def locations(self, places: Sequence[Place]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(location for place in places for location in self._locations(place)))

    def _locations(self, place: Place) -> tuple[str, ...]:
        match place:
            case str():
                return (place,)
            case Variable.DEVICE:
                return (self.device_location,)
            case Variable.OTHER_PARTIES:
                return self.other_locations
            case Variable.CONTROLLER:
                return (self.controller_location,)


class Step(NamedTuple):
    """One server considered, or (``server`` empty) an entry that led to none, or to more than are named. A tuple, for a
    rule of 200 conditions makes 200 of them while a caller waits."""

    rule: str
    entry: str
    server: str
    taken: bool
    reason: str

    def __str__(self) -> str:
        verdict = "take" if self.taken else "pass"
        return f"{self.rule}: {self.entry}: " + (f"{verdict} {self.server}: " if self.server else "") + self.reason


@dataclass(frozen=True, slots=True)
class Selection:
    """``servers`` are to be tried one after the other; ``steps`` say why these. ``left_out`` are steps not kept."""

    rule: str
    servers: tuple[str, ...]
    steps: tuple[Step, ...]
    left_out: int = 0

    @property
    def why_none(self) -> str:
        """The first reasons, if there is no server; empty if there is one."""
        passed = (f"{step.server}: {step.reason}" for step in self.steps if step.server)
        return "" if self.servers else "; ".join(islice(passed, MAX_REASONS))


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

    def select(
        self,
        request: SelectionRequest,
        fleet: Fleet,
        excluded: Mapping[str, str] = NOBODY,
        *,
        relay_will_do: bool = False,
    ) -> Selection:
        """The rule of the device's location, walked until there are enough to try. ``excluded``: servers that this call
        has had enough of, and why. ``relay_will_do``: even to record, one that cannot is taken."""
        rule = self.rule_of(request.device_location)
        walk = _Walk(rule.name, request, fleet, excluded, MAX_PASSED, relay_will_do=relay_will_do)
        servers: list[str] = []
        steps: list[Step] = []
        left_out = 0
        for step in walk.steps(rule.entries):
            if step.taken:
                servers.append(step.server)
            if step.taken or len(steps) < MAX_STEPS - MAX_TRIED:
                steps.append(step)
            else:
                left_out += 1
            if len(servers) == MAX_TRIED:
                break
        return Selection(rule.name, tuple(servers), tuple(steps), left_out)

    def explain(self, request: SelectionRequest, fleet: Fleet, rule: str = "") -> Iterator[Step]:
        """Every server that there is, in order. ``rule`` empty: that of the device's location."""
        chosen = self.rules[rule] if rule else self.rule_of(request.device_location)
        return _Walk(chosen.name, request, fleet, NOBODY, len(fleet)).steps(chosen.entries)

    def example_faults(self) -> list[Fault]:
        """What the examples expect and the rules do not do."""
        return [fault for example in self.examples for fault in self._example_faults(example)]

    def _example_faults(self, example: SelectionExample) -> Iterator[Fault]:
        steps = self.explain(example.request, Fleet(example.servers), example.rule)
        found = tuple(step.server for step in steps if step.taken)
        if found != example.expect:
            expected = ", ".join(example.expect) or "none"
            yield Fault(example.where, example.keys, f"expected {expected}, got {', '.join(found) or 'none'}")


class _Walk:
    """One walk through a rule. A server is considered once: an earlier entry's verdict stands."""

    def __init__(
        self,
        rule: str,
        request: SelectionRequest,
        fleet: Fleet,
        excluded: Mapping[str, str],
        most_passed: int,
        *,
        relay_will_do: bool = False,
    ) -> None:
        self._rule = rule
        self._request = request
        self._fleet = fleet
        self._excluded = excluded
        self._most_passed = most_passed
        self._relay_will_do = relay_will_do
        self._considered: set[str] = set()

    def steps(self, entries: Iterable[Entry]) -> Iterator[Step]:
        facts = self._request.facts
        for entry in entries:
            unmet = entry.when.unmet(facts)
            if unmet:
                yield Step(self._rule, entry.text, "", taken=False, reason=unmet)
            else:
                yield from self._entry(entry)

    def _entry(self, entry: Entry) -> Iterator[Step]:
        """Those that may not be used now, then the others, the most available first."""
        unfit, fit = self._servers(entry.servers)
        before = len(self._considered)
        passed = [server for server in unfit if server.name not in self._considered]
        self._considered.update(server.name for server in passed)
        for server in islice(passed, self._most_passed):
            yield Step(self._rule, entry.text, server.name, taken=False, reason=server.unavailable)
        if len(passed) > self._most_passed:
            more = len(passed) - self._most_passed
            yield Step(self._rule, entry.text, "", taken=False, reason=f"{more} more servers cannot be used now")
        for server in fit:
            if server.name not in self._considered:
                self._considered.add(server.name)
                yield self._fit_step(entry.text, server)
        if len(self._considered) == before:
            yield Step(self._rule, entry.text, "", taken=False, reason="no further server there")

    def _servers(self, wanted: InPlaces | Anywhere) -> tuple[Iterator[MediaServer], Iterator[MediaServer]]:
        if isinstance(wanted, InPlaces):
            locations = self._request.locations(wanted.places)
            return self._fleet.unfit(locations), self._fleet.fit(locations)
        excepted = self._request.locations(wanted.excepted)
        return self._fleet.unfit_elsewhere(excepted), self._fleet.fit_elsewhere(excepted)

    def _fit_step(self, entry: str, server: MediaServer) -> Step:
        cannot = RELAYS_ONLY if server.relays_only and self._request.facts.operation == "record" else ""
        why_not = self._excluded.get(server.name, "" if self._relay_will_do else cannot)
        if why_not:
            return Step(self._rule, entry, server.name, taken=False, reason=why_not)
        load = f"CPU {server.cpu_permille / 10:g} %, {server.sessions} sessions"
        return Step(self._rule, entry, server.name, taken=True, reason=f"{load}; {cannot}" if cannot else load)


def _shown(place: Place) -> str:
    return place.value if isinstance(place, Variable) else place
