"""The calls in ``examples:`` of a policy document: the administrator's own tests, run when the document is checked."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mediaserverd.policy.document import Node
from mediaserverd.policy.facts import CallDirection, CallFacts, Party

_NOON_OF_A_MONDAY: Final = datetime(2024, 1, 1, 12, 0)
_CALL_KEYS: Final = ("direction", "calling", "called", "time", "workgroup", "operation", "sample", "attributes")


def read_call(node: Node) -> CallFacts:
    """``call:`` of an example. What is left out is an internal call between unknown phones, Monday at noon."""
    if not node.absent:
        node.mapping(*_CALL_KEYS)
    return CallFacts(
        direction=CallDirection(node["direction"].one_of([each.value for each in CallDirection], "internal")),
        calling=_party(node["calling"]),
        called=_party(node["called"]),
        local_time=_time(node["time"]),
        workgroup=node["workgroup"].text(),
        operation=node["operation"].text(),
        sample=node["sample"].number(0, 100, 0),
        attributes={name: value.text() for name, value in node["attributes"].items()},
    )


def _party(node: Node) -> Party:
    """A number alone, or a mapping."""
    if node.absent or isinstance(node.value, str):
        return Party(number=node.text())
    node.mapping("number", "name", "station", "line", "location", "roles")
    number, name = node["number"].text(), node["name"].text()
    station, line, location = node["station"].text(), node["line"].text(), node["location"].text()
    return Party(number, name, station, line, location, node["roles"].texts())


def _time(node: Node) -> datetime:
    if isinstance(node.value, datetime):  # YAML has a type for it
        return node.value.replace(tzinfo=None)
    try:
        return datetime.fromisoformat(node.text()).replace(tzinfo=None) if not node.absent else _NOON_OF_A_MONDAY
    except ValueError:
        node.fault("expected a time like 2026-01-31T09:30")
        return _NOON_OF_A_MONDAY
