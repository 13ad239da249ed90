"""The conditions that all policies share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from mediaserverd.policy.criteria import Criteria, read_criteria
from mediaserverd.policy.document import Node, PolicyError
from mediaserverd.policy.facts import CallDirection, CallFacts, Party

CALL = CallFacts(
    direction=CallDirection.INBOUND,
    calling=Party(number="+4930123456", line="carrier", location="berlin"),
    called=Party(number="100", station="alice", location="default", roles=("agent",)),
    local_time=datetime(2024, 1, 5, 23, 30),  # a Friday
    workgroup="sales",
    operation="record",
    sample=42.0,
    attributes={"queue": "north sales"},
)


def criteria(when: Any) -> Criteria:
    node = Node(when, "")
    found = read_criteria(node)
    node.raise_faults()
    return found


@pytest.mark.parametrize(
    "when",
    [
        None,
        {},
        {"direction": "inbound"},
        {"direction": ["outbound", "inbound"]},
        {"calling": "+49*"},
        {"called": ["20?", "1[0-4]0"]},
        {"number": "100"},
        {"station": "alice", "line": "carrier", "workgroup": ["x", "sales"], "role": "agent", "location": "berlin"},
        {"operation": "record"},
        {"days": "fri"},
        {"days": "wed-sat"},
        {"days": "fri-mon", "time": "22:00-06:00"},
        {"time": "23:30-23:31"},
        {"sample": 42.5},
        {"attributes": {"queue": "contains sales", "vip": "not set"}},
        {"attributes": {"queue": "set"}},
    ],
)
def test_a_call_that_meets_every_condition_is_meant(when: Any) -> None:
    assert criteria(when).unmet(CALL) == ""


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ({"direction": "internal"}, "direction is inbound"),
        ({"calling": "49*"}, "calling number is +4930123456"),
        ({"called": "10"}, "called number is 100"),
        ({"number": ["101", "+1*"]}, "numbers are +4930123456 and 100"),
        ({"station": "bob"}, "station is alice"),
        ({"role": ["supervisor"]}, "role is agent"),
        ({"workgroup": "support", "station": "alice"}, "workgroup is sales"),
        ({"days": "mon-thu"}, "time is Fri 23:30"),
        ({"time": "08:00-23:30"}, "time is Fri 23:30"),
        ({"sample": 42}, "not in the sample of 42 %"),
        ({"attributes": {"queue": "not set"}}, "attribute queue is north sales"),
        ({"attributes": {"vip": "contains x"}}, "attribute vip is not set"),
    ],
)
def test_the_condition_that_a_call_does_not_meet_is_named(when: Any, reason: str) -> None:
    assert criteria(when).unmet(CALL) == reason


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday_night = criteria({"days": "fri", "time": "22:00-06:00"})
    at = [datetime(2024, 1, 5, 3), datetime(2024, 1, 5, 22), datetime(2024, 1, 6, 5, 59), datetime(2024, 1, 6, 6)]
    calls = [
        CallFacts(direction=CALL.direction, calling=CALL.calling, called=CALL.called, local_time=time) for time in at
    ]
    assert [friday_night.unmet(call) == "" for call in calls] == [False, True, True, False]


@pytest.mark.parametrize(
    ("when", "path"),
    [
        ({"direction": "sideways"}, "direction"),
        ({"calling": 49}, "calling"),  # YAML's reading of an unquoted +49
        ({"called": "1[0-9"}, "called"),
        ({"days": ["mon", "doomsday"]}, "days[1]"),
        ({"time": "8-18"}, "time"),
        ({"sample": 101}, "sample"),
        ({"sample": True}, "sample"),
        ({"attributes": {"x": "is set"}}, "attributes.x"),
        ({"attributes": []}, "attributes"),
        ({"weather": "fine"}, "weather"),
        ([], ""),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused_at_its_place(when: Any, path: str) -> None:
    with pytest.raises(PolicyError) as caught:
        criteria(when)
    assert [fault.path for fault in caught.value.faults] == [path]
