"""What phones and media servers do to a call while its audio moves: refusals, glare, changed answers, holds, ends."""

from __future__ import annotations

import pytest

from mediaserverd.call.commands import (
    Acknowledge,
    AnswerOffer,
    Command,
    Deny,
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
    Event,
    HungUp,
    LegId,
    MediaFailed,
    MediaLost,
    MediaRequest,
    Method,
    OfferAnswered,
    Offered,
    OfferRefused,
    Woken,
)
from mediaserverd.call.move import MAX_TRIES
from mediaserverd.call.phase import Phase
from mediaserverd.protocol.negotiation import Side
from tests.call.moving import (
    ALICE_PLACE,
    BOB_PLACE,
    FIND,
    M1,
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
from tests.call.script import B1, TO_CALLED, TO_CALLER, body, phone, replied


def unnarrowed(leg: LegId, version: int) -> SendOffer:
    """What the phone had been told before the move."""
    session_id, place = (TO_CALLER, BOB_PLACE) if leg == CALLER else (TO_CALLED, ALICE_PLACE)
    return SendOffer(leg, body(f"- {session_id} {version} IN IP4 203.0.113.1", *place))


def denied(commands: list[Command]) -> str:
    [deny] = [each for each in commands if isinstance(each, Deny)]
    assert not deny.uncertain, "nothing has happened"
    return deny.reason


def answer_of(leg: LegId) -> bytes:
    return said("alice" if leg == CALLER else "bob")


def other_of(leg: LegId) -> LegId:
    return B1 if leg == CALLER else CALLER


def starts(commands: list[Command]) -> bool:
    return any(isinstance(each, StartRecording) for each in commands)


# --- refusals leave the call as it was


@pytest.mark.parametrize("refusing", [CALLER, B1])
@pytest.mark.parametrize("status", [415, 488, 500, 603])
@pytest.mark.parametrize("refusal_first", [True, False])
def test_a_phone_that_refuses_brings_the_other_one_back(refusing: LegId, status: int, refusal_first: bool) -> None:
    script = asking()
    moved = other_of(refusing)
    refusal, success = OfferRefused(refusing, status, "No"), OfferAnswered(moved, answer_of(moved))
    commands = script.tell_all(*((refusal, success) if refusal_first else (success, refusal)))
    assert commands == [Acknowledge(moved), unnarrowed(moved, 3)]
    commands = script.tell(OfferAnswered(moved, answer_of(moved)))
    assert commands[0] == Acknowledge(moved)
    side = "caller" if refusing == CALLER else "called"
    assert denied(commands) == f"the audio cannot be recorded: the {side} side refuses: {status} No"
    assert script.tell(Woken(), after=2.0) == [MediaDelete("m1")]
    assert script.call.phase is Phase.TALKING
    assert script.tell(START)[0] == type(FIND)(type(FIND.search)(2), "record"), "it may be tried again"


def test_two_phones_that_refuse_are_left_alone() -> None:
    script = asking()
    assert script.tell(OfferRefused(CALLER, 488, "No")) == []
    assert denied(script.tell(OfferRefused(B1, 488, "No"))).endswith("the caller side refuses: 488 No")
    assert script.tell(Woken(), after=2.0) == [MediaDelete("m1")]


@pytest.mark.parametrize("answer", [b"", b"rubbish", phone("bob").replace(b"m=audio 4000", b"m=audio 0")])
def test_an_answer_that_no_audio_comes_of_is_taken_back_from_both(answer: bytes) -> None:
    script = asking()
    commands = script.tell_all(OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, answer))
    assert commands[-2:] == [unnarrowed(CALLER, 3), unnarrowed(B1, 3)]
    commands = both_answer(script)
    assert denied(commands).endswith("the called side gave no usable answer")


def test_a_phone_that_refuses_to_go_back_keeps_the_media_server_as_long_as_the_call_lasts() -> None:
    script = asking()
    script.tell_all(OfferAnswered(CALLER, said("alice")), OfferRefused(B1, 488, "No"))
    assert denied(script.tell(OfferRefused(CALLER, 488, "No"))).endswith("the called side refuses: 488 No")
    assert script.call.deadline is None
    assert script.tell(HungUp(CALLER))[:-1] == [MediaDelete("m1"), HangUp(B1)]


def test_a_phone_that_never_answers_does_not_hold_the_other_one() -> None:
    script = asking()
    script.tell(OfferAnswered(CALLER, said("alice")))
    assert script.tell(Woken(), after=40.0) == [unnarrowed(CALLER, 3)]
    assert denied(script.tell(OfferAnswered(CALLER, said("alice")))).endswith("it takes too long")
    assert script.tell(OfferAnswered(B1, said("bob"))) == [Acknowledge(B1)], "a success that comes after all"
    assert script.call.deadline is None, "the server goes on relaying for it"


def test_a_phone_that_will_not_talk_directly_stays_where_it_is_and_is_not_asked_again() -> None:
    script = recording()
    script.tell_all(*STOPPED, OfferAnswered(CALLER, said("alice")))
    assert script.tell(OfferRefused(B1, 488, "No")) == [asked(CALLER, 4, M1)]
    assert script.tell(OfferAnswered(CALLER, said("alice"))) == [Acknowledge(CALLER)]
    assert script.tell(Woken(), after=60.0) == []
    assert starts(script.tell(START)), "the media server still carries the audio"


# --- the media server


def test_a_media_server_that_refuses_is_followed_by_the_next_before_any_phone_hears_of_it() -> None:
    script = direct()
    script.tell_all(START, found("m1", "m2"))
    assert script.tell(MediaFailed(MediaRequest(1), "load limit")) == [
        MediaDelete("m1"),
        MediaOffer(MediaRequest(3), "m2", Side.CALLER, said("alice")),
        MediaAnswer(MediaRequest(4), "m2", Side.CALLED, said("bob")),
    ]
    assert script.tell(MediaFailed(MediaRequest(2), "late")) == []
    assert script.tell_all(*prepared(3)) == [asked(CALLER, 2, M1), asked(B1, 2, M1)]


@pytest.mark.parametrize("fault", [MediaFailed(MediaRequest(2), "full", silent=True), MediaLost("m1", "full")])
def test_without_any_media_server_the_recording_is_denied_and_the_call_goes_on(fault: Event) -> None:
    script = direct()
    assert denied(script.tell_all(START, found())).endswith("no media server may be used now")
    script.tell_all(START, found("m1", search=2))
    commands = script.tell(fault)
    assert commands[0] == MediaDelete("m1")
    assert denied(commands).endswith("full")
    assert script.tell(HungUp(B1))[:-1] == [HangUp(CALLER)]


def test_a_media_server_that_dies_while_phones_move_to_it_sends_them_back() -> None:
    script = asking()
    script.tell(OfferAnswered(CALLER, said("alice")))
    assert script.tell(MediaLost("m1", "killed")) == []
    assert script.tell(OfferAnswered(B1, said("bob")))[1:] == [unnarrowed(CALLER, 3), unnarrowed(B1, 3)]
    assert denied(both_answer(script)).endswith("media server m1: lost: killed")


def test_a_media_server_that_dies_while_it_is_left_does_not_matter() -> None:
    script = recording()
    script.tell_all(*STOPPED, MediaLost("m1", "killed"))
    assert both_answer(script) == [Acknowledge(CALLER), Acknowledge(B1), MediaDelete("m1")]
    assert script.call.phase is Phase.TALKING


def test_a_media_server_that_dies_while_it_is_left_in_vain_takes_the_call_with_it() -> None:
    script = recording()
    script.tell_all(*STOPPED, MediaLost("m1", "killed"), OfferAnswered(CALLER, said("alice")))
    assert script.finished(script.tell(OfferRefused(B1, 488, "No"))).summary.reason.startswith("media-server-lost")


# --- glare


@pytest.mark.parametrize(("leg", "earliest", "latest"), [(CALLER, 0.0, 2.0), (B1, 2.1, 4.0)])
@pytest.mark.parametrize("dice", [0.0, 0.37, 0.999])
def test_a_phone_with_an_offer_of_its_own_is_asked_again_later(
    leg: LegId, earliest: float, latest: float, dice: float
) -> None:
    script = asking(dice=dice)
    script.tell(OfferAnswered(other_of(leg), answer_of(other_of(leg))))
    assert script.tell(OfferRefused(leg, 491, "Request Pending")) == []
    until = script.call.deadline
    assert until is not None
    assert earliest <= until - script.now <= latest, "RFC 3261 14.1"
    again = script.tell(Woken(), after=until - script.now)
    assert again == [asked(leg, 2, M1)], "the same description: the version stays"
    assert starts(script.tell(OfferAnswered(leg, answer_of(leg))))


def test_two_phones_with_offers_of_their_own_are_asked_again_one_after_the_other() -> None:
    script = asking()
    script.tell_all(OfferRefused(CALLER, 491, "Pending"), OfferRefused(B1, 491, "Pending"))
    assert script.tell(Woken(), after=2.0) == [asked(CALLER, 2, M1)]
    assert script.tell(OfferAnswered(CALLER, said("alice"))) == [Acknowledge(CALLER)]
    assert script.tell(Woken(), after=2.0) == [asked(B1, 2, M1)]
    assert starts(script.tell(OfferAnswered(B1, said("bob"))))


def test_a_phone_that_is_always_busy_has_refused_in_the_end() -> None:
    script = asking()
    script.tell(OfferAnswered(B1, said("bob")))
    for tried in range(1, MAX_TRIES):
        assert script.tell(OfferRefused(CALLER, 491, "Pending")) == [], tried
        assert script.tell(Woken(), after=2.0) == [asked(CALLER, 2, M1)]
    assert script.tell(OfferRefused(CALLER, 491, "Pending")) == [unnarrowed(B1, 3)]
    assert denied(script.tell(OfferAnswered(B1, said("bob")))).endswith("the caller side refuses: 491 Pending")


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("leg", [CALLER, B1])
def test_an_offer_of_a_phone_that_meets_ours_is_pending(leg: LegId, method: Method) -> None:
    script = asking()
    assert script.tell(Offered(leg, method, answer_of(leg))) == [AnswerOffer(leg, 491, "Request Pending")]
    assert starts(both_answer(script))


def test_an_offer_that_comes_while_we_wait_is_served_through_the_new_carrier_and_moves_both() -> None:
    script = asking()
    script.tell_all(OfferAnswered(B1, said("bob")), OfferRefused(CALLER, 491, "Pending"))
    held = phone("alice", "sendonly", version=2)
    assert script.tell(Offered(CALLER, Method.INVITE, held)) == [MediaOffer(MediaRequest(3), "m1", Side.CALLER, held)]
    assert script.tell(replied(3, view("sendonly"))) == [asked(B1, 3, M1, "sendonly")]
    script.tell(OfferAnswered(B1, said("bob", "recvonly")))
    assert script.tell(replied(4, view("recvonly"))) == [
        AnswerOffer(CALLER, 200, "OK", told(TO_CALLER, 3, M1, "recvonly"))
    ]
    assert starts(script.tell(Acknowledged(CALLER)))
    assert script.call.deadline is None


def test_an_offer_that_is_served_while_we_wait_and_refused_leaves_the_move_to_go_on() -> None:
    script = asking()
    script.tell_all(OfferAnswered(B1, said("bob")), OfferRefused(CALLER, 491, "Pending"))
    script.tell_all(Offered(CALLER, Method.INVITE, phone("alice", "sendonly")), replied(3, view("sendonly")))
    refused = script.tell(OfferRefused(B1, 488, "No"), after=0.1)
    assert refused[0] == AnswerOffer(CALLER, 488, "No")
    assert script.tell(Woken(), after=2.0) == [asked(CALLER, 2, M1)]
    assert starts(script.tell(OfferAnswered(CALLER, said("alice"))))


def test_a_recording_that_is_wanted_during_a_change_waits_for_its_end() -> None:
    script = direct()
    script.tell(Offered(CALLER, Method.INVITE, phone("alice", "sendonly", version=2)))
    assert script.tell(START) == []
    assert not starts(script.tell(OfferAnswered(B1, phone("bob", "recvonly", version=2))))
    assert script.tell(Acknowledged(CALLER)) == [FIND]
