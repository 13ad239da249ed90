"""Somebody starts, stops, pauses and resumes a call's recording. Virtual time; the commands are compared exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mediaserverd.call.commands import (
    Command,
    Deny,
    Grant,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    PauseRecording,
    RecordEvent,
    ResumeRecording,
    SendInfo,
    StartRecording,
    StopRecording,
    WriteLedger,
)
from mediaserverd.call.events import (
    CALLER,
    Acknowledged,
    Answered,
    Change,
    ChangeDone,
    ChangeFailed,
    ControlRequest,
    HungUp,
    Informed,
    Invited,
    Method,
    OfferAnswered,
    Offered,
    PauseRequested,
    RecordingBroken,
    RecordingRefused,
    RecordingStarted,
    ResumeRequested,
    StartRequested,
    StopRequested,
    Woken,
)
from mediaserverd.call.ledger import Ended, EndReason, Expected, Failed, Started
from mediaserverd.call.pause import Pause
from mediaserverd.call.setup import PauseRules
from mediaserverd.policy.form import RecordingForm
from mediaserverd.protocol.negotiation import Side
from tests.call.script import B1, ORDER, RECORDING_ID, STARTED, Script, dialled, phone, relayed, replied, talking

OTHER_ID = "f" * 32
R1, R2, R3 = (ControlRequest(number) for number in (1, 2, 3))
C1, C2, C3 = (Change(number) for number in (1, 2, 3))
DIGIT = Informed(CALLER, 9, "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")


def pause(request: ControlRequest = R1, *, secure: bool = True, **changes: Any) -> PauseRequested:
    return PauseRequested(request, "alice", secure, **changes)


def paused(seconds: float | None = None, **changes: Any) -> Script:
    """Talking, recorded, and in a secure pause that the media server has confirmed; the next change is number 2."""
    script = talking(recording=ORDER, **changes)
    script.tell_all(pause(seconds=seconds), ChangeDone(C1))
    return script


def standing(script: Script) -> Pause | None:
    return script.call.control.pause


def confirmed(script: Script) -> bool | None:
    found = script.call.control.pause
    return found.confirmed if found else None


def recording(script: Script) -> tuple[str, ...]:
    return tuple(each.state.value for each in script.call.recordings.all)


def told(script: Script) -> str:
    return "\n".join(line.text for line in script.call.story.lines)


# --- pause and resume


def test_a_pause_is_granted_when_the_media_server_has_confirmed_it() -> None:
    script = talking(recording=ORDER)
    assert script.tell(pause(mode="omit")) == [PauseRecording(C1, "m1", "omit", True, "alice")]
    assert confirmed(script) is False
    assert script.tell(ChangeDone(C1)) == [Grant(R1)]
    assert confirmed(script) is True
    assert "alice pauses the recording (secure, omit, for 60 s)" in told(script)


def test_a_resume_ends_the_pause_once_the_media_server_has_confirmed_it() -> None:
    script = paused()
    assert script.tell(ResumeRequested(R2, "bob")) == [ResumeRecording(C2, "m1", RECORDING_ID, 1, "bob")]
    assert standing(script)
    assert script.tell(ChangeDone(C2)) == [Grant(R2)]
    assert standing(script) is None
    assert script.tell(ResumeRequested(R3, "bob")) == [Deny(R3, "there is no pause to end")]


def test_a_pause_ends_by_itself_at_its_deadline_and_not_before() -> None:
    script = paused(seconds=20)
    assert script.call.deadline == 23.0
    assert script.tell(Woken(), after=19.9) == []
    assert script.tell(Woken(), after=0.1) == [ResumeRecording(C2, "m1", RECORDING_ID, 1, "")]
    assert "the time of the pause is up" in told(script)
    assert script.tell(Woken(), after=100.0) == [], "the media server is asked once"
    script.tell(ChangeDone(C2))
    assert standing(script) is None


def test_an_end_of_the_pause_that_the_media_server_does_not_take_is_tried_again() -> None:
    script = paused(seconds=20)
    script.tell(Woken(), after=20.0)
    script.tell(ChangeFailed(C2, "silent"))
    assert script.call.deadline == script.now + 5.0
    assert script.tell(Woken(), after=5.0) == [ResumeRecording(C3, "m1", RECORDING_ID, 1, "")]


def test_a_resume_that_the_media_server_refuses_leaves_the_pause_as_it_was() -> None:
    script = paused(seconds=20)
    script.tell(ResumeRequested(R2, "bob"))
    [denied] = script.tell(ChangeFailed(C2, "busy"))
    assert isinstance(denied, Deny)
    assert denied.uncertain
    assert "busy" in denied.reason
    assert standing(script)
    assert script.call.deadline == 23.0


def test_a_pause_that_the_media_server_does_not_confirm_is_denied_and_kept_as_not_confirmed() -> None:
    script = talking(recording=ORDER)
    script.tell(pause())
    [denied] = script.tell(ChangeFailed(C1, "silent"))
    assert denied == Deny(R1, "the media server did not pause the recording: silent; ask again", uncertain=True)
    assert confirmed(script) is False
    script.tell_all(pause(R2), ChangeDone(C2))
    assert confirmed(script) is True


def test_a_pause_asked_again_while_a_resume_is_on_its_way_stays() -> None:
    script = paused()
    script.tell(ResumeRequested(R2, "bob"))
    assert script.tell(pause(R3)) == [PauseRecording(C3, "m1", "mask", True, "alice")]
    assert script.tell(ChangeDone(C2)) == [Grant(R2)]
    assert script.tell(ChangeDone(C3)) == [Grant(R3)]
    assert standing(script)


def test_repeats_stop_at_the_maximum_and_then_the_pause_ends() -> None:
    script = paused(pause=PauseRules(60, 100))
    for number in range(2, 6):
        script.tell(pause(ControlRequest(number)), after=20.0)
    assert script.call.deadline == 103.0
    assert script.tell(Woken(), after=20.0) == [ResumeRecording(Change(6), "m1", RECORDING_ID, 1, "")]


def test_a_pause_while_the_recording_is_being_started_follows_it() -> None:
    script = dialled(recording=ORDER)
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")), Acknowledged(CALLER))
    assert script.tell(pause()) == [PauseRecording(C1, "m1", "mask", True, "alice")]


def test_before_the_answer_there_is_nothing_to_pause() -> None:
    assert dialled(recording=ORDER).tell(pause()) == [Deny(R1, "the call is not answered yet")]


def test_a_secure_pause_of_a_call_that_is_not_recorded_keeps_it_from_being_recorded() -> None:
    script = talking()
    assert script.tell(pause(secure=False)) == [Deny(R1, "no recording runs")]
    assert script.tell(pause(R2)) == [Grant(R2)]
    assert script.tell(StartRequested(R3, "bob", OTHER_ID)) == [
        Deny(R3, "recording is paused by alice; resume first"),
    ]
    assert script.tell(Woken(), after=60.0) == []
    assert isinstance(script.tell(StartRequested(R3, "bob", OTHER_ID))[1], StartRecording)


def test_a_second_pause_that_wants_another_mode_goes_on_in_the_first() -> None:
    """One pause is either cut out or silent. It may become secure, and stays that."""
    script = talking(recording=ORDER)
    script.tell_all(pause(secure=False, mode="omit"), ChangeDone(C1))
    assert script.tell(pause(R2, mode="mask")) == [PauseRecording(C2, "m1", "omit", True, "alice")]
    assert script.tell(ChangeDone(C2)) == [Grant(R2)]
    assert script.tell(pause(R3, secure=False, mode="mask")) == [PauseRecording(C3, "m1", "omit", True, "alice")]


def test_a_resume_that_meets_the_failure_of_the_recording_ends_the_pause_if_the_media_server_took_it() -> None:
    script = paused()
    script.tell(ResumeRequested(R2, "bob"))
    script.tell(RecordingBroken(RECORDING_ID, 1, "disk-full"))
    assert script.tell(ChangeDone(C2)) == [Grant(R2)]
    assert (standing(script), recording(script)) == (None, ("interrupted",))


def test_a_resume_that_finds_no_recording_any_more_leaves_a_pause_that_the_next_one_ends() -> None:
    script = paused(seconds=20)
    script.tell(ResumeRequested(R2, "bob"))
    script.tell(RecordingBroken(RECORDING_ID, 1, "disk-full"))
    [denied] = script.tell(ChangeFailed(C2, "no recording"))
    assert isinstance(denied, Deny)
    assert standing(script), "nobody said that it is over"
    assert script.tell(ResumeRequested(R3, "bob")) == [Grant(R3)]
    assert standing(script) is None


def test_a_pause_whose_recording_failed_while_it_ended_is_over_when_its_time_is_up() -> None:
    script = paused(seconds=20)
    script.tell(Woken(), after=20.0)
    script.tell_all(RecordingBroken(RECORDING_ID, 1, "disk-full"), ChangeFailed(C2, "no recording"))
    assert script.tell(Woken(), after=5.0) == []
    assert standing(script) is None


def test_a_pause_outlives_the_recording_that_it_began_with() -> None:
    script = paused()
    script.tell_all(StopRequested(R2, "bob"), ChangeDone(C2))
    assert standing(script)
    [denied] = script.tell(StartRequested(R3, "bob", OTHER_ID))
    assert isinstance(denied, Deny)


# --- nothing that phones or servers do ends a pause


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "inactive"])
@pytest.mark.parametrize("method", Method)
def test_no_new_offer_ends_a_pause(method: Method, direction: str) -> None:
    script = paused()
    for version, codecs in ((2, "8"), (3, "0 8")):  # hold or not, and another codec there and back
        offer = phone("alice", direction, version=version, codecs=codecs)
        number = 2 * version - 1
        commands = script.tell_all(
            Offered(CALLER, method, offer),
            replied(number, relayed("alice", direction, codecs=codecs)),
            OfferAnswered(B1, phone("bob", version=version, codecs=codecs)),
            replied(number + 1, relayed("bob", codecs=codecs)),
            Acknowledged(CALLER),
        )
        assert any(isinstance(each, MediaAnswer) for each in commands), "the offer went all the way"
        assert not any(isinstance(each, StartRecording | ResumeRecording) for each in commands)
        assert standing(script)
    assert script.call.deadline == 63.0


# --- digits


def test_a_digit_is_part_of_the_story_and_of_the_recording() -> None:
    script = talking(recording=ORDER)
    assert script.tell(DIGIT) == [
        RecordEvent("m1", Side.CALLER, {"event": "dtmf", "digits": "5"}),
        SendInfo(B1, 9, DIGIT.content_type, DIGIT.body),
    ]
    assert "caller side: DTMF 5" in told(script)


def test_a_digit_of_a_call_that_is_not_recorded_is_in_its_story_alone() -> None:
    script = talking()
    assert script.tell(DIGIT) == [SendInfo(B1, 9, DIGIT.content_type, DIGIT.body)]
    assert "DTMF 5" in told(script)


def test_a_digit_in_a_pause_reaches_the_other_phone_and_is_kept_nowhere() -> None:
    script = paused()
    assert script.tell(DIGIT) == [SendInfo(B1, 9, DIGIT.content_type, DIGIT.body)]
    script.tell(ResumeRequested(R2, "bob"))
    assert script.tell(DIGIT) == [SendInfo(B1, 9, DIGIT.content_type, DIGIT.body)], "the resume is not confirmed yet"
    assert "DTMF" not in told(script)
    script.tell(ChangeDone(C2))
    assert len(script.tell(DIGIT)) == 2


# --- hold


def test_hold_and_its_end_are_told_to_the_recording_once_each() -> None:
    script = talking(recording=ORDER)
    events: list[Command] = []
    for version, direction, answer in ((2, "sendonly", "recvonly"), (3, "sendonly", "recvonly"), (4, "sendrecv", "")):
        number = 2 * version - 1
        events += script.tell_all(
            Offered(CALLER, Method.INVITE, phone("alice", direction, version=version)),
            replied(number, relayed("alice", direction)),
            OfferAnswered(B1, phone("bob", *filter(None, [answer]), version=version)),
            replied(number + 1, relayed("bob")),
            Acknowledged(CALLER),
        )
    assert [each for each in events if isinstance(each, RecordEvent)] == [
        RecordEvent("m1", Side.CALLER, {"event": "hold"}),
        RecordEvent("m1", Side.CALLER, {"event": "unhold"}),
    ]


# --- start and stop


def on_demand(commands: list[Command]) -> tuple[Expected, StartRecording]:
    written, start = commands
    assert isinstance(written, WriteLedger)
    assert isinstance(written.entry, Expected)
    assert isinstance(start, StartRecording)
    return written.entry, start


def test_a_recording_on_demand_is_announced_with_who_asked_and_granted_when_it_runs() -> None:
    script = talking()
    entry, start = on_demand(script.tell(StartRequested(R1, "alice", OTHER_ID), after=5.0))
    assert (entry.kind, entry.policy, entry.initiation, entry.recording_id) == ("on-demand", "", "alice", OTHER_ID)
    assert (start.recording_id, start.segment, start.look_back_ms) == (OTHER_ID, 1, 0)
    assert script.tell(RecordingStarted(OTHER_ID, 1, "f", "u")) == [
        WriteLedger(Started(OTHER_ID, 1, "f", "u")),
        Grant(R1),
    ]
    summary = script.finished(script.tell(HungUp(CALLER))).summary
    assert (summary.recording_ids, summary.recording_outcome, summary.policy) == ((OTHER_ID,), "recorded", "")


def test_look_back_reaches_as_far_as_it_is_kept_or_wanted_and_never_before_the_answer() -> None:
    def wanted(look_back_ms: int | None, after: float) -> int:
        script = talking(look_back_ms=10_000)
        return on_demand(script.tell(StartRequested(R1, "alice", OTHER_ID, look_back_ms), after))[1].look_back_ms

    assert [wanted(None, 60.0), wanted(3000, 60.0), wanted(60_000, 60.0), wanted(None, 4.0)] == [
        10_000, 3000, 10_000, 4000,
    ]  # fmt: skip


def test_what_was_said_in_a_pause_never_becomes_look_back() -> None:
    script = talking(recording=ORDER, look_back_ms=10_000)
    script.tell_all(pause(seconds=30), ChangeDone(C1))
    script.tell(StopRequested(R2, "alice"), after=1.0)
    script.tell(ChangeDone(C2))
    script.tell(ResumeRequested(R3, "alice"), after=20.0)
    start = on_demand(script.tell(StartRequested(ControlRequest(4), "alice", OTHER_ID), after=2.5))[1]
    assert start.look_back_ms == 2500


def test_media_servers_are_told_how_much_to_look_back_with_every_description() -> None:
    script = Script(look_back_ms=10_000)
    [offer] = script.tell(Invited(phone("alice")))
    assert isinstance(offer, MediaOffer)
    script.tell(replied(1, relayed("alice")))
    answers = [each for each in script.tell(Answered(B1, phone("bob"))) if isinstance(each, MediaAnswer)]
    assert (offer.look_back_ms, [each.look_back_ms for each in answers]) == (10_000, [10_000])


def test_a_recording_on_demand_has_the_form_that_the_policy_gave_the_first() -> None:
    form = RecordingForm("wav", encrypt=False, encoding="audio/PCMA")
    script = talking(recording=replace(ORDER, form=form))
    script.tell_all(StopRequested(R1, "alice"), ChangeDone(C1))
    assert on_demand(script.tell(StartRequested(R2, "alice", OTHER_ID)))[1].form == form


def test_a_start_that_the_media_server_refuses_is_denied_and_accounted_for() -> None:
    script = talking()
    script.tell(StartRequested(R1, "alice", OTHER_ID))
    assert script.tell(RecordingRefused(OTHER_ID, 1, "disk full")) == [
        WriteLedger(Failed(OTHER_ID, 1, "disk full")),
        Deny(R1, "disk full", uncertain=True),
    ]
    assert recording(script) == ("over",)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (dialled(), "the call is not answered yet"),
        (talking(recording=ORDER), f"recording {RECORDING_ID} runs already"),
        (talking(barred_by="council"), "policy 'council' says that this call is not recorded"),
    ],
)
def test_a_start_that_cannot_be_is_denied_with_the_reason(script: Script, why: str) -> None:
    assert script.tell(StartRequested(R1, "alice", OTHER_ID)) == [Deny(R1, why)]


def test_a_stop_ends_the_recording_in_the_ledger_and_the_call_goes_on() -> None:
    script = talking(recording=ORDER)
    assert script.tell(StopRequested(R1, "alice"), after=7.0) == [StopRecording(C1, "m1")]
    assert script.tell(ChangeDone(C1)) == [WriteLedger(Ended(RECORDING_ID, 1, EndReason.STOPPED, 7000)), Grant(R1)]
    assert script.tell(StopRequested(R2, "alice")) == [Deny(R2, "no recording runs")]
    assert script.finished(script.tell(HungUp(CALLER))).summary.recording_outcome == "recorded"


def test_a_stop_that_fails_leaves_the_recording_running() -> None:
    script = talking(recording=ORDER)
    script.tell(StopRequested(R1, "alice"))
    [denied] = script.tell(ChangeFailed(C1, "silent"))
    assert isinstance(denied, Deny)
    assert recording(script) == ("running",)


def test_a_required_recording_can_be_paused_but_not_stopped() -> None:
    script = talking(recording=replace(ORDER, required=True))
    assert script.tell(StopRequested(R1, "alice")) == [Deny(R1, "policy 'record all' requires this recording")]
    assert isinstance(script.tell(pause(R2))[0], PauseRecording)


def test_a_recording_on_demand_that_breaks_does_not_end_a_call_whose_policy_required_another() -> None:
    script = dialled(recording=replace(ORDER, required=True))
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")), STARTED, Acknowledged(CALLER))
    script.tell(RecordingBroken(OTHER_ID, 1, "disk full"))
    assert script.call.phase.value == "talking"


def test_recordings_follow_each_other_in_one_call_each_with_its_own_account() -> None:
    script = talking(recording=ORDER)
    script.tell_all(StopRequested(R1, "alice"), ChangeDone(C1))
    script.tell_all(StartRequested(R2, "alice", OTHER_ID), RecordingStarted(OTHER_ID, 1, "f", "u"))
    assert recording(script) == ("over", "running")
    commands = script.tell(HungUp(CALLER), after=5.0)
    assert WriteLedger(Ended(OTHER_ID, 1, EndReason.CALL_ENDED, 5000)) in commands
    assert script.finished(commands).summary.recording_ids == (RECORDING_ID, OTHER_ID)


# --- the end


def test_who_waits_for_an_answer_hears_that_the_call_has_ended() -> None:
    script = talking(recording=ORDER)
    script.tell(pause())
    commands = script.tell(HungUp(CALLER))
    assert Deny(R1, "the call has ended", uncertain=True) in commands
    assert script.tell(ChangeDone(C1)) == []


# --- calls that are too short to keep


def short(talk_s: float, **changes: Any) -> tuple[Script, list[Command]]:
    script = dialled(recording=ORDER, shortest_ms=2000, **changes)
    script.tell(Answered(B1, phone("bob")), after=30.0)
    script.tell_all(replied(2, relayed("bob")), Acknowledged(CALLER), STARTED)
    return script, script.tell(HungUp(CALLER), after=talk_s)


def test_the_recording_of_a_call_that_was_too_short_is_discarded_and_the_ledger_says_so() -> None:
    script, commands = short(1.9)
    assert commands[1:3] == [
        WriteLedger(Ended(RECORDING_ID, 1, EndReason.TOO_SHORT, 1900)),
        MediaDelete("m1", discard=True),
    ]
    assert script.finished(commands).summary.recording_outcome == "too short"


def test_a_call_of_the_shortest_length_is_kept() -> None:
    _, commands = short(2.0)
    assert commands[1:3] == [WriteLedger(Ended(RECORDING_ID, 1, EndReason.CALL_ENDED, 2000)), MediaDelete("m1")]


def test_a_short_call_whose_recording_was_never_confirmed_is_discarded_too() -> None:
    script = dialled(recording=ORDER, shortest_ms=2000)
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")), Acknowledged(CALLER))
    assert MediaDelete("m1", discard=True) in script.tell(HungUp(CALLER), after=1.0)
    assert script.tell(STARTED)[1] == WriteLedger(Ended(RECORDING_ID, 1, EndReason.TOO_SHORT, 1000))


def test_what_was_stopped_by_somebody_is_kept_however_short_the_call() -> None:
    script = talking(recording=ORDER, shortest_ms=3_600_000)
    script.tell_all(StopRequested(R1, "alice"), ChangeDone(C1))
    assert MediaDelete("m1") in script.tell(HungUp(CALLER), after=1.0)
