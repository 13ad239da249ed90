"""A call whose phones talk directly comes onto a media server when it is to be recorded, and leaves it afterwards."""

from __future__ import annotations

from mediaserverd.call.commands import (
    Acknowledge,
    Grant,
    HangUp,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    StartRecording,
    StopRecording,
    WriteLedger,
)
from mediaserverd.call.events import (
    CALLER,
    Change,
    ChangeDone,
    HungUp,
    Invited,
    MediaRequest,
    OfferAnswered,
    RecordingStarted,
    StopRequested,
    Woken,
)
from mediaserverd.call.phase import Phase
from mediaserverd.protocol.negotiation import Side
from tests.call.moving import (
    ALICE_PLACE,
    BOB_PLACE,
    FIND,
    M1,
    OTHER_ID,
    R1,
    R2,
    START,
    asked,
    asking,
    direct,
    found,
    recording,
    said,
    view,
)
from tests.call.script import B1, ORDER, Script, phone, replied


def test_a_call_that_needs_no_audio_is_direct_from_the_start() -> None:
    script = direct()
    assert script.call.phase is Phase.TALKING
    assert "nothing needs the audio: the phones talk directly" in [line.text for line in script.call.story.lines]
    assert script.tell(HungUp(CALLER))[:-1] == [HangUp(B1)]


def test_a_call_that_is_to_be_recorded_is_on_a_media_server_from_the_start() -> None:
    for wanted in ({"recording": ORDER}, {"look_back_ms": 5000}, {"audio_path": "always-in"}):
        script = Script(**{"audio_path": "dynamic", **wanted})
        assert script.tell(Invited(phone("alice"))) == [
            MediaOffer(MediaRequest(1), "m1", Side.CALLER, phone("alice"), script.call.setup.look_back_ms)
        ]


def test_a_recording_on_demand_brings_a_media_server_in_and_loses_nothing() -> None:
    script = direct()
    assert script.tell(START) == [FIND]
    assert script.tell(found("m1", "m2")) == [
        MediaOffer(MediaRequest(1), "m1", Side.CALLER, said("alice")),
        MediaAnswer(MediaRequest(2), "m1", Side.CALLED, said("bob")),
    ]
    assert script.tell(replied(1, view())) == []
    assert script.tell(replied(2, view())) == [asked(CALLER, 2, M1), asked(B1, 2, M1)]
    assert script.tell(OfferAnswered(B1, said("bob"))) == [Acknowledge(B1)]
    ack, announced, start = script.tell(OfferAnswered(CALLER, said("alice")))
    assert ack == Acknowledge(CALLER)
    assert isinstance(announced, WriteLedger)
    assert isinstance(start, StartRecording)
    assert (start.server, start.recording_id) == ("m1", OTHER_ID)
    assert script.tell(RecordingStarted(OTHER_ID, 1, "f", "u"))[1:] == [Grant(R1)]
    assert script.call.deadline is None
    commands = script.tell(HungUp(CALLER))
    assert MediaDelete("m1") in commands
    assert script.finished(commands).summary.media_server == "m1"


def test_when_the_recording_is_stopped_the_phones_talk_directly_again() -> None:
    script = recording()
    assert script.tell(StopRequested(R2, "alice")) == [StopRecording(Change(1), "m1")]
    ended, granted, *offers = script.tell(ChangeDone(Change(1)))
    assert isinstance(ended, WriteLedger)
    assert granted == Grant(R2)
    assert offers == [asked(CALLER, 3, BOB_PLACE), asked(B1, 3, ALICE_PLACE)]
    assert script.tell(OfferAnswered(CALLER, said("alice"))) == [Acknowledge(CALLER)]
    assert script.tell(OfferAnswered(B1, said("bob"))) == [Acknowledge(B1)]
    assert script.call.deadline == script.now + 2.0  # what a phone sent before it knew better is still relayed
    assert script.tell(Woken(), after=2.0) == [MediaDelete("m1")]
    assert script.tell(Woken(), after=60.0) == []
    assert script.tell(HungUp(CALLER))[:-1] == [HangUp(B1)]


def test_a_recording_can_be_started_and_stopped_again_and_again() -> None:
    script = recording()
    for search in (2, 3):
        script.tell_all(StopRequested(R2, "alice"), ChangeDone(Change(search - 1)))
        script.tell_all(OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, said("bob")))
        assert script.tell(START) == [type(FIND)(type(FIND.search)(search), "record")]
        offer, answer = script.tell(found("m1", search=search))  # the session there still lingers
        assert isinstance(offer, MediaOffer)
        assert isinstance(answer, MediaAnswer)
        script.tell_all(replied(offer.request, view()), replied(answer.request, view()))
        script.tell_all(OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, said("bob")))
        assert Grant(R1) in script.tell(RecordingStarted(OTHER_ID, 1, "f", "u"))
        assert script.call.deadline is None


def test_a_bye_while_the_phones_are_asked_ends_both_and_the_media_server() -> None:
    script = asking()
    denied, *commands = script.tell(HungUp(CALLER))[:-1]
    assert commands == [HangUp(B1), MediaDelete("m1")]
    assert type(denied).__name__ == "Deny"
