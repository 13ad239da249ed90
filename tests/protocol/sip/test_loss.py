"""Whatever the network loses, doubles and reorders for less than 64*T1: every call comes to the same end."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserverd.protocol.sip.endpoint import AckReceived, RequestReceived, ResponseReceived, Session, SessionEnded
from mediaserverd.protocol.sip.events import Output
from tests.protocol.sip.network import ANSWER, Fate, Network, Phone, two_phones

BAD_UNTIL_S = 20.0  # then the network is sound: no message is lost for as long as 64*T1
OVER_S = 400.0  # every timer of both sides, one after the other, has run out by then


def unkind(network_of: list[Network], dice: Random, loss: float) -> Fate:
    def fate(_line: str) -> tuple[float, ...]:
        if network_of[0].now > BAD_UNTIL_S:
            return (0.0,)
        copies = 0 if dice.random() < loss else 1 + (dice.random() < 0.2)
        return tuple(dice.choice((0.0, 0.0, 0.3, 1.7)) for _ in range(copies))

    return fate


def bad_network(seed: int, loss: float) -> tuple[Network, Phone, Phone]:
    network_of: list[Network] = []
    network, alice, bob = two_phones(unkind(network_of, Random(seed), loss))
    network_of.append(network)
    return network, alice, bob


def answering(bob: Phone, status: int, hang_up_on_ack: bool) -> None:
    def script(event: Output) -> None:
        if isinstance(event, RequestReceived):
            bob.reply(event.transaction, status, ANSWER)
        if isinstance(event, AckReceived) and hang_up_on_ack:
            bob.hang_up(event.session)

    bob.script = script


def finals(phone: Phone) -> list[int]:
    return [status for status in phone.statuses() if status >= 200]


def check_nothing_is_left(*phones: Phone) -> None:
    for phone in phones:
        assert (phone.endpoint.transactions, phone.endpoint.sessions) == (0, 0)
        assert phone.endpoint.deadline is None
        ended: list[Session] = [event.session for event in phone.got(SessionEnded)]
        assert len(ended) == len(set(ended))


lossy = st.floats(0.0, 0.6)
seeds = st.integers(0, 2**32)


@settings(max_examples=60)
@given(seeds, lossy, st.sampled_from([200, 486, 603]), st.booleans())
def test_a_call_is_answered_once_and_ends_once(seed: int, loss: float, status: int, bob_ends: bool) -> None:
    network, alice, bob = bad_network(seed, loss)
    answering(bob, status, hang_up_on_ack=bob_ends)
    calling = alice.call(bob)
    network.run(BAD_UNTIL_S + 15)
    assert finals(alice) == ([200] if status == 200 else [])
    if status == 200:
        assert len(bob.got(AckReceived)) == 1
        alice.hang_up(calling)
    network.run(OVER_S)
    assert len(alice.got(SessionEnded)) == 1
    assert len(bob.got(SessionEnded)) == len([e for e in bob.got(RequestReceived) if e.request.method == "INVITE"])
    check_nothing_is_left(alice, bob)


@settings(max_examples=60)
@given(seeds, lossy, st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_a_call_given_up_while_it_is_answered_ends_on_both_sides(
    seed: int, loss: float, given_up_s: float, answered_s: float
) -> None:
    network, alice, bob = bad_network(seed, loss)
    calling = alice.call(bob)

    def answer() -> None:
        for event in bob.got(RequestReceived):
            bob.reply(event.transaction, 200, ANSWER)

    network.run(min(given_up_s, answered_s))
    if given_up_s <= answered_s:
        alice.hang_up(calling)
    else:
        answer()
    network.run(max(given_up_s, answered_s))
    alice.hang_up(calling)
    answer()
    network.run(BAD_UNTIL_S + 15)
    answer()
    network.run(OVER_S)
    assert len(alice.got(SessionEnded)) == 1
    check_nothing_is_left(alice, bob)


@settings(max_examples=60)
@given(seeds, lossy, st.sampled_from(["OPTIONS", "REGISTER", "MESSAGE"]), st.sampled_from([200, 404]))
def test_a_request_is_seen_once_and_answered_once(seed: int, loss: float, method: str, status: int) -> None:
    network, alice, bob = bad_network(seed, loss)
    answering(bob, status, hang_up_on_ack=False)
    alice.endpoint.send_request(alice.request(method, bob), alice.flow(bob), 0.0)
    network.run(OVER_S)
    assert len(bob.got(RequestReceived)) == 1
    assert [event.response.status for event in alice.got(ResponseReceived)] == [status]
    check_nothing_is_left(alice, bob)
