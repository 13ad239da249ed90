"""Whole calls between two endpoints in virtual time: the flows of RFC 3665 and what goes wrong with them."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.endpoint import (
    AckReceived,
    CancelReceived,
    Ending,
    Flow,
    ResponseReceived,
    SessionEnded,
    TransactionFailed,
)
from mediaserverd.protocol.sip.session import Phase, SessionBusyError
from mediaserverd.protocol.sip.uri import Uri
from tests.protocol.sip.network import ANSWER, OFFER, Network, Phone, losing, talking, two_phones


def test_a_basic_call_is_answered_and_ended() -> None:
    network, alice, bob, calling, called = talking()
    assert calling.phase is called.phase is Phase.UP
    assert alice.response(200).body == ANSWER
    bob.hang_up(called)
    network.run(3.0)
    assert network.wire() == [
        "alice > bob INVITE",
        "bob > alice 180 INVITE",
        "bob > alice 200 INVITE",
        "alice > bob ACK",
        "bob > alice BYE",
        "alice > bob 200 BYE",
    ]
    assert alice.ending().cause is Ending.BYE
    assert bob.ending().cause is Ending.HUNG_UP
    network.run(100.0)
    assert [phone.endpoint.transactions + phone.endpoint.sessions for phone in (alice, bob)] == [0, 0]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_call_over_a_connection_stays_on_it(transport: str) -> None:
    network, alice, bob, calling, called = talking(transport=transport)
    assert called.flow == Flow(transport, bob.address, alice.address, 1)
    alice.hang_up(calling)
    network.run(100.0)
    assert bob.ending().cause is Ending.BYE
    assert len(network.log) == 6  # nothing is sent twice
    assert alice.endpoint.transactions == bob.endpoint.transactions == 0


def test_busy_is_acknowledged_and_ends_the_session() -> None:
    network, alice, bob = two_phones()
    alice.call(bob)
    network.run(0.1)
    bob.reply(bob.last_request("INVITE").transaction, 486)
    network.run(100.0)
    assert network.wire() == ["alice > bob INVITE", "bob > alice 486 INVITE", "alice > bob ACK"]
    assert (alice.ending().cause, bob.ending().cause) == (Ending.REFUSED, Ending.REJECTED)
    message = alice.ending().message
    assert message is not None
    assert message.headers.get("CSeq") == "1 INVITE"


def test_an_invite_that_nobody_answers_in_200_ms_gets_100() -> None:
    network, alice, bob = two_phones()
    alice.call(bob)
    network.run(1.0)
    assert network.log == ["0 alice > bob INVITE", "0.21 bob > alice 100 INVITE"]
    assert alice.statuses() == [100]


def test_no_answer_the_caller_cancels() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob)
    network.run(0.1)
    bob.reply(bob.last_request("INVITE").transaction, 180)
    network.run(5.0)
    calling.hang_up(network.now, headers=[("Reason", 'SIP;cause=200;text="Call completed elsewhere"')])
    network.run(100.0)
    assert network.wire()[2:] == [
        "alice > bob CANCEL",
        "bob > alice 200 CANCEL",
        "bob > alice 487 INVITE",
        "alice > bob ACK",
    ]
    assert (alice.ending().cause, bob.ending().cause) == (Ending.HUNG_UP, Ending.CANCELLED)
    cancel = bob.ending().message
    assert cancel is not None
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'


def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob)
    alice.hang_up(calling)
    network.run(0.1)
    assert network.wire() == ["alice > bob INVITE"]
    network.run(1.0)
    assert network.wire()[1:3] == ["bob > alice 100 INVITE", "alice > bob CANCEL"]
    assert alice.ending().cause is Ending.HUNG_UP


def test_when_cancel_and_200_cross_the_call_is_acknowledged_and_ended() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob)
    network.run(0.1)
    invite = bob.last_request("INVITE")
    bob.reply(invite.transaction, 180)
    network.run(1.0)
    bob.reply(invite.transaction, 200, ANSWER)
    alice.hang_up(calling)
    network.run(100.0)
    assert network.wire()[2:] == [
        "bob > alice 200 INVITE",
        "alice > bob CANCEL",
        "alice > bob ACK",
        "alice > bob BYE",
        "bob > alice 200 CANCEL",
        "bob > alice 200 BYE",
    ]
    assert 200 not in alice.statuses()
    assert (alice.ending().cause, bob.ending().cause) == (Ending.HUNG_UP, Ending.BYE)


def test_a_cancelled_invite_that_is_never_answered_is_given_up_after_32_s() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob)
    network.run(0.1)
    bob.reply(bob.last_request("INVITE").transaction, 180)
    network.run(1.0)
    del network.phones[bob.address]
    alice.hang_up(calling)
    network.run(32.9)
    assert alice.got(SessionEnded) == []
    network.run(33.0)
    assert alice.ending().cause is Ending.HUNG_UP


def test_an_invite_that_reaches_nobody_times_out() -> None:
    network, alice, bob = two_phones()
    del network.phones[bob.address]
    alice.call(bob)
    network.run(31.9)
    assert [float(line.split()[0]) for line in network.log] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert alice.got(SessionEnded) == []
    network.run(32.0)
    assert alice.ending().cause is Ending.TIMEOUT


def test_an_unreachable_peer_ends_the_session_at_once() -> None:
    network, alice, bob = two_phones(transport="tcp")
    alice.call(bob)
    alice.endpoint.transport_failed(alice.flow(bob), network.now)
    network.settle()
    assert alice.ending().cause is Ending.UNREACHABLE


def test_a_lost_200_is_repeated_until_its_ack_comes() -> None:
    network, alice, bob, _, _ = talking(losing("bob > alice 200 INVITE", "bob > alice 200 INVITE"))
    network.run(100.0)
    answers = [line for line in network.log if "200 INVITE" in line]
    assert answers == ["1 bob > alice 200 INVITE", "1.5 bob > alice 200 INVITE", "2.5 bob > alice 200 INVITE"]
    assert alice.statuses().count(200) == 1
    assert len(bob.got(AckReceived)) == 1


def test_a_lost_ack_is_sent_again_for_each_repeated_200() -> None:
    network, alice, bob, _, _ = talking(losing("alice > bob ACK", "alice > bob ACK"))
    network.run(100.0)
    assert network.wire().count("alice > bob ACK") == 3
    assert alice.statuses().count(200) == 1
    assert len(bob.got(AckReceived)) == 1


def test_an_answer_whose_ack_never_comes_is_repeated_for_32_s_and_then_hung_up() -> None:
    network, alice, bob = two_phones(lambda line: () if line.endswith("ACK") else (0.0,))
    alice.call(bob)
    network.run(1.0)
    bob.reply(bob.last_request("INVITE").transaction, 200, ANSWER)
    network.run(200.0)
    times = [float(line.split()[0]) - 1 for line in network.log if "200 INVITE" in line]
    assert times == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
    assert "33 bob > alice BYE" in network.log
    assert (alice.ending().cause, bob.ending().cause) == (Ending.BYE, Ending.NO_ACK)


def test_the_called_side_hangs_up_only_after_the_ack() -> None:
    network, alice, bob = two_phones(losing("alice > bob ACK"))
    alice.call(bob)
    network.run(0.1)
    invite = bob.last_request("INVITE")
    bob.reply(invite.transaction, 200, ANSWER)
    assert invite.session is not None
    bob.hang_up(invite.session)
    network.run(10.0)
    assert network.wire()[-3:] == ["alice > bob ACK", "bob > alice BYE", "alice > bob 200 BYE"]
    assert bob.got(AckReceived) == []
    assert bob.ending().cause is Ending.HUNG_UP


def test_a_late_offer_is_answered_in_the_ack() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob, body=b"")
    network.run(0.1)
    bob.reply(bob.last_request("INVITE").transaction, 200, OFFER)
    network.run(1.2)
    assert "alice > bob ACK" not in network.wire()
    calling.acknowledge(network.now, body=ANSWER)
    network.run(100.0)
    (ack,) = bob.got(AckReceived)
    assert ack.request.body == ANSWER
    assert ack.request.headers.get("Content-Type") == "application/sdp"
    assert alice.statuses().count(200) == 1


def test_hanging_up_before_the_late_answer_still_acknowledges() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob, body=b"")
    network.run(0.1)
    bob.reply(bob.last_request("INVITE").transaction, 200, OFFER)
    network.run(0.2)
    alice.hang_up(calling)
    network.run(100.0)
    assert network.wire()[2:] == ["alice > bob ACK", "alice > bob BYE", "bob > alice 200 BYE"]


def test_a_reinvite_is_answered_and_acknowledged() -> None:
    network, alice, _, calling, called = talking()
    called.request("INVITE", network.now, body=b"v=0 hold\r\n")
    network.run(2.1)
    invite = alice.last_request("INVITE")
    assert (invite.session, invite.request.body) == (calling, b"v=0 hold\r\n")
    assert [calling.may_reinvite, called.may_reinvite] == [False, False]
    alice.reply(invite.transaction, 200, ANSWER)
    network.run(3.0)
    assert network.wire()[4:] == ["bob > alice INVITE", "alice > bob 200 INVITE", "bob > alice ACK"]
    assert [calling.may_reinvite, called.may_reinvite] == [True, True]
    assert calling.phase is called.phase is Phase.UP


def test_a_refused_reinvite_leaves_the_call_up() -> None:
    network, alice, bob, calling, _ = talking()
    calling.request("INVITE", network.now, body=OFFER)
    network.run(2.1)
    bob.reply(bob.last_request("INVITE").transaction, 488)
    network.run(100.0)
    assert alice.statuses()[-1] == 488
    assert calling.phase is Phase.UP
    assert calling.may_reinvite


def test_reinvites_that_cross_both_get_491() -> None:
    network, alice, bob, calling, called = talking()
    calling.request("INVITE", network.now, body=OFFER)
    called.request("INVITE", network.now, body=OFFER)
    network.run(3.0)
    assert (alice.statuses()[-1], bob.statuses()[-1]) == (491, 491)
    assert [calling.may_reinvite, called.may_reinvite] == [True, True]


def test_a_second_reinvite_before_the_answer_to_the_first_is_a_fault_of_ours() -> None:
    network, _, _, calling, _ = talking()
    calling.request("INVITE", network.now, body=OFFER)
    with pytest.raises(SessionBusyError):
        calling.request("INVITE", network.now, body=OFFER)


def test_a_reinvite_can_be_given_up() -> None:
    network, alice, bob, calling, _ = talking()
    transaction = calling.request("INVITE", network.now, body=OFFER)
    network.run(2.5)
    alice.endpoint.cancel(transaction, network.now)
    network.run(4.0)
    assert len(bob.got(CancelReceived)) == 1
    assert alice.statuses()[-1] == 487
    assert calling.phase is Phase.UP


def test_requests_within_the_dialog_reach_the_session() -> None:
    network, alice, bob, calling, called = talking()
    calling.request("INFO", network.now, body=b"Signal=1\r\n", content_type="application/dtmf-relay")
    network.run(2.1)
    info = bob.last_request("INFO")
    assert info.session is called
    assert info.request.headers.get("Content-Type") == "application/dtmf-relay"
    bob.reply(info.transaction, 200)
    network.run(2.2)
    last = alice.got(ResponseReceived)[-1]
    assert (last.response.status, last.session) == (200, calling)


def test_a_dialog_that_the_other_side_has_forgotten_ends() -> None:
    network, alice, bob, calling, called = talking()
    bob.endpoint._forget(called)  # as after a restart
    calling.request("INVITE", network.now, body=OFFER)
    network.run(10.0)
    assert alice.statuses()[-1] == 481
    assert alice.ending().cause is Ending.LOST


def test_a_reinvite_that_times_out_ends_the_session() -> None:
    network, alice, bob, calling, _ = talking()
    del network.phones[bob.address]
    calling.request("INVITE", network.now, body=OFFER)
    network.run(40.0)
    assert [type(event) for event in alice.events[-2:]] == [TransactionFailed, SessionEnded]
    assert alice.ending().cause is Ending.LOST


def test_when_two_answer_one_invite_the_second_is_acknowledged_and_hung_up() -> None:
    network = Network()
    alice = Phone(network, "alice", "192.0.2.1")
    bob = Phone(network, "bob", "192.0.2.2")
    carol = Phone(network, "carol", "192.0.2.3")
    calling = alice.call(bob)
    network.run(0.1)
    # A proxy without a face of its own: Carol gets the same INVITE.
    request = bob.last_request("INVITE").request
    carol.endpoint.receive(request, Flow("udp", carol.address, alice.address), network.now)
    network.settle()
    bob.reply(bob.last_request("INVITE").transaction, 180)
    carol.reply(carol.last_request("INVITE").transaction, 180)
    network.run(1.0)
    bob.reply(bob.last_request("INVITE").transaction, 200, ANSWER)
    carol.reply(carol.last_request("INVITE").transaction, 200, ANSWER)
    network.run(100.0)
    assert network.wire()[-5:] == [
        "carol > alice 200 INVITE",
        "alice > bob ACK",
        "alice > carol ACK",
        "alice > carol BYE",
        "carol > alice 200 BYE",
    ]
    assert alice.statuses() == [180, 180, 200]
    assert carol.ending().cause is Ending.BYE
    assert calling.phase is Phase.UP
    assert calling.dialog is not None
    assert calling.dialog.remote_target == Uri("sip", "bob", None, *bob.address)
    assert len(bob.got(AckReceived)) == len(carol.got(AckReceived)) == 1
