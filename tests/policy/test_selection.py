"""Selection rules: which media servers are tried, in which order, and why."""

from __future__ import annotations

from typing import Any

import pytest

from mediaserverd.policy.document import Node, PolicyError
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.selection import MAX_TRIED, MediaServer, SelectionRequest, SelectionRules
from mediaserverd.policy.selection_document import from_document

SERVERS = [
    MediaServer("b1", "berlin", cpu_permille=300, sessions=1),
    MediaServer("b2", "berlin", cpu_permille=100, sessions=9),
    MediaServer("h1", "hamburg", cpu_permille=100, sessions=3),
    MediaServer("d1", unavailable="draining"),
    MediaServer("d2", cpu_permille=900),
]


def request(device: str = "berlin", others: tuple[str, ...] = (), controller: str = "default", **facts: Any) -> Any:
    return SelectionRequest(device, others, controller, read_call(Node(facts, "")))


def rules(*entries: Any, locations: tuple[str, ...] = ("berlin", "hamburg")) -> SelectionRules:
    return from_document({"rules": {"default": list(entries)}}, "rules.yaml", locations)


def faults(document: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        from_document(document, "", ("berlin", "hamburg"))
    return [f"{fault.path}: {fault.text}" for fault in caught.value.faults]


def test_the_default_rule_goes_from_the_device_to_others_to_the_controller_to_any() -> None:
    default = from_document(None, "", ("berlin",))
    assert default.candidates(request("default", ("hamburg",), "berlin"), SERVERS) == ("d2", "h1", "b2", "b1")
    assert default.candidates(request("nowhere", (), "nowhere"), SERVERS) == ("h1", "b2", "b1", "d2")


def test_within_a_location_the_lowest_cpu_goes_first_then_the_fewest_sessions() -> None:
    assert rules("berlin").candidates(request(), SERVERS) == ("b2", "b1")


def test_a_group_balances_over_all_its_servers_and_not_per_location() -> None:
    group = rules({"group": ["$device", "hamburg"]})
    assert group.candidates(request("berlin"), SERVERS) == ("h1", "b2", "b1")


def test_a_call_tries_no_more_servers_than_its_caller_would_wait_for() -> None:
    servers = [MediaServer(f"m{number:02}", "berlin") for number in range(50)]
    assert rules("any").candidates(request(), servers) == tuple(f"m{number:02}" for number in range(MAX_TRIED))


def test_any_leaves_out_what_it_excepts() -> None:
    assert rules({"any": {"except": ["$device"]}}).candidates(request("berlin"), SERVERS) == ("h1", "d2")


def test_an_entry_counts_only_when_its_conditions_hold() -> None:
    conditional = rules({"location": "hamburg", "when": {"direction": "inbound"}}, "berlin")
    assert conditional.candidates(request(direction="inbound"), SERVERS) == ("h1", "b2", "b1")
    assert conditional.candidates(request(direction="outbound"), SERVERS) == ("b2", "b1")


def test_a_rule_without_any_may_lead_to_no_server() -> None:
    assert rules("$other-parties").candidates(request(), SERVERS) == ()


def test_the_location_of_the_device_names_the_rule() -> None:
    document = {"locations": {"berlin": {"rule": "local"}}, "rules": {"local": ["berlin"]}}
    found = from_document(document, "", ("hamburg",))
    assert found.candidates(request("berlin"), SERVERS) == ("b2", "b1")
    assert len(found.candidates(request("hamburg"), SERVERS)) == 4


def test_the_walk_explains_every_server_considered_in_order() -> None:
    walked = rules({"location": "hamburg", "when": {"line": "x"}}, "default", "berlin", "any").walk(request(), SERVERS)
    assert [str(step) for step in walked] == [
        "default: hamburg: line is none",
        "default: default: pass d1: draining",
        "default: default: take d2: CPU 90 %, 0 sessions",
        "default: berlin: take b2: CPU 10 %, 9 sessions",
        "default: berlin: take b1: CPU 30 %, 1 sessions",
        "default: any: take h1: CPU 10 %, 3 sessions",
    ]


def test_rules_that_cannot_mean_what_they_say_are_refused_at_their_place() -> None:
    assert faults({"rules": {"empty": [], "odd": ["paris", "$moon", {"location": "berlin", "any": True}, {}]}}) == [
        "rules.empty: an empty rule selects nothing",
        "rules.odd[0]: there is no location 'paris'",
        "rules.odd[1]: '$moon' is none of $device, $other-parties, $controller",
        "rules.odd[2]: expected exactly one of location, group, any",
        "rules.odd[3]: expected exactly one of location, group, any",
    ]


@pytest.mark.parametrize(
    ("entries", "unreachable"),
    [
        (["any", "berlin"], [1]),
        (["any", {"any": {"except": ["berlin"]}}], [1]),
        (["$device", "$controller", "$device"], [2]),
        ([{"group": ["berlin", "hamburg"]}, "hamburg"], [1]),
        ([{"any": {"except": ["berlin"]}}, "hamburg"], [1]),
        ([{"any": {"except": ["berlin"]}}, "berlin"], []),
        ([{"any": {"except": ["berlin"]}}, "$device"], []),
        ([{"any": True, "when": {"line": "x"}}, "berlin"], []),
        (["berlin", {"group": ["berlin", "hamburg"]}], []),
    ],
)
def test_an_entry_behind_one_that_covers_it_is_refused(entries: list[Any], unreachable: list[int]) -> None:
    document = {"rules": {"default": entries}}
    if not unreachable:
        assert len(from_document(document, "", ("berlin", "hamburg")).rules["default"].entries) == len(entries)
        return
    assert [text.partition(":")[0] for text in faults(document)] == [f"rules.default[{at}]" for at in unreachable]


def test_examples_are_checked_and_say_what_came_instead() -> None:
    example = {
        "device": "berlin",
        "call": {"direction": "inbound"},
        "servers": [{"name": "b1", "location": "berlin", "cpu": 10.5}, {"name": "b2", "location": "berlin"}],
        "expect": ["b2", "b1"],
    }
    document = {"rules": {"default": ["$device"]}, "examples": [example, {**example, "expect": "b1"}]}
    found = from_document(document, "r.yaml").example_faults()
    assert [str(fault) for fault in found] == ["r.yaml: examples[1]: expected b1, got b2, b1"]


def test_examples_and_locations_with_faults_are_refused() -> None:
    document = {
        "locations": {"berlin": {"rule": "none-such"}},
        "examples": [{"rule": "other", "servers": [{"cpu": 200}], "expect": ["x"], "colour": 1}],
    }
    assert [text.partition(":")[0] for text in faults(document)] == [
        "locations.berlin.rule",
        "examples[0].colour",
        "examples[0].rule",
        "examples[0].servers[0].name",
        "examples[0].servers[0].cpu",
    ]
