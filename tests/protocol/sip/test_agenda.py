"""The agenda wakes everybody in time, once, and nobody who no longer wants it."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mediaserverd.protocol.sip.agenda import Agenda


@dataclass(eq=False)
class Sleeper:
    deadline: float | None
    entry: float | None = None


def test_a_deadline_that_moved_later_is_not_woken_early() -> None:
    agenda: Agenda[Sleeper] = Agenda()
    sleeper = Sleeper(1.0)
    agenda.note(sleeper)
    sleeper.deadline = 5.0
    agenda.note(sleeper)
    assert agenda.due(1.0) is None
    assert agenda.deadline == 5.0
    assert agenda.due(5.0) is sleeper
    assert agenda.due(5.0) is None


def test_a_deadline_that_went_away_leaves_nothing() -> None:
    agenda: Agenda[Sleeper] = Agenda()
    sleeper = Sleeper(1.0)
    agenda.note(sleeper)
    sleeper.deadline = None
    assert agenda.due(9.0) is None
    assert agenda.deadline is None


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 20)), max_size=60))
def test_everybody_is_woken_at_their_last_deadline(changes: list[tuple[int, int | None]]) -> None:
    agenda: Agenda[Sleeper] = Agenda()
    sleepers = [Sleeper(None) for _ in range(5)]
    for index, deadline in changes:
        sleepers[index].deadline = deadline
        agenda.note(sleepers[index])
    expected = sorted(sleeper.deadline for sleeper in sleepers if sleeper.deadline is not None)
    woken: list[float] = []
    for now in range(21):
        assert agenda.deadline is None or not expected[len(woken) :] or agenda.deadline <= expected[len(woken)]
        while (sleeper := agenda.due(now)) is not None:
            assert sleeper.deadline == now
            woken.append(sleeper.deadline)
            sleeper.deadline = None
    assert woken == expected
