"""A call goes on in another process, with nothing but what was written down."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserverd.call.anchoring import LINGER_S
from mediaserverd.call.b2bua import Call
from mediaserverd.call.commands import (
    Accept,
    AnswerOffer,
    HangUp,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    PauseRecording,
    RecordEvent,
    SendOffer,
    StartRecording,
    StopRecording,
    WriteLedger,
)
from mediaserverd.call.events import (
    CALLER,
    AckMissing,
    Acknowledged,
    Answered,
    ChangeDone,
    ControlRequest,
    HungUp,
    Invited,
    MediaReplied,
    MediaRequest,
    Method,
    OfferAnswered,
    Offered,
    PauseRequested,
    RecordingStarted,
    StopRequested,
    TakenOver,
    Woken,
)
from mediaserverd.call.ledger import Ended, EndReason, Failed
from mediaserverd.call.phase import Phase
from mediaserverd.call.recording import RecordingState
from mediaserverd.protocol import sdp
from mediaserverd.protocol.negotiation import Side
from tests.call import test_failover as failover
from tests.call.moving import asking, both_answer, direct, found, prepared
from tests.call.script import B1, ORDER, RECORDING_ID, SETUP, Script, dialled, phone, relayed, replied, talking
from tests.call.test_any_order import BODIES
from tests.call.world import World

LATER_S = 5000.0  # the next process has another clock


def restarted(script: Script, shift: float = 0.0) -> Script:
    """The same call in the next process. Its media requests are numbered from 1 again."""
    kept = script.call.snapshot()
    assert kept is not None
    again = Script()
    again.call = Call.restored(kept.shifted(shift))
    again.now = script.now + shift
    return again


def version(body: bytes) -> int:
    return sdp.parse(body).origin.version


def test_a_bye_after_a_restart_ends_the_call_and_its_recording() -> None:
    script = restarted(talking(recording=ORDER), LATER_S)
    assert script.tell(TakenOver()) == []
    commands = script.tell(HungUp(CALLER), after=2.0)
    assert HangUp(B1) in commands
    assert MediaDelete("m1") in commands
    assert WriteLedger(Ended(RECORDING_ID, 1, EndReason.CALL_ENDED, 2000)) in commands
    summary = script.finished(commands).summary
    assert (summary.duration_ms, summary.setup_ms, summary.recording_ids) == (2000, 3000, (RECORDING_ID,))
    assert (summary.calling, summary.called, summary.codec) == (SETUP.calling, SETUP.called, "PCMU/8000")


def test_a_hold_after_a_restart_is_a_new_version_of_our_session() -> None:
    before = talking()
    old = before.call.snapshot()
    assert old is not None
    script = restarted(before)
    script.tell(TakenOver())
    (asked,) = script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    assert isinstance(asked, MediaOffer)
    (offer,) = script.tell(replied(1, relayed("alice", "sendonly")))
    assert isinstance(offer, SendOffer)
    assert version(offer.sdp) > version(old.audio.told[Side.CALLED]) + 10, "more may have been sent than was kept"
    script.tell(OfferAnswered(B1, phone("bob", "recvonly", version=2)))
    (answer,) = script.tell(replied(2, relayed("bob", "recvonly")))
    assert isinstance(answer, AnswerOffer)
    assert answer.status == 200


def test_after_a_renegotiation_on_its_way_both_phones_are_told_again_how_the_call_stands() -> None:
    script = talking()
    script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    script.tell(replied(3, relayed("alice", "sendonly")))
    script = restarted(restarted(script))  # killed again before it could do anything
    offer, answer = script.tell(TakenOver())
    assert isinstance(offer, MediaOffer)
    assert isinstance(answer, MediaAnswer)
    assert b"sendonly" not in offer.sdp + answer.sdp
    asked = script.tell_all(*prepared())
    assert [type(command) for command in asked] == [SendOffer, SendOffer]
    both_answer(script)
    kept = script.call.snapshot()
    assert kept is not None
    assert not kept.unsettled
    (again,) = script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=3)))
    assert isinstance(again, MediaOffer)


def test_a_move_on_its_way_ends_with_both_phones_at_the_same_place_and_no_session_left_behind() -> None:
    script = restarted(asking())
    script.tell(TakenOver())
    script.tell_all(*prepared())
    # Whoever wanted the recording has heard nothing: both phones are back at the media server, which nobody needs.
    back = both_answer(script)
    assert [type(command) for command in back[-2:]] == [SendOffer, SendOffer]
    both_answer(script)
    kept = script.call.snapshot()
    assert kept is not None
    assert (kept.audio.server, kept.left, kept.unsettled) == ("", ("m1",), False)
    again = restarted(script)
    again.tell(TakenOver())
    assert again.tell(Woken(), after=LINGER_S) == [MediaDelete("m1")]


@pytest.mark.parametrize("next_server", ["", "m2", "m3"])
def test_a_recording_on_a_server_to_which_the_call_was_on_its_way_goes_on_wherever_the_call_goes(
    next_server: str,
) -> None:
    script = failover.recorded()
    script.tell(failover.KILLED)
    failover.ready(script, "m2")
    script.tell(failover.started(2))
    script = restarted(script)
    assert script.tell(TakenOver()) == [failover.FIND_CARRIER]
    broken = WriteLedger(Ended(RECORDING_ID, 2, EndReason.RECORDING_BROKEN, 0))
    commands = script.tell(found(*[next_server] if next_server else []))
    if next_server == "m2":
        assert broken not in commands
        return
    assert commands[0] == broken
    commands = script.tell_all(*prepared()) if next_server else []
    assert (failover.goes_on(3, "m3")[1] in commands) == bool(next_server)
    commands = both_answer(script)
    assert (WriteLedger(failover.replace_segment(3, "")) in commands) == (not next_server)


def test_a_direct_call_goes_on_without_any_media_server() -> None:
    script = restarted(direct())
    assert script.tell(TakenOver()) == []
    (offer,) = script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    assert isinstance(offer, SendOffer)
    assert HangUp(CALLER) in script.tell(HungUp(B1))


def test_an_answer_without_ack_counts_as_a_call() -> None:
    script = dialled()
    script.tell(Answered(B1, phone("bob")))
    assert any(isinstance(command, Accept) for command in script.tell(replied(2, relayed("bob"))))
    script = restarted(script)
    assert script.call.phase is Phase.TALKING
    assert script.tell(Acknowledged(CALLER)) == []
    assert script.call.deadline is None
    again = restarted(script)
    assert HangUp(B1, 408, "no ACK came") in again.tell(AckMissing(CALLER)), "unless the repeated answer gets none"


def test_a_call_that_is_not_answered_or_ends_is_not_kept() -> None:
    script = dialled()
    assert script.call.snapshot() is None
    script.tell(Answered(B1, phone("bob")))
    assert script.call.snapshot() is None
    script.tell(replied(2, relayed("bob")))
    assert script.call.snapshot() is not None
    script.tell(HungUp(CALLER))
    assert script.call.snapshot() is None


def test_a_call_whose_answer_is_still_to_come_in_the_ack_is_not_kept() -> None:
    script = Script()
    script.tell_all(Invited(b""), Answered(B1, phone("bob")), replied(1, relayed("bob")))
    assert script.call.snapshot() is None
    script.tell_all(Acknowledged(CALLER, phone("alice")), replied(2, relayed("alice")))
    assert script.call.snapshot() is not None


def test_a_recording_whose_start_has_had_no_reply_is_asked_for_again_and_announced_once() -> None:
    script = dialled(recording=ORDER)
    script.tell(Answered(B1, phone("bob")))
    script.tell(replied(2, relayed("bob")))
    script = restarted(script)
    (asked,) = script.tell(TakenOver())
    assert isinstance(asked, StartRecording)
    assert (asked.server, asked.recording_id, asked.segment) == ("m1", RECORDING_ID, 1)
    script.tell(RecordingStarted(RECORDING_ID, 1, "f", "u"))
    assert script.call.recordings.all[0].state is RecordingState.RUNNING


def test_a_recording_can_be_stopped_after_a_restart() -> None:
    script = restarted(talking(recording=ORDER))
    script.tell(TakenOver())
    (asked,) = script.tell(StopRequested(ControlRequest(1), "eve"))
    assert isinstance(asked, StopRecording)
    script.tell(ChangeDone(asked.change), after=1.0)
    assert script.call.recordings.current is None


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_pause_goes_on_with_its_clock_and_is_asked_for_again_unless_it_was_confirmed(confirmed: bool) -> None:
    script = talking(recording=ORDER)
    (asked,) = script.tell(PauseRequested(ControlRequest(1), "eve", secure=True, seconds=60.0))
    assert isinstance(asked, PauseRecording)
    if confirmed:
        script.tell(ChangeDone(asked.change))
    script.now += 20.0
    script = restarted(script, LATER_S)
    again = script.tell(TakenOver())
    assert [type(command) for command in again] == ([] if confirmed else [PauseRecording])
    pause = script.call.control.pause
    assert pause is not None
    assert pause.remaining_s(script.now) == pytest.approx(40.0)
    assert script.call.deadline == pytest.approx(script.now + 40.0)
    assert script.tell(Woken(), after=40.0), "it ends by itself"


def test_a_hold_of_before_is_not_told_to_the_recording_again() -> None:
    script = talking(recording=ORDER)
    script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    script.tell(replied(3, relayed("alice", "sendonly")))
    script.tell(OfferAnswered(B1, phone("bob", "recvonly", version=2)))
    told = script.tell(replied(4, relayed("bob", "recvonly")))
    assert any(isinstance(command, RecordEvent) for command in told)
    script = restarted(script)
    assert script.tell(TakenOver()) == []


@settings(max_examples=400)
@given(random=st.randoms(use_true_random=True), steps=st.integers(0, 60))
def test_whatever_has_happened_a_snapshot_gives_a_call_with_the_same_snapshot_and_a_clean_end(
    random: Random, steps: int
) -> None:
    setup = replace(
        SETUP,
        audio_path=random.choice(["dynamic", "always-in"]),
        recording=random.choice([None, ORDER]),
        look_back_ms=random.choice([0, 10_000]),
    )
    world = World(setup, random.randrange, body=lambda: random.choice(BODIES))
    world.tell(Invited(phone("alice")))
    for _ in range(steps):
        what = random.random()
        if what < 0.7:
            world.settle_one()
        elif what < 0.9:
            world.surprise()
        else:
            world.wait()
    kept = world.call.snapshot()
    if kept is None:
        return
    call = Call.restored(kept)
    again = call.snapshot()
    assert again is not None
    assert replace(again, audio=kept.audio, recordings=kept.recordings) == kept
    assert (again.audio.server, again.audio.agreed) == (kept.audio.server, kept.audio.agreed)
    before = call.handle(TakenOver(), world.now)
    commands = [*before, *call.handle(HungUp(CALLER), world.now), *_the_end(call, world.now)]
    assert type(commands[-1]).__name__ == "Finished"
    owed = [each for each in kept.recordings if each.state in (RecordingState.ASKED, RecordingState.RUNNING)]
    written = [command.entry for command in commands if isinstance(command, WriteLedger)]
    ended = {(entry.recording_id, entry.segment) for entry in written if isinstance(entry, Ended | Failed)}
    assert {(each.order.recording_id, each.segment) for each in owed} <= ended


def _the_end(call: Call, now: float) -> list[object]:
    """Every outcome that the call still waits for."""
    made: list[object] = []
    for recording in call.recordings.all:
        if recording.pending:
            made += call.handle(RecordingStarted(recording.order.recording_id, recording.segment, "f", "u"), now)
    if call.phase is not Phase.ENDED:
        made += call.handle(MediaReplied(MediaRequest(99), b""), now)
    return made
