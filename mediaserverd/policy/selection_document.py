"""Reads selection rules from a document and refuses those that cannot mean what they say: an empty rule, an unknown
location, an entry that can never be reached."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from mediaserverd.policy.criteria import EVERY_CALL, Criteria, read_criteria
from mediaserverd.policy.document import Node
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.facts import OPERATIONS
from mediaserverd.policy.fleet import DEFAULT_LOCATION, MediaServer
from mediaserverd.policy.selection import (
    DEFAULT_RULE,
    Anywhere,
    Entry,
    InPlaces,
    Place,
    Rule,
    SelectionExample,
    SelectionRequest,
    SelectionRules,
    Variable,
)

Known = Mapping[str, Collection[str]]  # "location", "station", "line", "workgroup": the names that there are

_NOTHING_KNOWN: Final[Known] = MappingProxyType({})
_VARIABLES: Final = {each.value: each for each in Variable}
_KINDS: Final = ("location", "group", "any")
_DEFAULT: Final = Rule(
    DEFAULT_RULE,
    (*(Entry.of(InPlaces((each,)), EVERY_CALL) for each in Variable), Entry.of(Anywhere(), EVERY_CALL)),
)
_EXAMPLE_KEYS: Final = ("rule", "device", "other-parties", "controller", "call", "servers", "expect")


def from_document(document: object, where: str, known: Known = _NOTHING_KNOWN) -> SelectionRules:
    """Raises ``PolicyError`` with every fault. ``known``: what rules may name. Locations are also those under
    ``locations:``, and ``default``; of other kinds that are not given, any name will do."""
    root = Node({} if document is None else document, where).mapping("rules", "locations", "examples")
    places = {DEFAULT_LOCATION, *known.get("location", ()), *(name for name, _ in root["locations"].items())}
    known = {**known, "location": places, "operation": OPERATIONS}
    rules = {name: _rule(name, node, known) for name, node in root["rules"].items()}
    if DEFAULT_RULE not in rules:
        rules[DEFAULT_RULE] = _DEFAULT
    location_rules = {name: _rule_of_location(node, rules) for name, node in root["locations"].items()}
    examples = tuple(_example(node, rules) for node in root["examples"].entries())
    root.raise_faults()
    return SelectionRules(rules, location_rules, examples)


def _rule(name: str, node: Node, known: Known) -> Rule:
    entries: list[Entry] = []
    for each in node.entries():
        entry = _entry(each, known)
        if not entry:
            continue
        before = _that_cover(entry, entries)
        if before:
            each.fault(f"can never be reached behind {'; '.join(one.text for one in before)}")
        entries.append(entry)
    if not [*node.entries()]:
        node.fault("an empty rule selects nothing")
    return Rule(name, tuple(entries))


def _entry(node: Node, known: Known) -> Entry | None:
    """``berlin``, ``$device``, ``any``, or a mapping with one of location, group, any, and perhaps ``when``."""
    if isinstance(node.value, str):
        if node.value == "any":
            return Entry.of(Anywhere(), EVERY_CALL)
        named = _places(node, known)
        return Entry.of(InPlaces(named), EVERY_CALL) if named else None
    node.mapping(*_KINDS, "when")
    given = [kind for kind in _KINDS if not node[kind].absent]
    if len(given) != 1:
        node.fault(f"expected exactly one of {', '.join(_KINDS)}")
        return None
    when = _when(node["when"], known)
    if given == ["any"]:
        excepted = _places(_any(node["any"])["except"], known)
        if set(known["location"]) <= set(excepted):
            node["any"].fault("leads to no server: every location is excepted")
        return Entry.of(Anywhere(excepted), when)
    places = _places(node[given[0]], known)
    if not places:
        node[given[0]].fault("names no location")
        return None
    if given == ["location"] and len(places) > 1:
        node["location"].fault("several locations at equal priority are a group")
    return Entry.of(InPlaces(places), when)


def _when(node: Node, known: Known) -> Criteria:
    """A condition on something that there is not holds never, so it is a mistake."""
    when = read_criteria(node)
    for kind, names in known.items():
        for each in node[kind].entries():
            if isinstance(each.value, str) and each.value not in names:
                each.fault(f"there is no {kind} {each.value!r}")
    return when


def _any(node: Node) -> Node:
    """``any: true`` needs no more; else a mapping."""
    return node if node.value is True else node.mapping("except")


def _places(node: Node, known: Known) -> tuple[Place, ...]:
    found: list[Place] = []
    for each in node.entries():
        name = each.required_text()
        if name in _VARIABLES:
            found.append(_VARIABLES[name])
        elif name.startswith("$"):
            each.fault(f"{name!r} is none of {', '.join(_VARIABLES)}")
        elif name and name not in known["location"]:
            each.fault(f"there is no location {name!r}")
        else:
            found.append(name)
    return tuple(found)


def _that_cover(entry: Entry, before: Sequence[Entry]) -> list[Entry]:
    """Earlier entries that together take every server this one could lead to, whenever it counts; empty if they do
    not."""
    always = [each for each in before if each.when in (EVERY_CALL, entry.when)]
    taken = {place for each in always if isinstance(each.servers, InPlaces) for place in each.servers.places}
    left_by_any = [set(each.servers.excepted) - taken for each in always if isinstance(each.servers, Anywhere)]
    match entry.servers:
        case Anywhere(excepted):
            covered = any(left <= set(excepted) for left in left_by_any)
        case InPlaces(places):
            covered = all(place in taken or any(_is_outside(place, left) for left in left_by_any) for place in places)
    return always if covered else []


def _is_outside(place: Place, left: Collection[Place]) -> bool:
    """What a variable stands for is not known here, so it may be a location that is left."""
    return not left or (place not in left and all(isinstance(each, str) for each in (place, *left)))


def _rule_of_location(node: Node, rules: Collection[str]) -> str:
    rule = node.mapping("rule")["rule"]
    name = rule.text(DEFAULT_RULE)
    if name not in rules:
        rule.fault(f"there is no rule {name!r}")
    return name


def _example(node: Node, rules: Collection[str]) -> SelectionExample:
    node.mapping(*_EXAMPLE_KEYS)
    rule = node["rule"].text()
    if rule and rule not in rules:
        node["rule"].fault(f"there is no rule {rule!r}")
    request = SelectionRequest(
        device_location=node["device"].text(DEFAULT_LOCATION),
        other_locations=node["other-parties"].texts(),
        controller_location=node["controller"].text(DEFAULT_LOCATION),
        facts=read_call(node["call"]),
    )
    servers = tuple(_server(each) for each in node["servers"].entries())
    return SelectionExample(node.where, node.keys, rule, request, servers, node["expect"].texts())


def _server(node: Node) -> MediaServer:
    node.mapping("name", "location", "unavailable", "cpu", "sessions", "relays-only")
    return MediaServer(
        name=node["name"].required_text(),
        location=node["location"].text(DEFAULT_LOCATION),
        unavailable=node["unavailable"].text(),
        cpu_permille=round(node["cpu"].number(0, 100, 0) * 10),
        sessions=int(node["sessions"].number(0, 1e9, 0)),
        relays_only=node["relays-only"].flag(default=False),
    )
