"""Gaps are true whatever time the hosts of media servers believe it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mediaserverd.recorder.one_clock import Announced, Dated, Place, places

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(milliseconds: int) -> datetime:
    return BEGIN + timedelta(milliseconds=milliseconds)


def announced(asked: int, confirmed: int | None, over: int, lasted: int | None = None) -> Announced:
    """``lasted``: what the controller counted, if its clock was set meanwhile."""
    told = None if confirmed is None else at(confirmed)
    return Announced(at(asked), told, at(over), over - asked if lasted is None else lasted)


FIRST, SECOND = announced(0, 6, 10_000), announced(11_000, 11_008, 20_000)


def dated(started: int, told: Announced | None, **more: Any) -> Dated:
    return Dated(at(started), told, **more)


def test_clocks_that_agree_are_believed() -> None:
    assert places([dated(3, FIRST), dated(11_005, SECOND)]) == [Place(3, 7), Place(11_005, 9)]


@pytest.mark.parametrize("off_ms", [-86_400_000, -3000, -20, 20, 3000, 86_400_000])
def test_a_media_server_whose_clock_is_wrong_is_placed_by_the_controllers(off_ms: int) -> None:
    first, second = places([dated(3, FIRST), dated(11_005 + off_ms, SECOND)])
    assert first.begin_ms == 3
    assert second.within_ms == 9
    assert abs(second.begin_ms - 11_005) <= second.within_ms
    first, second = places([dated(3 + off_ms, FIRST), dated(11_005, SECOND)])
    assert abs(second.begin_ms - first.begin_ms - 11_002) <= 7


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_a_controller_whose_clock_was_set_between_two_segments_counts_on(step_ms: int) -> None:
    """The hosts' clocks are set with it, or not: neither makes a gap of an hour."""
    first = announced(0, 6, 10_000 + step_ms, lasted=10_000)
    second = announced(11_000 + step_ms, 11_008 + step_ms, 20_000 + step_ms)
    for started in (11_005, 11_005 + step_ms):
        one, other = places([dated(3, first), dated(started, second)])
        assert abs(other.begin_ms - one.begin_ms - 11_002) <= 8


def test_look_back_is_from_before_the_question() -> None:
    assert places([dated(-4998, FIRST, look_back_ms=5000)]) == [Place(-4998, 7)]
    wrong = dated(50_000, FIRST, look_back_ms=5000)
    assert places([wrong]) == [Place(6 - 5000, 7)]


def test_where_nobody_could_look_nobody_says_how_exact_it_is() -> None:
    assert places([dated(3, FIRST, look_back_ms=None)]) == [Place(3, None)]


def test_a_start_that_was_never_confirmed_lies_before_the_end() -> None:
    never = announced(0, None, 900, lasted=None)
    assert places([dated(500, never)]) == [Place(500, 901)]
    assert places([dated(70_000, never)]) == [Place(900, 901)]


def test_what_no_controller_announced_is_placed_by_the_hosts_alone() -> None:
    found = places([dated(3, None), dated(11_005, None), dated(20_000, SECOND)])
    assert found == [Place(0, None), Place(11_002, None), Place(20_005, 9)]


def test_segments_are_placed_one_behind_the_other_through_several_failovers() -> None:
    third = announced(20_400, 20_409, 30_000)
    found = places([dated(3, FIRST), dated(9_000_000, SECOND), dated(20_404, third)])
    assert found == [Place(3, 7), Place(11_008, 9), Place(20_404, 10)]
