"""Selection rules: which media servers are tried, in which order, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mediaserverd.policy.document import Node, PolicyError
from mediaserverd.policy.examples import read_call
from mediaserverd.policy.fleet import Fleet, MediaServer
from mediaserverd.policy.selection import MAX_TRIED, SelectionRequest, SelectionRules
from mediaserverd.policy.selection_document import from_document

FLEET = Fleet(
    [
        MediaServer("b1", "berlin", cpu_permille=300, sessions=1),
        MediaServer("b2", "berlin", cpu_permille=100, sessions=9),
        MediaServer("h1", "hamburg", cpu_permille=100, sessions=3),
        MediaServer("d1", unavailable="draining"),
        MediaServer("d2", cpu_permille=900),
    ]
)
KNOWN = {"location": ("berlin", "hamburg"), "line": ("carrier",)}


def request(device: str = "berlin", others: tuple[str, ...] = (), controller: str = "default", **facts: Any) -> Any:
    return SelectionRequest(device, others, controller, read_call(Node(facts, "")))


def rules(*entries: Any) -> SelectionRules:
    return from_document({"rules": {"default": list(entries)}}, "rules.yaml", KNOWN)


def found(rules: SelectionRules, request: SelectionRequest, fleet: Fleet = FLEET) -> tuple[str, ...]:
    return rules.select(request, fleet).servers


def faults(document: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        from_document(document, "", KNOWN)
    return [f"{fault.path}: {fault.text}" for fault in caught.value.faults]


def test_the_default_rule_goes_from_the_device_to_others_to_the_controller_to_any() -> None:
    default = from_document(None, "", {"location": ("berlin",)})
    assert found(default, request("default", ("hamburg",), "berlin")) == ("d2", "h1", "b2", "b1")
    assert found(default, request("nowhere", (), "nowhere")) == ("h1", "b2", "b1", "d2")


def test_within_a_location_the_lowest_cpu_goes_first_then_the_fewest_sessions() -> None:
    assert found(rules("berlin"), request()) == ("b2", "b1")
    noise = Fleet([MediaServer("n1", "berlin", cpu_permille=108), MediaServer("n2", "berlin", "", 101, 3)])
    assert found(rules("berlin"), request(), noise) == ("n1", "n2")


def test_a_group_balances_over_all_its_servers_and_not_per_location() -> None:
    group = rules({"group": ["$device", "hamburg"]})
    assert found(group, request("berlin")) == ("h1", "b2", "b1")


def test_a_call_tries_no_more_servers_than_its_caller_would_wait_for() -> None:
    many = Fleet(MediaServer(f"m{number:02}", "berlin") for number in range(50))
    assert found(rules("any"), request(), many) == tuple(f"m{number:02}" for number in range(MAX_TRIED))


def test_any_leaves_out_what_it_excepts() -> None:
    assert found(rules({"any": {"except": ["$device"]}}), request("berlin")) == ("h1", "d2")


def test_an_entry_counts_only_when_its_conditions_hold() -> None:
    conditional = rules({"location": "hamburg", "when": {"direction": "inbound"}}, "berlin")
    assert found(conditional, request(direction="inbound")) == ("h1", "b2", "b1")
    assert found(conditional, request(direction="outbound")) == ("b2", "b1")


def test_a_rule_without_any_may_lead_to_no_server() -> None:
    assert found(rules("$other-parties"), request()) == ()


def test_the_location_of_the_device_names_the_rule() -> None:
    document = {"locations": {"berlin": {"rule": "local"}}, "rules": {"local": ["berlin"]}}
    local = from_document(document, "", {"location": ("hamburg",)})
    assert found(local, request("berlin")) == ("b2", "b1")
    assert len(found(local, request("hamburg"))) == 4


def test_a_server_that_the_call_has_had_enough_of_is_passed_and_the_next_entry_follows() -> None:
    chosen = rules("berlin", "any").select(request(), FLEET, {"b2": "silent", "b1": "lost"})
    assert chosen.servers == ("h1", "d2")
    assert [str(step) for step in chosen.steps][:2] == [
        "default: berlin: pass b2: silent",
        "default: berlin: pass b1: lost",
    ]


def test_a_server_that_only_relays_is_passed_for_a_recording_unless_the_call_needs_one_all_the_same() -> None:
    fleet = Fleet([MediaServer("relay", relays_only=True), MediaServer("busy", cpu_permille=900)])
    record = replace(request(), facts=replace(request().facts, operation="record"))
    everywhere = rules("any")
    assert found(everywhere, request(), fleet) == ("relay", "busy")
    assert found(everywhere, record, fleet) == ("busy",)
    fleet.remove("busy")
    none, carried = everywhere.select(record, fleet), everywhere.select(record, fleet, relay_will_do=True)
    assert (none.servers, none.why_none) == ((), "relay: it only relays, and cannot record")
    assert (carried.servers, carried.why_none) == (("relay",), "")
    assert str(carried.steps[0]).endswith("take relay: CPU 0 %, 0 sessions; it only relays, and cannot record")


def test_a_server_that_changes_is_found_where_it_then_stands() -> None:
    fleet = Fleet([MediaServer("b1", "berlin"), MediaServer("b2", "berlin", cpu_permille=100)])
    everywhere = rules("berlin", "any")
    fleet.put(MediaServer("b1", "berlin", cpu_permille=500))
    assert found(everywhere, request(), fleet) == ("b2", "b1")
    fleet.put(MediaServer("b2", "hamburg"))
    assert found(everywhere, request(), fleet) == ("b1", "b2")
    fleet.put(MediaServer("b2", "hamburg", unavailable="draining"))
    assert found(everywhere, request(), fleet) == ("b1",)
    fleet.remove("b1")
    assert found(everywhere, request(), fleet) == ()
    assert (len(fleet), fleet.get("b1")) == (1, None)


def test_the_explanation_has_every_server_in_order() -> None:
    steps = rules({"location": "hamburg", "when": {"line": "carrier"}}, "default", "berlin", "any").explain(
        request(), FLEET
    )
    assert [str(step) for step in steps] == [
        "default: hamburg: line is none",
        "default: default: pass d1: draining",
        "default: default: take d2: CPU 90 %, 0 sessions",
        "default: berlin: take b2: CPU 10 %, 9 sessions",
        "default: berlin: take b1: CPU 30 %, 1 sessions",
        "default: any: take h1: CPU 10 %, 3 sessions",
    ]


def test_the_explanation_kept_with_a_call_is_short_however_many_servers_are_down() -> None:
    down = [MediaServer(f"m{number:03}", "berlin", "no answer") for number in range(500)]
    chosen = rules("berlin", "any").select(request(), Fleet([*down, MediaServer("up", "hamburg")]))
    assert chosen.servers == ("up",)
    assert [str(step) for step in chosen.steps[-2:]] == [
        "default: berlin: 490 more servers cannot be used now",
        "default: any: take up: CPU 0 %, 0 sessions",
    ]
    unmet = [{"location": "berlin", "when": {"called": str(number)}} for number in range(200)]
    chosen = rules(*unmet, "any").select(request(), Fleet([MediaServer("up", "hamburg")]))
    assert (len(chosen.steps), chosen.left_out, chosen.steps[-1].server) == (53, 148, "up")


def test_a_condition_on_what_there_is_not_is_refused() -> None:
    when = {"line": ["carrier", "carier"], "operation": "recrod", "location": "paris", "workgroup": "any name"}
    assert faults({"rules": {"x": [{"any": True, "when": when}]}}) == [
        "rules.x[0].when.location: there is no location 'paris'",
        "rules.x[0].when.line[1]: there is no line 'carier'",
        "rules.x[0].when.operation: there is no operation 'recrod'",
    ]


def test_any_that_excepts_everything_is_refused() -> None:
    everything = {"any": {"except": ["berlin", "default", "hamburg"]}}
    assert faults({"rules": {"x": [everything]}}) == ["rules.x[0].any: leads to no server: every location is excepted"]


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
        ([{"any": True, "when": {"line": "carrier"}}, "berlin"], []),
        ([{"any": True, "when": {"line": "carrier"}}, {"location": "berlin", "when": {"line": "carrier"}}], [1]),
        (
            [{"location": "berlin", "when": {"direction": "inbound"}}, {"location": "berlin", "when": {"days": "mon"}}],
            [],
        ),
        (["berlin", {"group": ["berlin", "hamburg"]}], []),
        (["berlin", "hamburg", {"group": ["berlin", "hamburg"]}], [2]),
        (["berlin", {"any": {"except": ["berlin"]}}, "any"], [2]),
        (["$device", {"any": {"except": ["$device"]}}, "$controller"], [2]),
    ],
)
def test_an_entry_behind_one_that_covers_it_is_refused(entries: list[Any], unreachable: list[int]) -> None:
    document = {"rules": {"default": entries}}
    if not unreachable:
        assert len(from_document(document, "", KNOWN).rules["default"].entries) == len(entries)
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
