"""A session goes on in another process, of which the other side notices nothing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mediaserverd.protocol.sip.dialog import Dialog
from mediaserverd.protocol.sip.endpoint import AckReceived, Ending, RequestReceived
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.snapshot import SKIPPED_CSEQS, DialogSnapshot
from tests.protocol.sip.network import ANSWER, OFFER, losing, talking, two_phones
from tests.protocol.sip.test_properties import addresses, raw_texts, sip_uris

FLOW = Flow("udp", ("192.0.2.10", 5060), ("192.0.2.1", 5060))
dialogs = st.builds(
    Dialog,
    call_id=raw_texts,
    local=addresses,
    remote=addresses,
    remote_target=sip_uris,
    routes=st.lists(addresses, max_size=3).map(tuple),
    contact=raw_texts,
    local_cseq=st.integers(0, 2**31 - 1),
    remote_cseq=st.none() | st.integers(0, 2**31 - 1),
)


@given(dialogs)
def test_every_dialog_comes_back_as_it_was_but_for_the_numbers_that_are_left_out(dialog: Dialog) -> None:
    again = DialogSnapshot.of(dialog).dialog(dialog.call_id)
    assert again == replace(dialog, local_cseq=dialog.local_cseq + SKIPPED_CSEQS)


def test_both_sides_can_hang_up_after_a_restart_of_either() -> None:
    for killed, leaves in ((0, 0), (0, 1), (1, 0), (1, 1)):
        network, alice, bob, calling, called = talking()
        phones, sessions = [alice, bob], [calling, called]
        (sessions[killed],) = phones[killed].restart(sessions[killed].snapshot())
        phones[leaves].hang_up(sessions[leaves])
        network.run(5.0)
        assert phones[leaves].ending().cause is Ending.HUNG_UP
        assert phones[1 - leaves].ending().cause is Ending.BYE
        assert network.wire()[-1].endswith("200 BYE")


def test_a_reinvite_passes_in_both_directions_after_a_restart() -> None:
    network, alice, bob, calling, called = talking()
    (calling,) = alice.restart(calling.snapshot())
    bob.events.clear()
    for phone, session, other in ((alice, calling, bob), (bob, called, alice)):
        session.request("INVITE", network.now, body=OFFER)
        network.run(network.now + 1)
        other.reply(other.last_request("INVITE").transaction, 200, ANSWER)
        network.run(network.now + 1)
        assert phone.statuses()[-1] == 200
        assert len(other.got(AckReceived)) == 1


def test_a_request_after_a_restart_has_a_number_that_the_other_side_has_not_seen() -> None:
    network, alice, bob, calling, _ = talking()
    kept = calling.snapshot()
    for _ in range(3):  # after the last snapshot that reached the disk
        calling.request("INFO", network.now)
        network.run(network.now + 1)
        bob.reply(bob.last_request("INFO").transaction, 200)
        network.run(network.now + 1)
    (calling,) = alice.restart(kept)
    calling.request("INFO", network.now)
    network.run(network.now + 1)
    bob.reply(bob.last_request("INFO").transaction, 200)
    network.run(network.now + 1)
    assert alice.statuses() == [200]
    assert len([event for event in bob.got(RequestReceived) if event.request.method == "INFO"]) == 4


def test_a_success_that_was_written_down_but_never_sent_reaches_the_caller_after_the_restart() -> None:
    network, alice, bob = two_phones()
    alice.call(bob)
    network.run(0.5)
    invite = bob.last_request("INVITE")
    assert invite.session is not None
    promised = bob.endpoint.made_reply(invite.transaction, 200, "OK", [("Content-Type", "application/sdp")], ANSWER)
    bob.restart(invite.session.snapshot(promised))
    network.run(3.0)
    assert alice.statuses()[-1] == 200
    assert alice.response(200).body == ANSWER
    assert len(bob.got(AckReceived)) == 1
    assert network.wire().count("bob > alice 200 INVITE") == 1, "it is repeated until the ACK, not longer"


def test_a_success_without_ack_is_repeated_after_the_restart_until_it_is_given_up() -> None:
    network, alice, bob = two_phones(losing(*["alice > bob ACK"] * 30))
    alice.call(bob)
    network.run(0.5)
    invite = bob.last_request("INVITE")
    bob.reply(invite.transaction, 200, ANSWER)
    assert invite.session is not None
    network.run(1.2)
    bob.restart(invite.session.snapshot())
    network.run(40.0)
    assert bob.ending().cause is Ending.NO_ACK


def test_an_ack_that_was_lost_is_sent_again_by_the_next_process() -> None:
    network, alice, bob = two_phones(losing("alice > bob ACK"))
    calling = alice.call(bob)
    network.run(0.5)
    bob.reply(bob.last_request("INVITE").transaction, 200, ANSWER)
    network.run(0.6)
    alice.restart(calling.snapshot())
    network.run(3.0)
    assert len(bob.got(AckReceived)) == 1


def test_a_success_to_a_reinvite_of_the_earlier_process_has_its_ack_and_the_call_stays() -> None:
    network, alice, bob, calling, _ = talking()
    kept = calling.snapshot()
    bob.events.clear()
    calling.request("INVITE", network.now, body=OFFER)
    network.run(network.now + 0.1)
    (calling,) = alice.restart(kept)
    bob.reply(bob.last_request("INVITE").transaction, 200, ANSWER)
    network.run(network.now + 40)
    assert len(bob.got(AckReceived)) == 1
    assert network.wire().count("bob > alice 200 INVITE") == 2, "that of the call, and this one, once"
    calling.request("INVITE", network.now, body=OFFER)
    network.run(network.now + 0.1)
    bob.reply(bob.last_request("INVITE").transaction, 200, ANSWER)
    network.run(network.now + 1)
    assert alice.statuses()[-1] == 200
    assert len(bob.got(AckReceived)) == 2


def test_an_ack_for_a_success_of_the_earlier_process_is_taken_in_silence() -> None:
    network, alice, bob = two_phones()
    alice.call(bob)
    network.run(0.5)
    invite = bob.last_request("INVITE")
    bob.reply(invite.transaction, 200, ANSWER)
    assert invite.session is not None
    acked = invite.session.snapshot()
    assert acked is not None
    bob.restart(replace(acked, answer=None))  # it was written down as acknowledged; now its ACK comes once more
    network.run(2.0)
    assert bob.events == []
    assert bob.endpoint.sessions == 1


def test_a_call_that_is_not_answered_or_is_over_leaves_nothing_to_go_on_with() -> None:
    network, alice, bob = two_phones()
    calling = alice.call(bob)
    network.run(0.5)
    invite = bob.last_request("INVITE")
    assert invite.session is not None
    assert calling.snapshot() is None
    assert invite.session.snapshot() is None
    bob.reply(invite.transaction, 200, ANSWER)
    network.run(1.0)
    assert calling.snapshot() is not None
    alice.hang_up(calling)
    assert calling.snapshot() is None


def test_an_unknown_dialog_is_refused_after_a_restart_without_it() -> None:
    network, alice, bob, calling, _ = talking()
    bob.restart(None)
    alice.hang_up(calling)
    network.run(5.0)
    assert network.wire()[-1] == "bob > alice 481 BYE"
    assert bob.endpoint.sessions == 0
