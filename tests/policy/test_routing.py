"""Routing: who is meant by a dialled number."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mediaserverd.policy.document import PolicyError
from mediaserverd.policy.facts import CallDirection, Party
from mediaserverd.policy.routing import FromLine, FromStation, Route, RouteRefusal, RouteTarget, Routing


@dataclass(frozen=True)
class Station:
    name: str
    extension: str
    display_name: str = ""
    location: str = "default"


@dataclass(frozen=True)
class Line:
    name: str
    numbers: tuple[str, ...] = ()
    strip_digits: int = 0
    add_prefix: str = ""
    inbound_to: str = ""
    location: str = "default"


@dataclass(frozen=True)
class Workgroup:
    name: str
    extension: str
    members: tuple[str, ...]


ALICE = Station("alice", "100", "Alice", "berlin")
STATIONS = [ALICE, Station("bob", "101"), Station("carol", "102")]
LINES = [
    Line("emergency", ("11[02]",)),
    Line("carrier", ("+*", "0[1-9]*"), strip_digits=1, add_prefix="0049", location="edge"),
    Line("sales-line", inbound_to="sales"),
    Line("door", inbound_to="101"),
]
GROUPS = [Workgroup("sales", "200", ("alice", "bob")), Workgroup("alone", "201", ("alice",))]
ROUTING = Routing(STATIONS, LINES, GROUPS)
ALICE_PARTY = Party("100", "Alice", station="alice", location="berlin")


def routed(source: FromStation | FromLine, dialled: str) -> Route:
    found = ROUTING.route(source, dialled)
    assert isinstance(found, Route)
    return found


def test_an_extension_reaches_its_station() -> None:
    bob = Party("101", station="bob", location="default")
    assert routed(FromStation("alice"), "101") == Route(
        CallDirection.INTERNAL, ALICE_PARTY, bob, (RouteTarget(bob, "101"),), "", "station bob"
    )


@pytest.mark.parametrize("dialled", ["bob", "1-01", "(101)", "1 0 1"])
def test_a_station_is_found_by_name_and_whatever_separators_were_dialled(dialled: str) -> None:
    assert routed(FromStation("alice"), dialled).rule == "station bob"


def test_a_workgroup_rings_all_members_but_the_caller() -> None:
    found = routed(FromStation("alice"), "200")
    assert [each.party.station for each in found.targets] == ["bob"]
    assert (found.workgroup, found.called) == ("sales", Party("200", "sales"))
    assert [each.party.station for each in routed(FromStation("carol"), "200").targets] == ["alice", "bob"]


def test_a_workgroup_without_anyone_else_is_unavailable() -> None:
    assert ROUTING.route(FromStation("alice"), "201") == RouteRefusal(
        480, "Temporarily Unavailable", "workgroup alone has no one else to ring"
    )


def test_the_first_line_whose_pattern_fits_takes_the_call_with_its_digits_rewritten() -> None:
    found = routed(FromStation("alice"), "030 1234")
    assert found.direction is CallDirection.OUTBOUND
    assert found.targets == (RouteTarget(Party("0301234", line="carrier", location="edge"), "0049301234"),)
    assert found.rule == "line carrier: 0[1-9]*"
    assert routed(FromStation("alice"), "112").rule == "line emergency: 11[02]"


@pytest.mark.parametrize("dialled", ["00123", "999", "", "nobody"])
def test_a_number_that_nobody_has_is_not_found(dialled: str) -> None:
    found = ROUTING.route(FromStation("alice"), dialled)
    assert isinstance(found, RouteRefusal)
    assert found.status == 404


def test_a_call_from_a_line_goes_where_the_line_says_or_to_the_dialled_number() -> None:
    assert routed(FromLine("sales-line"), "4711").workgroup == "sales"
    assert routed(FromLine("door", "7", "Door"), "anything").called.station == "bob"
    found = routed(FromLine("carrier", "+4917", "Kim"), "102")
    assert (found.direction, found.called.station) == (CallDirection.INBOUND, "carol")
    assert found.calling == Party("+4917", "Kim", line="carrier", location="edge")


def test_a_line_never_reaches_a_line() -> None:
    found = ROUTING.route(FromLine("carrier"), "+4930555")
    assert isinstance(found, RouteRefusal)
    assert found.status == 404


@pytest.mark.parametrize("source", [FromStation("mallory"), FromLine("nowhere")])
def test_who_is_not_in_the_table_is_forbidden(source: FromStation | FromLine) -> None:
    found = ROUTING.route(source, "100")
    assert isinstance(found, RouteRefusal)
    assert found.status == 403


def test_every_fault_of_the_table_is_told_with_its_path() -> None:
    stations = [ALICE, Station("alice", "103"), Station("dave", "100")]
    lines = [Line("a", ("[",), inbound_to="nobody"), Line("a")]
    groups = [Workgroup("g", "103", ("alice", "zoe")), Workgroup("h", "300", ("alice",) * 65)]
    with pytest.raises(PolicyError) as caught:
        Routing(stations, lines, groups, "site.yaml")
    assert [fault.path for fault in caught.value.faults] == [
        "stations[1].name",
        "lines[1].name",
        "stations[2].extension",
        "workgroups[0].extension",
        "workgroups[0].members[1]",
        "workgroups[1].members",
        "lines[0].inbound_to",
        "lines[0].numbers[0]",
    ]
