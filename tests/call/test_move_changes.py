"""A call whose audio moves while something else changes: answers with another port or codec, holds, pauses, ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mediaserverd.call.commands import (
    Acknowledge,
    AnswerOffer,
    Deny,
    FindMediaServers,
    Finished,
    Grant,
    HangUp,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    SendOffer,
    StartRecording,
)
from mediaserverd.call.events import (
    CALLER,
    Acknowledged,
    Answered,
    Event,
    HungUp,
    Invited,
    LegLost,
    MediaRequest,
    Method,
    OfferAnswered,
    Offered,
    OfferRefused,
    PauseRequested,
    Progressed,
    RecordingBroken,
    RecordingStarted,
    Search,
    StopRequested,
    Woken,
)
from mediaserverd.call.move import MAX_CORRECTIONS
from mediaserverd.call.phase import Phase
from mediaserverd.protocol.negotiation import Side
from tests.call.moving import (
    ALICE_PLACE,
    BOB_PLACE,
    M1,
    OTHER_ID,
    PCMU,
    R1,
    R2,
    START,
    STOPPED,
    asked,
    asking,
    both_answer,
    direct,
    found,
    prepared,
    recording,
    said,
    told,
    view,
)
from tests.call.script import B1, TO_CALLER, Script, body, phone, replied

MOVED_PORT = ("192.0.2.1", 4444)


def moved_port(version: int = 2) -> bytes:
    return body(f"alice 7 {version} IN IP4 192.0.2.1", *MOVED_PORT, PCMU, codecs="0")


def started(script: Script, *events: Event) -> bool:
    return any(isinstance(each, StartRecording) for each in script.tell_all(*events))


# --- answers with another port or codec


def test_a_media_server_hears_at_once_of_another_port_in_an_answer() -> None:
    script = asking()
    assert script.tell(OfferAnswered(CALLER, moved_port())) == [
        Acknowledge(CALLER),
        MediaOffer(MediaRequest(3), "m1", Side.CALLER, moved_port()),
        MediaAnswer(MediaRequest(4), "m1", Side.CALLED, said("bob")),
    ]
    script.tell(OfferAnswered(B1, said("bob")))
    assert started(script, replied(3, view()), replied(4, view())), "and nobody is asked again"


def test_a_phone_that_talks_directly_hears_of_the_other_ones_new_port() -> None:
    script = recording()
    script.tell_all(*STOPPED, OfferAnswered(CALLER, moved_port()))
    assert script.tell(OfferAnswered(B1, said("bob"))) == [Acknowledge(B1), asked(B1, 4, MOVED_PORT)]
    assert script.tell(OfferAnswered(B1, said("bob"))) == [Acknowledge(B1)]
    assert script.call.deadline == script.now + 2.0


def test_a_phone_with_a_new_port_in_every_answer_keeps_the_media_server() -> None:
    script = recording()
    script.tell_all(*STOPPED)
    for version in range(MAX_CORRECTIONS + 1):
        bob = body("bob 7 1 IN IP4 192.0.2.2", "192.0.2.2", 5000 + version, PCMU, codecs="0")
        alice = body("alice 7 1 IN IP4 192.0.2.1", "192.0.2.1", 5000 + version, PCMU, codecs="0")
        commands = script.tell_all(OfferAnswered(CALLER, alice), OfferAnswered(B1, bob))
    assert [each for each in commands if isinstance(each, SendOffer)] == [asked(CALLER, 7, M1), asked(B1, 7, M1)]
    commands = script.tell(OfferAnswered(CALLER, moved_port()))
    assert [type(each) for each in commands[1:]] == [MediaOffer, MediaAnswer], "the port is new once more"


def test_a_phone_that_prefers_another_codec_in_its_answer_is_obeyed() -> None:
    script = asking()
    other = phone("alice", codecs="8")
    script.tell_all(OfferAnswered(B1, said("bob")), OfferAnswered(CALLER, other))
    corrected = view(codecs="8")
    commands = script.tell_all(replied(3, corrected), replied(4, view()))
    assert commands == [asked(B1, 3, M1, codecs="8")]
    assert len(script.tell(OfferAnswered(B1, phone("bob", codecs="8")))) == 3, "first the media server is told"
    assert script.tell_all(replied(5, corrected), replied(6, corrected)) == [asked(CALLER, 3, M1, codecs="8")]
    assert started(script, OfferAnswered(CALLER, other)), "both have heard of the one codec"


def test_phones_that_number_a_codec_differently_are_asked_under_one_number() -> None:
    opus, their_opus = "rtpmap:96 opus/48000/2", "rtpmap:111 opus/48000/2"
    script = Script(audio_path="dynamic")
    script.tell(Invited(phone("alice", opus, "fmtp:96 useinbandfec=1", codecs="96 0")))
    script.tell_all(Answered(B1, phone("bob", their_opus, "fmtp:111 usedtx=1", codecs="111 0")), Acknowledged(CALLER))
    offer, answer = script.tell_all(START, found("m1"))[1:]
    assert isinstance(offer, MediaOffer)
    assert offer.sdp == phone("alice", opus, "fmtp:96 useinbandfec=1", codecs="96")
    assert isinstance(answer, MediaAnswer)
    assert answer.sdp == phone("bob", opus, "fmtp:96 usedtx=1", codecs="96")


def test_video_goes_on_between_the_phones_while_the_audio_moves() -> None:
    video = b"m=video 6000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    script = Script(audio_path="dynamic")
    script.tell_all(Invited(phone("alice") + video), Answered(B1, phone("bob") + video), Acknowledged(CALLER))
    script.tell_all(START, found("m1"))
    refused = view() + b"m=video 0 RTP/AVP 96\r\n"
    [to_alice, to_bob] = script.tell_all(replied(1, refused), replied(2, refused))
    assert isinstance(to_alice, SendOffer)
    assert b"m=video 6000 RTP/AVP 96\r\nc=IN IP4 192.0.2.2\r\n" in to_alice.sdp
    assert isinstance(to_bob, SendOffer)
    assert b"m=video 6000 RTP/AVP 96\r\nc=IN IP4 192.0.2.1\r\n" in to_bob.sdp


# --- holds


def held() -> Script:
    """Alice has put Bob on hold; the phones talk directly."""
    script = direct()
    script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    script.tell_all(OfferAnswered(B1, phone("bob", "recvonly", version=2)), Acknowledged(CALLER))
    return script


def test_a_held_call_stays_held_when_its_audio_moves_and_can_be_resumed_there() -> None:
    script = held()
    script.tell_all(START, found("m1"))
    assert script.tell_all(replied(1, view("sendonly")), replied(2, view("recvonly"))) == [
        asked(CALLER, 3, M1, "recvonly"),
        asked(B1, 3, M1, "sendonly"),
    ]
    alice, bob = said("alice", "sendonly"), said("bob", "recvonly")
    assert started(script, OfferAnswered(CALLER, alice), OfferAnswered(B1, bob))
    resume = phone("alice", version=4)
    assert script.tell(Offered(CALLER, Method.INVITE, resume)) == [
        MediaOffer(MediaRequest(3), "m1", Side.CALLER, resume)
    ]
    assert script.tell(replied(3, view())) == [asked(B1, 4, M1)]


def test_a_hold_in_an_answer_is_known_to_the_media_server_and_troubles_nobody() -> None:
    script = asking()
    script.tell_all(OfferAnswered(CALLER, said("alice", "sendonly")), OfferAnswered(B1, said("bob")))
    assert started(script, replied(3, view("sendonly")), replied(4, view()))
    assert script.call.deadline is None


def test_a_hold_during_a_recording_on_demand_survives_its_end() -> None:
    script = recording()
    script.tell_all(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=5)), replied(3, view("sendonly")))
    script.tell_all(OfferAnswered(B1, phone("bob", "recvonly", version=5)), replied(4, view("recvonly")))
    script.tell(Acknowledged(CALLER))
    assert script.tell_all(*STOPPED)[-2:] == [
        asked(CALLER, 4, BOB_PLACE, "recvonly"),
        asked(B1, 4, ALICE_PLACE, "sendonly"),
    ]


# --- what else is wanted meanwhile


def test_a_second_start_while_the_first_is_on_its_way_is_denied() -> None:
    script = asking()
    assert script.tell(replace(START, request=R2)) == [Deny(R2, "a recording is about to begin already")]
    assert script.tell(StopRequested(R2, "eve")) == [Deny(R2, "no recording runs")]


def test_a_start_while_the_audio_is_leaving_brings_it_back() -> None:
    script = recording()
    script.tell_all(*STOPPED)
    assert script.tell(START) == []
    assert both_answer(script)[-1] == FindMediaServers(Search(2), "record")
    script.tell_all(found("m1", search=2), *prepared(3))
    assert started(script, OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, said("bob")))
    assert script.tell(Woken(), after=60.0) == [], "the server is not deleted under the new recording"


def test_a_secure_pause_before_the_audio_has_moved_prevents_the_recording() -> None:
    script = asking()
    assert script.tell(PauseRequested(R2, "alice", secure=True)) == [Grant(R2)]
    commands = both_answer(script)
    assert Deny(R1, "recording is paused by alice; resume first") in commands
    assert commands[-2:] == [asked(CALLER, 3, BOB_PLACE), asked(B1, 3, ALICE_PLACE)]


def test_a_recording_that_breaks_off_and_that_nobody_else_takes_lets_the_media_server_go() -> None:
    script = recording()
    assert script.tell(RecordingBroken(OTHER_ID, 1, "disk-full"))[1:] == [
        FindMediaServers(Search(2), "record", ("m1",))
    ]
    commands = script.tell(found(search=2))
    assert commands[-2:] == [asked(CALLER, 3, BOB_PLACE), asked(B1, 3, ALICE_PLACE)]


def test_calls_that_keep_their_audio_stay_on_the_media_server_when_a_recording_ends() -> None:
    for kept in ({"audio_path": "always-in"}, {"look_back_ms": 5000}):
        script = Script(**{"audio_path": "dynamic", **kept})
        script.tell_all(Invited(phone("alice")), replied(1, view()), Answered(B1, phone("bob")), replied(2, view()))
        script.tell_all(Acknowledged(CALLER), START)
        script.tell(RecordingStarted(OTHER_ID, 1, "f", "u"))
        assert script.tell_all(*STOPPED)[-1] == Grant(R2)
        assert script.call.deadline is None


# --- before the answer


def test_early_media_passes_directly_and_a_recording_waits_for_the_answer() -> None:
    script = Script(audio_path="dynamic")
    script.tell(Invited(phone("alice")))
    [early] = script.tell(Progressed(B1, 183, "Session Progress", phone("bob")))
    assert b"192.0.2.2" in getattr(early, "sdp", b"")
    assert script.tell(START) == [Deny(R1, "the call is not answered yet")]
    assert script.tell(Offered(B1, Method.UPDATE, phone("bob"))) == [AnswerOffer(B1, 491, "Request Pending")]


def test_a_late_offer_goes_directly_and_its_call_can_move() -> None:
    script = Script(audio_path="dynamic")
    script.tell_all(Invited(), Answered(B1, phone("bob")), Acknowledged(CALLER, phone("alice")))
    assert script.call.phase is Phase.TALKING
    offer, answer = script.tell_all(START, found("m1"))[1:]
    assert (type(offer), type(answer)) == (MediaOffer, MediaAnswer)
    assert getattr(offer, "side", None) is Side.CALLED, "who offered first offers to the media server too"
    assert script.tell_all(*prepared()) == [asked(CALLER, 2, M1), asked(B1, 2, M1)]


def test_a_phone_that_asks_for_an_offer_while_we_wait_gets_the_other_ones_through_the_new_carrier() -> None:
    script = asking()
    script.tell_all(OfferAnswered(B1, said("bob")), OfferRefused(CALLER, 491, "Pending"))
    assert script.tell(Offered(CALLER, Method.INVITE)) == [SendOffer(B1)]
    script.tell(OfferAnswered(B1, said("bob")))
    assert script.tell(replied(3, view())) == [AnswerOffer(CALLER, 200, "OK", told(TO_CALLER, 2, M1))]
    script.tell(Acknowledged(CALLER, said("alice")))
    assert started(script, replied(4, view()))


# --- the end, at every point


STEPS = (
    START,
    found("m1"),
    replied(1, view()),
    replied(2, view()),
    OfferRefused(CALLER, 491, "Pending"),
    OfferAnswered(B1, said("bob")),
)


@pytest.mark.parametrize("done", range(len(STEPS) + 1))
@pytest.mark.parametrize("ending", [HungUp(CALLER), HungUp(B1), LegLost(B1, "gone"), OfferRefused(B1, 481, "Gone")])
def test_an_end_at_any_point_of_the_move_ends_everything(done: int, ending: Event) -> None:
    script = direct()
    before = script.tell_all(*STEPS[:done])
    commands = script.tell(ending)
    assert isinstance(commands[-1], Finished)
    gone = getattr(ending, "leg", B1)
    assert [each.leg for each in commands if isinstance(each, HangUp)] == [B1 if gone == CALLER else CALLER]
    assert commands.count(MediaDelete("m1")) == (done >= 2)
    assert commands.count(Deny(R1, "the audio cannot be recorded: the call has ended")) == (done >= 1)
    offered = sum(isinstance(each, SendOffer) for each in before)
    assert offered == (2 if done >= 4 else 0)


@pytest.mark.parametrize("done", range(4))
def test_an_end_at_any_point_of_the_way_back_ends_everything(done: int) -> None:
    script = recording()
    script.tell_all(*(*STOPPED, OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, said("bob")))[:done])
    commands = script.tell(HungUp(CALLER))
    assert isinstance(commands[-1], Finished)
    assert commands.count(MediaDelete("m1")) == 1
