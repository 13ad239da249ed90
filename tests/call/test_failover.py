"""A media server dies under a call, or cannot go on recording it: the audio moves on, and so does the recording."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mediaserverd.call.commands import (
    AnswerOffer,
    BegunPaused,
    Command,
    FailedOver,
    FindMediaServers,
    HangUp,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    SendOffer,
    StartRecording,
    StopRecording,
    WriteLedger,
)
from mediaserverd.call.events import (
    CALLER,
    Acknowledged,
    Answered,
    Change,
    ControlRequest,
    EndRequested,
    HungUp,
    Invited,
    MediaFailed,
    MediaLost,
    MediaRequest,
    MediaServersFound,
    MediaUsable,
    Method,
    OfferAnswered,
    Offered,
    OfferRefused,
    PauseRequested,
    RecordingBroken,
    RecordingRefused,
    RecordingStarted,
    ResumeRequested,
    Search,
    StopRequested,
    Woken,
)
from mediaserverd.call.ledger import Ended, EndReason, Expected, Failed, Started
from mediaserverd.call.phase import Phase
from mediaserverd.policy.form import RecordingForm
from mediaserverd.protocol.negotiation import Side
from tests.call.moving import M1, asked, found, said, view
from tests.call.script import (
    B1,
    ORDER,
    RECORDING_ID,
    STARTED,
    Script,
    dialled,
    expected,
    phone,
    relayed,
    replied,
    talking,
)

KILLED: Final = MediaLost("m1", "killed")
FIND: Final = FindMediaServers(Search(1), "record", ("m1",), relay_will_do=True)
FIND_CARRIER: Final = FindMediaServers(Search(1), "call", ("m1",), relay_will_do=True)
LOST: Final = WriteLedger(Ended(RECORDING_ID, 1, EndReason.MEDIA_SERVER_LOST, 4000))


def recorded(**changes: Any) -> Script:
    """A call through m1 that a policy records."""
    return talking(**{"recording": ORDER, **changes})


def goes_on(segment: int, server: str, paused: BegunPaused | None = None) -> list[Command]:
    entry = expected(segment=segment, media_server=server).entry
    assert isinstance(entry, Expected)
    metadata = {**entry.document(), "tags": ["demo"]}
    return [WriteLedger(entry), StartRecording(server, RECORDING_ID, segment, ORDER.form, metadata, 0, paused)]


def failed(segment: int, reason: str) -> WriteLedger:
    return WriteLedger(Failed(RECORDING_ID, segment, reason))


def ready(script: Script, server: str, search: int = 1) -> list[Command]:
    """Selection names the server, which takes both legs; what follows from its second reply."""
    offer, answer = script.tell(found(server, search=search))
    assert isinstance(offer, MediaOffer)
    assert isinstance(answer, MediaAnswer)
    assert script.tell(replied(offer.request, view())) == []
    return script.tell(replied(answer.request, view()))


def both_answer(script: Script) -> list[Command]:
    taken = script.tell_all(OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, said("bob")))
    return [command for command in taken if type(command).__name__ != "Acknowledge"]


def started(segment: int) -> RecordingStarted:
    return RecordingStarted(RECORDING_ID, segment, f"{RECORDING_ID}-{segment}.sasf", "https://m/x")


def kinds(commands: list[Command]) -> list[str]:
    return [type(command).__name__ for command in commands]


def told(script: Script) -> str:
    return "\n".join(line.text for line in script.call.story.lines)


def test_the_audio_moves_to_the_next_server_and_the_recording_goes_on_there_with_the_first_packet() -> None:
    script = recorded()
    assert script.tell(KILLED, after=4.0) == [LOST, MediaDelete("m1"), FIND]
    offer, answer = script.tell(found("m2"), after=0.1)
    assert offer == MediaOffer(MediaRequest(3), "m2", Side.CALLER, said("alice"))
    assert answer == MediaAnswer(MediaRequest(4), "m2", Side.CALLED, said("bob"))
    assert script.tell(replied(3, view())) == []
    assert script.tell(replied(4, view())) == [asked(CALLER, 2, M1), asked(B1, 2, M1), *goes_on(2, "m2")]
    assert kinds(script.tell(started(2))) == ["WriteLedger"]
    assert both_answer(script) == [FailedOver("m1", "m2", 0.1)]
    assert script.call.deadline is None
    commands = script.tell(HungUp(CALLER), after=6.0)
    assert WriteLedger(Ended(RECORDING_ID, 2, EndReason.CALL_ENDED, 6000)) in commands
    assert MediaDelete("m2") in commands
    summary = script.finished(commands).summary
    assert (summary.media_server, summary.recording_outcome) == ("m2", "recorded")


def test_a_dynamic_call_on_the_direct_path_does_not_notice() -> None:
    script = talking(audio_path="dynamic", recording=None, media_servers=())
    assert script.tell(KILLED) == []
    assert script.call.phase is Phase.TALKING


def test_an_unrecorded_call_through_a_server_moves_on_too() -> None:
    script = talking()
    asked = FindMediaServers(Search(1), "call", ("m1",), relay_will_do=True)
    assert script.tell(KILLED) == [MediaDelete("m1"), asked]
    assert kinds(ready(script, "m2")) == ["SendOffer", "SendOffer"]
    assert kinds(both_answer(script)) == ["FailedOver"]


def test_a_server_that_cannot_record_is_wanted_only_where_the_phones_are_not_to_talk_directly() -> None:
    for given, wanted in (({}, False), ({"may_go_direct": False}, True), ({"look_back_ms": 5000}, True)):
        script = recorded(audio_path="dynamic", **given)
        [asked] = [each for each in script.tell(KILLED) if isinstance(each, FindMediaServers)]
        assert (asked.operation, asked.relay_will_do) == ("record", wanted), given


def test_two_servers_that_die_one_after_the_other_make_three_segments() -> None:
    script = recorded(media_servers=("m1", "m2", "m3"))
    script.tell(KILLED)
    ready(script, "m2")
    both_answer(script)
    script.tell(started(2))
    assert kinds(script.tell(MediaLost("m2", "frozen"), after=3.0)) == [
        "WriteLedger",
        "MediaDelete",
        "FindMediaServers",
    ]
    assert goes_on(3, "m3")[1] in ready(script, "m3", search=2)
    assert both_answer(script) == [FailedOver("m2", "m3", 0.0)]


def test_a_server_that_dies_while_the_phones_are_on_their_way_to_it_is_followed_by_the_next() -> None:
    script = recorded()
    script.tell(KILLED)
    ready(script, "m2")
    script.tell(OfferAnswered(CALLER, said("alice")))
    assert script.tell(MediaLost("m2", "killed too")) == [failed(2, "media-server-lost")]
    commands = script.tell(OfferAnswered(B1, said("bob")))
    assert [each for each in commands if isinstance(each, FindMediaServers)] == [
        FindMediaServers(Search(2), "record", ("m1", "m2"), relay_will_do=True)
    ]
    commands = ready(script, "m3", search=2)
    assert goes_on(3, "m3")[1] in commands
    assert FailedOver("m1", "m3", 0.0) in both_answer(script)


def test_a_server_that_does_not_take_the_call_is_followed_by_the_next_one_that_was_found() -> None:
    script = recorded()
    script.tell(KILLED)
    script.tell(MediaServersFound(Search(1), ("m2", "m3")))
    commands = script.tell(MediaFailed(MediaRequest(3), "load limit"))
    assert [each.server for each in commands if isinstance(each, MediaOffer)] == ["m3"]


def test_without_another_server_the_phones_talk_directly_and_what_is_not_recorded_is_accounted_for() -> None:
    script = recorded()
    script.tell(KILLED, after=4.0)
    offers = script.tell(found())
    assert kinds(offers) == ["SendOffer", "SendOffer"]
    assert both_answer(script) == [FailedOver("m1", "", 0.0), WriteLedger(replace_segment(2, ""))]
    assert "goes on unrecorded" in told(script)
    commands = script.tell(HungUp(CALLER), after=3.0)
    assert failed(2, "no-media-server") in commands
    assert script.finished(commands).summary.recording_outcome == "broken off: media-server-lost"


def replace_segment(segment: int, server: str) -> Expected:
    entry = expected(segment=segment, media_server=server).entry
    assert isinstance(entry, Expected)
    return entry


def test_a_recording_that_nobody_could_take_is_offered_again_until_a_server_is_back() -> None:
    script = recorded()
    script.tell(KILLED)
    script.tell(found())
    both_answer(script)
    assert script.call.deadline == script.now + 1.0
    assert script.tell(Woken(), after=1.0) == [FindMediaServers(Search(2), "record")]
    assert script.tell(found(search=2)) == []
    assert script.call.deadline == script.now + 2.0
    script.tell(Woken(), after=2.0)
    commands = ready(script, "m1", search=3)
    assert commands[2:] == [failed(2, "no-media-server"), *goes_on(3, "m1")]
    assert both_answer(script) == []


def test_phones_that_cannot_reach_each_other_end_with_the_reason_when_there_is_no_server() -> None:
    script = recorded(may_go_direct=False)
    script.tell(KILLED)
    commands = script.tell(found())
    reason = "media-server-lost: no media server may be used now"
    assert [each for each in commands if isinstance(each, HangUp)] == [
        HangUp(CALLER, 503, reason),
        HangUp(B1, 503, reason),
    ]
    assert failed(2, "media-server-lost") in commands


def test_a_required_recording_goes_on_elsewhere_or_the_call_ends() -> None:
    script = dialled(recording=replace(ORDER, required=True))
    script.tell_all(Answered(B1, phone("bob")), STARTED, replied(2, relayed("bob")), Acknowledged(CALLER))
    script.tell(KILLED)
    assert goes_on(2, "m2")[1] in ready(script, "m2")
    both_answer(script)
    script.tell_all(started(2), MediaLost("m2", "killed"))
    assert "HangUp" in kinds(script.tell(found(search=2)))


def test_a_phone_that_refuses_to_move_ends_the_call_with_its_answer_as_the_reason() -> None:
    script = recorded()
    script.tell(KILLED)
    ready(script, "m2")
    script.tell(OfferAnswered(CALLER, said("alice")))
    commands = script.tell(OfferRefused(B1, 488, "Not Acceptable Here"))
    reason = "media-server-lost: the called side refuses: 488 Not Acceptable Here"
    assert HangUp(B1, 503, reason) in commands
    assert MediaDelete("m2") in commands


def test_a_pause_outlives_the_server() -> None:
    script = recorded()
    script.tell(PauseRequested(ControlRequest(1), "alice", secure=True, mode="omit"))
    script.tell(KILLED)
    assert goes_on(2, "m2", BegunPaused("omit", True, "alice"))[1] in ready(script, "m2")
    assert script.call.control.pause is not None
    script.tell(started(2))
    assert script.call.control.pause.confirmed


def test_who_pauses_or_resumes_between_two_servers_is_obeyed_by_the_next_segment() -> None:
    script = recorded()
    script.tell(KILLED)
    assert kinds(script.tell(PauseRequested(ControlRequest(1), "alice"))) == ["Grant"]
    assert kinds(script.tell(ResumeRequested(ControlRequest(2), "alice"))) == ["Grant"]
    script.tell(PauseRequested(ControlRequest(3), "bob"))
    assert goes_on(2, "m2", BegunPaused("mask", False, "bob"))[1] in ready(script, "m2")


def test_the_next_segment_has_the_form_that_the_policy_named() -> None:
    form = RecordingForm("wav", encrypt=False, encoding="audio/PCMA")
    script = recorded(recording=replace(ORDER, form=form))
    script.tell(KILLED)
    (start,) = [each for each in ready(script, "m2") if isinstance(each, StartRecording)]
    assert (start.form, start.segment) == (form, 2)


def test_a_loss_while_the_called_phone_rings_is_made_good_when_both_talk() -> None:
    script = dialled(recording=ORDER)
    assert script.tell(KILLED) == [MediaDelete("m1")]
    commands = script.tell(Answered(B1, phone("bob")), after=3.0)
    assert "Accept" in kinds(commands)
    assert kinds(script.tell(Acknowledged(CALLER))) == ["FindMediaServers"]
    commands = ready(script, "m2")
    assert kinds(commands)[:2] == ["SendOffer", "SendOffer"]
    assert goes_on(2, "m2")[1] in commands


def test_a_loss_before_the_server_replied_to_the_answer_costs_no_call() -> None:
    script = dialled(recording=ORDER)
    script.tell(Answered(B1, phone("bob")), after=3.0)
    commands = script.tell(KILLED)
    assert kinds(commands) == ["WriteLedger", "MediaDelete", "Accept"]
    assert commands[0] == failed(1, "media-server-lost")
    assert kinds(script.tell(Acknowledged(CALLER))) == ["FindMediaServers"]
    assert goes_on(2, "m2")[1] in ready(script, "m2")


def test_a_required_recording_that_loses_its_server_before_the_answer_ends_the_call() -> None:
    script = dialled(recording=replace(ORDER, required=True))
    script.tell(Answered(B1, phone("bob")), after=3.0)
    commands = script.tell(KILLED)
    assert "Refuse" in kinds(commands)
    assert [each.entry for each in commands if isinstance(each, WriteLedger)] == [
        Failed(RECORDING_ID, 1, "media-server-lost")
    ]


def test_a_phones_own_offer_that_met_the_loss_is_refused_and_then_both_are_asked() -> None:
    script = recorded()
    script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    commands = script.tell(KILLED)
    assert [each.status for each in commands if isinstance(each, AnswerOffer)] == [488]
    assert "FindMediaServers" in kinds(commands)
    assert kinds(ready(script, "m2"))[:2] == ["SendOffer", "SendOffer"]


def test_a_phones_own_offer_is_waited_for_where_the_other_phone_has_it_already() -> None:
    script = recorded()
    script.tell(Offered(CALLER, Method.INVITE, phone("alice", version=2)))
    assert kinds(script.tell(replied(3, relayed("alice")))) == ["SendOffer"]
    assert "FindMediaServers" not in kinds(script.tell(KILLED))
    commands = script.tell(OfferAnswered(B1, phone("bob", version=2)))
    assert "AnswerOffer" in kinds(commands)
    assert "FindMediaServers" in kinds(script.tell(Acknowledged(CALLER)) or commands)


def test_a_disk_that_is_full_moves_the_recording_and_the_audio_with_it_while_everybody_is_heard() -> None:
    script = recorded()
    assert script.tell(RecordingBroken(RECORDING_ID, 1, "disk-full"), after=4.0) == [
        WriteLedger(Ended(RECORDING_ID, 1, EndReason.RECORDING_BROKEN, 4000)),
        FindMediaServers(Search(1), "record", ("m1",)),
    ]
    assert script.tell(RecordingBroken(RECORDING_ID, 1, "again")) == []
    commands = ready(script, "m2")
    assert kinds(commands)[:2] == ["SendOffer", "SendOffer"]
    assert goes_on(2, "m2")[1] in commands
    assert both_answer(script) == []
    assert script.tell(Woken(), after=2.0) == [MediaDelete("m1")]  # it relayed until the phones were gone


def test_where_nobody_else_can_record_the_audio_stays_and_the_rest_is_accounted_for() -> None:
    script = recorded()
    script.tell(RecordingBroken(RECORDING_ID, 1, "disk-full"), after=4.0)
    assert script.tell(found()) == [WriteLedger(replace_segment(2, ""))]
    assert script.tell(Woken(), after=1.0) == [FindMediaServers(Search(2), "record", ("m1",))]
    script.tell(found(search=2))
    commands = script.tell(HungUp(CALLER), after=1.0)
    assert failed(2, "no-media-server") in commands
    assert MediaDelete("m1") in commands


def test_a_server_that_can_be_used_again_is_asked_at_once_and_not_when_the_next_try_is_due() -> None:
    script = recorded()
    script.tell(KILLED)
    script.tell(found())
    both_answer(script)
    assert script.tell(MediaUsable("m1"), after=0.2) == [FindMediaServers(Search(2), "record")]
    script.tell(found(search=2))
    assert script.tell(Woken(), after=1.0) == []
    assert script.tell(MediaUsable("m2")) == [FindMediaServers(Search(3), "record")]
    assert goes_on(3, "m2")[1] in ready(script, "m2", search=3)
    assert script.tell(MediaUsable("m1")) == []


def test_a_server_that_refuses_the_next_segment_carries_the_audio_and_another_one_is_asked_to_record() -> None:
    script = recorded()
    script.tell(KILLED)
    ready(script, "m2")
    both_answer(script)
    refused = script.tell(RecordingRefused(RECORDING_ID, 2, "disk floor"))
    assert refused == [failed(2, "disk floor"), FindMediaServers(Search(2), "record", ("m2",))]
    assert goes_on(3, "m3")[1] in ready(script, "m3", search=2)


def test_a_recording_that_somebody_was_stopping_is_over_with_its_server() -> None:
    script = recorded()
    assert script.tell(StopRequested(ControlRequest(1), "alice")) == [StopRecording(Change(1), "m1")]
    commands = script.tell(KILLED)
    assert kinds(commands) == ["WriteLedger", "MediaDelete", "FindMediaServers"]
    assert kinds(ready(script, "m2")) == ["SendOffer", "SendOffer"]


def test_a_call_that_ends_while_a_server_is_looked_for_leaves_nothing_behind() -> None:
    script = recorded()
    script.tell(KILLED, after=4.0)
    commands = script.tell(EndRequested("shutdown"), after=0.5)
    assert [each.entry for each in commands if isinstance(each, WriteLedger)] == [
        replace_segment(2, ""),
        Failed(RECORDING_ID, 2, "media-server-lost"),
    ]
    assert script.tell(found("m2")) == []


def test_a_bye_while_the_phones_are_asked_ends_the_segment_that_has_just_begun() -> None:
    script = recorded()
    script.tell(KILLED)
    ready(script, "m2")
    script.tell(started(2))
    commands = script.tell(HungUp(B1), after=0.5)
    assert WriteLedger(Ended(RECORDING_ID, 2, EndReason.CALL_ENDED, 500)) in commands
    assert MediaDelete("m2") in commands
    assert WriteLedger(Started(RECORDING_ID, 2, started(2).file, started(2).uri)) not in commands


def test_phones_that_say_491_are_asked_again_and_are_not_given_up() -> None:
    script = recorded()
    script.tell(KILLED)
    ready(script, "m2")
    script.tell(OfferAnswered(CALLER, said("alice")))
    script.tell(OfferRefused(B1, 491, "Request Pending"))
    assert script.call.deadline is not None
    (again,) = script.tell(Woken(), after=script.call.deadline - script.now)
    assert isinstance(again, SendOffer)
    assert kinds(script.tell(OfferAnswered(B1, said("bob")))) == ["Acknowledge", "FailedOver"]


def test_a_late_offer_whose_server_is_lost_goes_on_directly_until_both_talk() -> None:
    script = Script(recording=ORDER)
    script.tell_all(Invited(), Answered(B1, phone("bob")), replied(1, relayed("bob")))
    assert script.tell(KILLED) == [MediaDelete("m1")]
    commands = script.tell(Acknowledged(CALLER, phone("alice")))
    assert "Acknowledge" in kinds(commands)
    assert "FindMediaServers" in kinds(commands)
    assert kinds(ready(script, "m2"))[:2] == ["SendOffer", "SendOffer"]
