"""Between answer and BYE: hold, resume, change of codec, glare, INFO, and every way to end."""

from __future__ import annotations

import pytest

from mediaserverd.call.commands import (
    Acknowledge,
    AnswerInfo,
    AnswerOffer,
    Finished,
    HangUp,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    SendInfo,
    SendOffer,
)
from mediaserverd.call.conversation import MAX_PENDING_INFOS
from mediaserverd.call.events import (
    CALLER,
    AckMissing,
    Acknowledged,
    Answered,
    EndRequested,
    HungUp,
    InfoAnswered,
    Informed,
    LegId,
    LegLost,
    MediaFailed,
    MediaRequest,
    MediaTimedOut,
    Method,
    OfferAnswered,
    Offered,
    OfferRefused,
    Woken,
)
from mediaserverd.call.phase import Phase
from mediaserverd.protocol.negotiation import Side
from tests.call.script import B1, TO_CALLED, TO_CALLER, Script, dialled, ours, phone, relayed, replied, talking

HELD = phone("alice", "sendonly", version=2)
HELD_ANSWER = phone("bob", "recvonly", version=2)


def request(number: int) -> MediaRequest:
    return MediaRequest(number)


def restored(first: int) -> list[MediaOffer | MediaAnswer]:
    """The media server hears again what the phones had agreed on."""
    return [
        MediaOffer(request(first), "m1", Side.CALLER, phone("alice")),
        MediaAnswer(request(first + 1), "m1", Side.CALLED, phone("bob")),
    ]


def test_hold_goes_through_the_media_server_to_the_other_phone_and_back() -> None:
    script = talking()
    assert script.tell(Offered(CALLER, Method.INVITE, HELD)) == [MediaOffer(request(3), "m1", Side.CALLER, HELD)]
    assert script.tell(replied(3, relayed("alice", "sendonly"))) == [
        SendOffer(B1, ours(TO_CALLED, "sendonly", version=2))
    ]
    assert script.tell(OfferAnswered(B1, HELD_ANSWER)) == [
        Acknowledge(B1),
        MediaAnswer(request(4), "m1", Side.CALLED, HELD_ANSWER),
    ]
    assert script.tell(replied(4, relayed("bob", "recvonly"))) == [
        AnswerOffer(CALLER, 200, "OK", ours(TO_CALLER, "recvonly", version=2))
    ]
    assert script.tell(Acknowledged(CALLER)) == []
    assert script.call.deadline is None
    assert "caller side: INVITE (hold)" in [line.text for line in script.call.story.lines]


def test_resume_bumps_the_version_again() -> None:
    script = talking()
    for number, attribute, version in ((3, "sendonly", 2), (5, "sendrecv", 3)):
        script.tell(Offered(CALLER, Method.INVITE, phone("alice", attribute, version=version)))
        assert script.tell(replied(number, relayed("alice", attribute))) == [
            SendOffer(B1, ours(TO_CALLED, attribute, version=version))
        ]
        script.tell_all(OfferAnswered(B1, phone("bob")), replied(number + 1, relayed("bob")), Acknowledged(CALLER))
    assert script.tell(Offered(B1, Method.INVITE, phone("bob"))) == [
        MediaOffer(request(7), "m1", Side.CALLED, phone("bob"))
    ]


def test_a_refresh_that_changes_nothing_keeps_the_version() -> None:
    script = talking()
    script.tell(Offered(B1, Method.INVITE, phone("bob")))
    assert script.tell(replied(3, relayed("bob"))) == [SendOffer(CALLER, ours(TO_CALLER))]


def test_an_update_is_over_with_its_answer_for_there_is_no_ack() -> None:
    script = talking()
    changed = phone("bob", codecs="8")
    assert script.tell(Offered(B1, Method.UPDATE, changed)) == [MediaOffer(request(3), "m1", Side.CALLED, changed)]
    assert script.tell(replied(3, relayed("bob", codecs="8"))) == [
        SendOffer(CALLER, ours(TO_CALLER, version=2, codecs="8"))
    ]
    script.tell(OfferAnswered(CALLER, phone("alice", codecs="8")))
    assert script.tell(replied(4, relayed("alice", codecs="8"))) == [
        AnswerOffer(B1, 200, "OK", ours(TO_CALLED, version=2, codecs="8"))
    ]
    assert script.tell(Offered(B1, Method.UPDATE)) == [AnswerOffer(B1, 200, "OK")]


def test_a_reinvite_without_offer_asks_the_other_phone_for_one() -> None:
    script = talking()
    assert script.tell(Offered(CALLER, Method.INVITE)) == [SendOffer(B1)]
    assert script.tell(OfferAnswered(B1, phone("bob", version=2))) == [
        MediaOffer(request(3), "m1", Side.CALLED, phone("bob", version=2))
    ]
    assert script.tell(replied(3, relayed("bob"))) == [AnswerOffer(CALLER, 200, "OK", ours(TO_CALLER))]
    assert script.tell(Acknowledged(CALLER, phone("alice", version=2))) == [
        MediaAnswer(request(4), "m1", Side.CALLER, phone("alice", version=2))
    ]
    assert script.tell(replied(4, relayed("alice"))) == [Acknowledge(B1, ours(TO_CALLED))]
    assert script.call.deadline is None


# --- refusals leave the call as it was


def test_a_refusal_goes_back_and_the_media_server_goes_back_too() -> None:
    script = talking()
    script.tell_all(Offered(CALLER, Method.INVITE, HELD), replied(3, relayed("alice", "sendonly")))
    assert script.tell(OfferRefused(B1, 488, "Not Acceptable Here")) == [
        AnswerOffer(CALLER, 488, "Not Acceptable Here"),
        *restored(4),
    ]
    assert script.tell_all(replied(4, relayed("alice")), replied(5, relayed("bob"))) == []
    assert script.call.phase is Phase.TALKING
    assert script.tell(HungUp(B1))[0] == HangUp(CALLER)


def test_a_media_server_that_refuses_the_change_leaves_the_call_as_it_was() -> None:
    script = talking()
    script.tell(Offered(CALLER, Method.INVITE, HELD))
    assert script.tell(MediaFailed(request(3), "Ran out of ports")) == [
        AnswerOffer(CALLER, 488, "Not Acceptable Here"),
        *restored(4),
    ]
    assert script.tell(MediaFailed(request(4), "again")) == []
    assert script.call.phase is Phase.TALKING


def test_a_late_offer_that_is_refused_in_the_middle_is_still_acknowledged() -> None:
    script = talking()
    script.tell_all(Offered(CALLER, Method.INVITE), OfferAnswered(B1, phone("bob", version=2)))
    assert script.tell(MediaFailed(request(3), "Ran out of ports")) == [
        AnswerOffer(CALLER, 488, "Not Acceptable Here"),
        Acknowledge(B1, ours(TO_CALLED)),
        *restored(4),
    ]


def test_an_unreadable_offer_is_refused_without_asking_anyone() -> None:
    assert talking().tell(Offered(B1, Method.INVITE, b"rubbish")) == [AnswerOffer(B1, 400, "Bad Request")]


def test_a_change_that_nobody_completes_is_given_up() -> None:
    script = talking()
    script.tell_all(Offered(CALLER, Method.INVITE, HELD), replied(3, relayed("alice", "sendonly")))
    assert script.call.deadline == 43.0
    assert script.tell(Woken(), after=40.0) == [AnswerOffer(CALLER, 504, "Server Time-out"), *restored(4)]
    assert script.tell(OfferAnswered(B1, HELD_ANSWER)) == [Acknowledge(B1)]


# --- glare


def test_a_second_offer_from_the_other_side_is_pending_and_from_the_same_side_too_early() -> None:
    script = talking()
    script.tell(Offered(CALLER, Method.INVITE, HELD))
    assert script.tell(Offered(B1, Method.INVITE, phone("bob"))) == [AnswerOffer(B1, 491, "Request Pending")]
    assert script.tell(Offered(CALLER, Method.UPDATE, HELD)) == [
        AnswerOffer(CALLER, 500, "Server Internal Error", retry_after_s=5)
    ]


def test_glare_at_the_other_phone_is_passed_back_for_the_first_to_try_again() -> None:
    script = talking()
    script.tell_all(Offered(CALLER, Method.INVITE, HELD), replied(3, relayed("alice", "sendonly")))
    assert script.tell(OfferRefused(B1, 491, "Request Pending"))[0] == AnswerOffer(CALLER, 491, "Request Pending")
    assert isinstance(script.tell(Offered(CALLER, Method.INVITE, HELD))[0], MediaOffer)


@pytest.mark.parametrize("leg", [CALLER, B1])
def test_an_offer_before_the_first_one_is_through_is_pending(leg: LegId) -> None:
    script = dialled()
    assert script.tell(Offered(leg, Method.UPDATE, phone("alice"))) == [AnswerOffer(leg, 491, "Request Pending")]
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")))
    assert script.tell(Offered(leg, Method.INVITE, phone("alice"))) == [AnswerOffer(leg, 491, "Request Pending")]


# --- INFO


def info(leg: LegId, number: int) -> Informed:
    return Informed(leg, number, "application/dtmf-relay", b"Signal=5", (("Info-Package", "dtmf"),))


def test_an_info_and_its_response_go_end_to_end() -> None:
    script = talking()
    assert script.tell(info(CALLER, 1)) == [
        SendInfo(B1, 1, "application/dtmf-relay", b"Signal=5", (("Info-Package", "dtmf"),))
    ]
    assert script.tell(InfoAnswered(B1, 1, 415, "Unsupported Media Type")) == [
        AnswerInfo(CALLER, 1, 415, "Unsupported Media Type")
    ]
    assert script.tell(InfoAnswered(B1, 1, 200, "OK")) == []


def test_an_info_before_the_answer_has_nowhere_to_go() -> None:
    assert dialled().tell(info(CALLER, 1)) == [AnswerInfo(CALLER, 1, 480, "Temporarily Unavailable")]


def test_a_flood_of_infos_is_refused() -> None:
    script = talking()
    for number in range(MAX_PENDING_INFOS):
        script.tell(info(B1, number))
    assert script.tell(info(B1, 99)) == [AnswerInfo(B1, 99, 503, "Service Unavailable")]


# --- the end


@pytest.mark.parametrize(("leg", "other", "side"), [(CALLER, B1, "caller"), (B1, CALLER, "called")])
def test_a_bye_from_either_side_ends_the_other(leg: LegId, other: LegId, side: str) -> None:
    script = talking()
    commands = script.tell(HungUp(leg), after=10.0)
    assert commands[:-1] == [HangUp(other), MediaDelete("m1")]
    summary = script.finished(commands).summary
    assert (summary.ended_by, summary.reason, summary.answered, summary.status) == (side, "hung up", True, 200)
    assert (summary.setup_ms, summary.duration_ms) == (3000, 10000)
    assert (summary.codec, summary.media_server) == ("PCMU/8000", "m1")


def test_two_byes_that_cross_are_one_end() -> None:
    script = talking()
    assert isinstance(script.tell(HungUp(CALLER))[-1], Finished)
    assert script.tell(HungUp(B1)) == []


def test_a_bye_in_the_middle_of_a_change_still_answers_whoever_asked() -> None:
    script = talking()
    script.tell_all(Offered(CALLER, Method.INVITE, HELD), replied(3, relayed("alice", "sendonly")), info(CALLER, 1))
    assert script.tell(HungUp(B1))[:-1] == [
        AnswerOffer(CALLER, 487, "Request Terminated"),
        AnswerInfo(CALLER, 1, 487, "Request Terminated"),
        HangUp(CALLER),
        MediaDelete("m1"),
    ]


def test_a_bye_in_the_middle_of_a_late_offer_acknowledges_first() -> None:
    script = talking()
    script.tell_all(Offered(CALLER, Method.INVITE), OfferAnswered(B1, phone("bob", version=2)))
    assert script.tell(HungUp(CALLER))[:-1] == [
        AnswerOffer(CALLER, 487, "Request Terminated"),
        Acknowledge(B1),
        HangUp(B1),
        MediaDelete("m1"),
    ]


def both_hung_up(script: Script, status: int, reason: str) -> list[object]:
    return [HangUp(CALLER, status, reason), HangUp(B1, status, reason), MediaDelete("m1")]


def test_silence_on_the_audio_path_ends_the_call_with_that_reason() -> None:
    script = talking()
    assert script.tell(MediaTimedOut("m2", "not ours")) == []
    assert script.tell(MediaTimedOut("m1", "60 s"))[:-1] == both_hung_up(script, 408, "media-timeout: 60 s")


def test_a_shutdown_hangs_up_both_sides() -> None:
    script = talking()
    assert script.tell(EndRequested("shutting down"))[:-1] == both_hung_up(script, 503, "shutting down")


def test_a_reinvite_that_is_never_acknowledged_ends_the_call() -> None:
    script = talking()
    assert script.tell(AckMissing(B1))[:-1] == both_hung_up(script, 408, "no ACK came")


@pytest.mark.parametrize("event", [LegLost(B1, "connection closed"), OfferRefused(B1, 481, "Gone")])
def test_a_phone_whose_dialog_is_gone_ends_the_other_side(event: LegLost | OfferRefused) -> None:
    commands = talking().tell(event)
    assert isinstance(commands[0], HangUp)
    assert commands[0].leg == CALLER
    assert commands[1] == MediaDelete("m1")


def test_the_story_tells_the_call_in_order() -> None:
    script = talking()
    script.tell(HungUp(B1), after=1.0)
    assert [(line.at, line.text) for line in script.call.story.lines] == [
        (0.0, "alice calls bob"),
        (0.0, "media server m1 is asked"),
        (0.0, "bob is called"),
        (3.0, "bob answers"),
        (3.0, "the caller is answered"),
        (4.0, "the call ends (called): hung up"),
    ]
