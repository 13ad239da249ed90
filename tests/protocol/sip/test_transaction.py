"""The machines of RFC 3261 section 17 and RFC 6026 by themselves: tables that are whole, timers to the tick."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Event,
    Machine,
    Rules,
    State,
    Timing,
)

RULES = {
    "invite client": INVITE_CLIENT,
    "invite server": INVITE_SERVER,
    "non-invite client": NON_INVITE_CLIENT,
    "non-invite server": NON_INVITE_SERVER,
}
RESPONSES = {Event.PROVISIONAL, Event.SUCCESS, Event.FAILURE}
FROM_OUTSIDE = {
    "invite client": {*RESPONSES, Event.CANCEL, Event.UNREACHABLE},
    "invite server": {*RESPONSES, Event.REQUEST, Event.ACK, Event.UNREACHABLE},
    "non-invite client": {*RESPONSES, Event.UNREACHABLE},
    "non-invite server": {*RESPONSES, Event.REQUEST, Event.UNREACHABLE},
}
T1, T2, T4 = 0.5, 4.0, 5.0
LIFE = 64 * T1


def machine(rules: Rules, *, reliable: bool = False) -> Machine:
    return Machine(rules, reliable=reliable, timing=Timing(T1, T2, T4), now=0.0)


def firings(subject: Machine, until: float = 1000.0) -> list[tuple[float, Action]]:
    """What the machine does when nothing comes in any more, and when."""
    done = []
    while subject.deadline is not None and subject.deadline <= until:
        now = subject.deadline
        done += [(now, action) for action in subject.advance(now)]
    return done


@pytest.mark.parametrize("name", RULES)
def test_whatever_comes_from_outside_has_its_place_in_every_state(name: str) -> None:
    rules = RULES[name]
    states = {state for state, _ in rules.table}
    missing = {(state, event) for state in states for event in FROM_OUTSIDE[name]} - set(rules.table)
    assert missing == set()


@pytest.mark.parametrize("name", RULES)
def test_timers_run_exactly_where_the_table_takes_them(name: str) -> None:
    rules = RULES[name]
    running = {(state, timer) for state, timers in rules.timers.items() for timer in timers}
    taken = {(state, event) for state, event in rules.table if event.name.startswith("TIMER")}
    assert running == taken


@pytest.mark.parametrize("name", RULES)
def test_every_state_can_be_reached_and_left(name: str) -> None:
    rules = RULES[name]
    reached, new = set(), {rules.first}
    while new:
        reached |= new
        new = {after for (before, _), (after, _) in rules.table.items() if before in reached} - reached
    assert reached == {state for state, _ in rules.table} | {State.TERMINATED}
    assert all(
        any(after is not state for (before, _), (after, _) in rules.table.items() if before is state)
        for state in reached - {State.TERMINATED}
    )


def test_an_event_that_is_not_in_the_table_is_the_callers_fault() -> None:
    with pytest.raises(LookupError):
        machine(NON_INVITE_CLIENT).feed(Event.ACK, 0.0)


def test_an_invite_is_repeated_at_doubling_intervals_until_timer_b() -> None:
    repeats = [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    expected = [*((when, Action.REPEAT) for when in repeats), (LIFE, Action.REPORT_TIMEOUT)]
    assert firings(machine(INVITE_CLIENT)) == expected


def test_another_request_is_repeated_at_intervals_up_to_t2_until_timer_f() -> None:
    repeats = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    expected = [*((when, Action.REPEAT) for when in repeats), (LIFE, Action.REPORT_TIMEOUT)]
    assert firings(machine(NON_INVITE_CLIENT)) == expected


def test_after_a_provisional_response_a_request_is_repeated_every_t2() -> None:
    subject = machine(NON_INVITE_CLIENT)
    subject.feed(Event.PROVISIONAL, 0.3)
    repeats = [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert [when for when, action in firings(subject) if action is Action.REPEAT] == repeats


@pytest.mark.parametrize("rules", [INVITE_CLIENT, NON_INVITE_CLIENT])
def test_over_a_reliable_transport_a_request_is_sent_once(rules: Rules) -> None:
    assert firings(machine(rules, reliable=True)) == [(LIFE, Action.REPORT_TIMEOUT)]


def test_a_provisional_response_stops_the_repeating_of_an_invite() -> None:
    subject = machine(INVITE_CLIENT)
    assert subject.feed(Event.PROVISIONAL, 0.2) == (Action.DELIVER,)
    assert subject.deadline is None


@pytest.mark.parametrize(
    ("rules", "event", "unreliable", "reliable"),
    [
        (INVITE_CLIENT, Event.FAILURE, 32.0, 0.0),  # D
        (INVITE_CLIENT, Event.SUCCESS, LIFE, LIFE),  # M
        (NON_INVITE_CLIENT, Event.FAILURE, T4, 0.0),  # K
        (NON_INVITE_SERVER, Event.SUCCESS, LIFE, 0.0),  # J
        (INVITE_SERVER, Event.SUCCESS, LIFE, LIFE),  # L
    ],
)
def test_after_the_final_response_a_transaction_lingers(
    rules: Rules, event: Event, unreliable: float, reliable: float
) -> None:
    for is_reliable, lingers in ((False, unreliable), (True, reliable)):
        subject = machine(rules, reliable=is_reliable)
        subject.feed(event, 1.0)
        assert subject.deadline == 1.0 + lingers
        assert firings(subject) == []
        assert subject.state is State.TERMINATED


def test_timer_d_is_32_seconds_even_if_t1_is_short() -> None:
    subject = Machine(INVITE_CLIENT, reliable=False, timing=Timing(t1=0.1), now=0.0)
    subject.feed(Event.FAILURE, 0.0)
    assert subject.deadline == 32.0


def test_a_refusal_of_an_invite_is_repeated_until_the_ack_or_timer_h() -> None:
    repeats = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    subject = machine(INVITE_SERVER)
    subject.feed(Event.FAILURE, 0.0)
    assert firings(subject) == [(when, Action.REPEAT) for when in repeats]
    assert subject.state is State.TERMINATED
    subject = machine(INVITE_SERVER)
    subject.feed(Event.FAILURE, 0.0)
    assert firings(subject, until=2.0) == [(0.5, Action.REPEAT), (1.5, Action.REPEAT)]
    assert subject.feed(Event.ACK, 2.0) == ()
    assert (subject.state, subject.deadline) == (State.CONFIRMED, 2.0 + T4)


def test_over_a_reliable_transport_a_refusal_is_sent_once() -> None:
    subject = machine(INVITE_SERVER, reliable=True)
    subject.feed(Event.FAILURE, 0.0)
    assert subject.deadline == LIFE
    subject.feed(Event.ACK, 1.0)
    assert subject.deadline == 1.0


def test_a_success_is_passed_through_for_the_whole_accepted_state() -> None:
    client, server = machine(INVITE_CLIENT), machine(INVITE_SERVER)
    assert client.feed(Event.SUCCESS, 0.0) == client.feed(Event.SUCCESS, 1.0) == (Action.DELIVER,)
    assert server.feed(Event.SUCCESS, 0.0) == (Action.SEND,)
    assert server.feed(Event.REQUEST, 1.0) == ()  # RFC 6026 7.1: the user repeats its success, not the transaction
    assert server.feed(Event.ACK, 1.0) == (Action.DELIVER,)


def test_an_invite_unanswered_for_200_ms_gets_100_once() -> None:
    subject = machine(INVITE_SERVER)
    assert firings(subject) == [(0.2, Action.SEND_TRYING)]
    assert subject.feed(Event.REQUEST, 0.5) == (Action.REPEAT,)


def test_a_request_that_its_user_leaves_unanswered_is_forgotten() -> None:
    assert firings(machine(NON_INVITE_SERVER)) == [(LIFE, Action.REPORT_TIMEOUT)]


def test_a_late_wake_up_does_not_send_the_repeats_that_were_missed() -> None:
    subject = machine(NON_INVITE_CLIENT)
    assert subject.advance(10.0) == [Action.REPEAT]
    assert subject.deadline == 11.0
