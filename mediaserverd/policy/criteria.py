"""The conditions that all policies share: which calls does this one mean? Every condition given must hold; an absent
one holds always; of several values in one condition, one is enough."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import translate
from typing import Final

from mediaserverd.policy.document import Node
from mediaserverd.policy.facts import CallDirection, CallFacts

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SETS: Final = ("station", "line", "workgroup", "role", "location", "operation")
KEYS: Final = ("direction", "calling", "called", "number", *_SETS, "days", "time", "sample", "attributes")


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """``*`` stands for any characters, ``?`` for one, ``[1-9]`` for one of a range; the whole number must fit."""

    text: str
    _compiled: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def of(cls, text: str) -> NumberPattern:
        """Raises ``ValueError`` with what is wrong."""
        if not text:
            raise ValueError("an empty pattern")
        if text.count("[") != text.count("]"):
            raise ValueError(f"{text!r} opens a [ that it does not close")
        try:
            return cls(text, re.compile(translate(text)))
        except re.error as error:
            raise ValueError(f"{text!r} is no pattern: {error}") from error

    def fits(self, number: str) -> bool:
        return self._compiled.match(number) is not None


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From ``begin`` until just before ``end``. One over midnight belongs to the day on which it begins."""

    begin: time
    end: time

    def day_of(self, now: datetime) -> int | None:
        """The weekday (0 is Monday) whose window ``now`` lies in; none if it lies in no window."""
        clock = now.time()
        if self.begin <= self.end:
            return now.weekday() if self.begin <= clock < self.end else None
        if clock >= self.begin:
            return now.weekday()
        return (now - timedelta(days=1)).weekday() if clock < self.end else None


@dataclass(frozen=True, slots=True)
class AttributeTest:
    """``contains`` None: whether the attribute is set at all."""

    name: str
    wanted: bool
    contains: str | None = None

    def holds(self, attributes: Mapping[str, str]) -> bool:
        if self.contains is None:
            return (self.name in attributes) is self.wanted
        return self.contains in attributes.get(self.name, "")


@dataclass(frozen=True, slots=True)
class Criteria:
    """``sets`` are the conditions on names: key of the document -> names of which one must be in the call."""

    directions: frozenset[CallDirection] = frozenset()
    calling: tuple[NumberPattern, ...] = ()
    called: tuple[NumberPattern, ...] = ()
    number: tuple[NumberPattern, ...] = ()
    sets: tuple[tuple[str, frozenset[str]], ...] = ()
    days: frozenset[int] = frozenset()
    window: TimeWindow | None = None
    sample: float | None = None
    attributes: tuple[AttributeTest, ...] = ()

    @property
    def unconditional(self) -> bool:
        return self == EVERY_CALL

    def unmet(self, facts: CallFacts) -> str:
        """The first condition that this call does not meet, in words; empty if it meets all."""
        if self.directions and facts.direction not in self.directions:
            return f"direction is {facts.direction.value}"
        for key, names in self.sets:
            found = _names(key, facts)
            if names.isdisjoint(found):
                return f"{key} is {', '.join(found) or 'none'}"
        if (self.days or self.window) and not self._in_time(facts.local_time):
            return f"time is {facts.local_time:%a %H:%M}"
        if self.sample is not None and facts.sample >= self.sample:
            return f"not in the sample of {self.sample:g} %"
        return self._unmet_numbers(facts) or self._unmet_attribute(facts)

    def _unmet_numbers(self, facts: CallFacts) -> str:
        calling, called = facts.calling.number, facts.called.number
        if self.calling and not _fits(self.calling, calling):
            return f"calling number is {calling or 'unknown'}"
        if self.called and not _fits(self.called, called):
            return f"called number is {called or 'unknown'}"
        if self.number and not (_fits(self.number, calling) or _fits(self.number, called)):
            return f"numbers are {calling or 'unknown'} and {called or 'unknown'}"
        return ""

    def _unmet_attribute(self, facts: CallFacts) -> str:
        missed = next((test.name for test in self.attributes if not test.holds(facts.attributes)), None)
        return "" if missed is None else f"attribute {missed} is {facts.attributes.get(missed, 'not set')}"

    def _in_time(self, now: datetime) -> bool:
        day = self.window.day_of(now) if self.window else now.weekday()
        return day is not None and (not self.days or day in self.days)


EVERY_CALL: Final = Criteria()


def read_criteria(node: Node) -> Criteria:
    """From ``when:``; absent, it means every call."""
    if node.absent:
        return EVERY_CALL
    node.mapping(*KEYS)
    directions = [each.one_of([one.value for one in CallDirection], "internal") for each in node["direction"].entries()]
    sets = tuple((key, frozenset(node[key].texts())) for key in _SETS if not node[key].absent)
    return Criteria(
        directions=frozenset(map(CallDirection, directions)),
        calling=read_patterns(node["calling"]),
        called=read_patterns(node["called"]),
        number=read_patterns(node["number"]),
        sets=sets,
        days=frozenset(day for each in node["days"].entries() for day in _days(each)),
        window=_window(node["time"]),
        sample=None if node["sample"].absent else node["sample"].number(0, 100, 0),
        attributes=tuple(_attribute(name, test) for name, test in node["attributes"].items()),
    )


def read_patterns(node: Node) -> tuple[NumberPattern, ...]:
    found = []
    for entry in node.entries():
        try:
            found.append(NumberPattern.of(entry.text("*")))
        except ValueError as error:
            entry.fault(str(error))
    return tuple(found)


def _fits(patterns: Iterable[NumberPattern], number: str) -> bool:
    return any(pattern.fits(number) for pattern in patterns)


def _names(key: str, facts: CallFacts) -> tuple[str, ...]:
    match key:
        case "station":
            return facts.stations
        case "line":
            return facts.lines
        case "role":
            return facts.roles
        case "location":
            return facts.locations
        case "workgroup":
            return (facts.workgroup,) if facts.workgroup else ()
        case _:
            return (facts.operation,) if facts.operation else ()


def _days(node: Node) -> Iterator[int]:
    """``mon`` or ``mon-fri``; ``fri-mon`` goes over the weekend."""
    first, _, last = node.text("mon").lower().partition("-")
    if first not in _DAYS or (last and last not in _DAYS):
        node.fault(f"expected a day ({', '.join(_DAYS)}) or a span like mon-fri")
        return
    day, end = _DAYS.index(first), _DAYS.index(last or first)
    yield day
    while day != end:
        day = (day + 1) % 7
        yield day


def _window(node: Node) -> TimeWindow | None:
    if node.absent:
        return None
    begin, _, end = node.text().partition("-")
    try:
        return TimeWindow(time.fromisoformat(begin.strip()), time.fromisoformat(end.strip()))
    except ValueError:
        node.fault("expected a span like 08:00-18:00")
        return None


def _attribute(name: str, node: Node) -> AttributeTest:
    match node.text().split(" ", 1):
        case ["set"]:
            return AttributeTest(name, wanted=True)
        case ["not", "set"]:
            return AttributeTest(name, wanted=False)
        case ["contains", text] if text:
            return AttributeTest(name, wanted=True, contains=text)
        case _:
            node.fault("expected 'set', 'not set' or 'contains TEXT'")
            return AttributeTest(name, wanted=True)
