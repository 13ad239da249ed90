"""Reads selection rules from a document and refuses those that cannot mean what they say: an empty rule, an unknown
location, an entry that can never be reached."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from mediaserverd.policy.criteria import EVERY_CALL, read_criteria
from mediaserverd.policy.document import Node
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.selection import (
    DEFAULT_LOCATION,
    DEFAULT_RULE,
    Anywhere,
    Entry,
    InPlaces,
    MediaServer,
    Place,
    Rule,
    SelectionExample,
    SelectionRequest,
    SelectionRules,
    Variable,
)

_VARIABLES: Final = {each.value: each for each in Variable}
_KINDS: Final = ("location", "group", "any")
_DEFAULT: Final = Rule(
    DEFAULT_RULE,
    (*(Entry(InPlaces((each,)), EVERY_CALL) for each in Variable), Entry(Anywhere(), EVERY_CALL)),
)
_EXAMPLE_KEYS: Final = ("rule", "device", "other-parties", "controller", "call", "servers", "expect")


def from_document(document: object, where: str, locations: Collection[str] = ()) -> SelectionRules:
    """Raises ``PolicyError`` with every fault. ``locations`` are those that stations, lines and media servers are
    in, beside those under ``locations:`` and ``default``."""
    root = Node({} if document is None else document, where).mapping("rules", "locations", "examples")
    known = {DEFAULT_LOCATION, *locations, *(name for name, _ in root["locations"].items())}
    rules = {name: _rule(name, node, known) for name, node in root["rules"].items()}
    if DEFAULT_RULE not in rules:
        rules[DEFAULT_RULE] = _DEFAULT
    location_rules = {name: _rule_of_location(node, rules) for name, node in root["locations"].items()}
    examples = tuple(_example(node, rules) for node in root["examples"].entries())
    root.raise_faults()
    return SelectionRules(rules, location_rules, examples)


def _rule(name: str, node: Node, known: Collection[str]) -> Rule:
    entries: list[Entry] = []
    for each in node.entries():
        entry = _entry(each, known)
        if not entry:
            continue
        before = _that_covers(entry, entries)
        if before:
            each.fault(f"can never be reached: {before.servers} comes before it")
        entries.append(entry)
    if not [*node.entries()]:
        node.fault("an empty rule selects nothing")
    return Rule(name, tuple(entries))


def _entry(node: Node, known: Collection[str]) -> Entry | None:
    """``berlin``, ``$device``, ``any``, or a mapping with one of location, group, any, and perhaps ``when``."""
    if isinstance(node.value, str):
        if node.value == "any":
            return Entry(Anywhere(), EVERY_CALL)
        named = _places(node, known)
        return Entry(InPlaces(named), EVERY_CALL) if named else None
    node.mapping(*_KINDS, "when")
    given = [kind for kind in _KINDS if not node[kind].absent]
    if len(given) != 1:
        node.fault(f"expected exactly one of {', '.join(_KINDS)}")
        return None
    when = read_criteria(node["when"])
    if given == ["any"]:
        return Entry(Anywhere(_places(_any(node["any"])["except"], known)), when)
    places = _places(node[given[0]], known)
    if not places:
        node[given[0]].fault("names no location")
        return None
    if given == ["location"] and len(places) > 1:
        node["location"].fault("several locations at equal priority are a group")
    return Entry(InPlaces(places), when)


def _any(node: Node) -> Node:
    """``any: true`` needs no more; else a mapping."""
    return node if node.value is True else node.mapping("except")


def _places(node: Node, known: Collection[str]) -> tuple[Place, ...]:
    found: list[Place] = []
    for each in node.entries():
        name = each.required_text()
        if name in _VARIABLES:
            found.append(_VARIABLES[name])
        elif name.startswith("$"):
            each.fault(f"{name!r} is none of {', '.join(_VARIABLES)}")
        elif name and name not in known:
            each.fault(f"there is no location {name!r}")
        else:
            found.append(name)
    return tuple(found)


def _that_covers(entry: Entry, before: Sequence[Entry]) -> Entry | None:
    """An earlier entry that always takes every server this one could lead to."""
    always = (each for each in before if each.when.unconditional)
    return next((each for each in always if _covers(each.servers, entry.servers)), None)


def _covers(first: InPlaces | Anywhere, later: InPlaces | Anywhere) -> bool:
    match first, later:
        case Anywhere(()), _:
            return True
        case Anywhere(excepted), Anywhere(also):
            return set(excepted) <= set(also)
        case Anywhere(excepted), InPlaces(places):
            # What a variable stands for is not known here, so it may be the excepted location.
            constant = all(isinstance(place, str) for place in (*excepted, *places))
            return constant and not set(excepted) & set(places)
        case InPlaces(taken), InPlaces(places):
            return set(places) <= set(taken)
        case _:
            return False


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
    node.mapping("name", "location", "unavailable", "cpu", "sessions")
    return MediaServer(
        name=node["name"].required_text(),
        location=node["location"].text(DEFAULT_LOCATION),
        unavailable=node["unavailable"].text(),
        cpu_permille=round(node["cpu"].number(0, 100, 0) * 10),
        sessions=int(node["sessions"].number(0, 1e9, 0)),
    )
