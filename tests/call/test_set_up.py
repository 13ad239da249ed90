"""From the INVITE to the first word: media server, ringing, answer, late offer."""

from __future__ import annotations

import pytest

from mediaserverd.call.commands import (
    Accept,
    Acknowledge,
    CancelDial,
    Dial,
    Finished,
    HangUp,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    Refuse,
    SendProgress,
)
from mediaserverd.call.events import (
    CALLER,
    AckMissing,
    Acknowledged,
    Answered,
    Cancelled,
    EndRequested,
    HungUp,
    Invited,
    LegLost,
    MediaFailed,
    MediaLost,
    MediaRequest,
    Progressed,
    Refused,
    Woken,
)
from mediaserverd.call.fork import MAX_BRANCHES
from mediaserverd.call.phase import Phase
from mediaserverd.call.setup import Target
from mediaserverd.protocol.negotiation import Side
from tests.call.script import (
    B1,
    B2,
    BOB,
    CAROL,
    SETUP,
    TO_CALLED,
    TO_CALLER,
    Script,
    dialled,
    ours,
    phone,
    relayed,
    replied,
    talking,
)

TARGET = SETUP.targets[0]
GROUP = (TARGET, Target("sip:carol@192.0.2.3", CAROL))


def request(number: int) -> MediaRequest:
    return MediaRequest(number)


def test_a_call_goes_through_the_media_server_in_both_directions() -> None:
    script = Script()
    assert script.tell(Invited(phone("alice"))) == [MediaOffer(request(1), "m1", Side.CALLER, phone("alice"))]
    assert script.tell(replied(1, relayed("alice"))) == [Dial(B1, TARGET, ours(TO_CALLED))]
    assert script.tell(Progressed(B1, 180, "Ringing")) == [SendProgress(180, "Ringing")]
    assert script.tell(Answered(B1, phone("bob"))) == [
        Acknowledge(B1),
        MediaAnswer(request(2), "m1", Side.CALLED, phone("bob")),
    ]
    assert script.tell(replied(2, relayed("bob"))) == [Accept(ours(TO_CALLER))]
    assert script.tell(Acknowledged(CALLER)) == []
    assert script.call.phase is Phase.TALKING
    assert script.call.deadline is None


def test_a_media_server_that_refuses_or_is_silent_is_followed_by_the_next() -> None:
    script = Script(media_servers=("m1", "m2", "m3"))
    script.tell(Invited(phone("alice")))
    assert script.tell(MediaFailed(request(1), "load limit")) == [
        MediaOffer(request(2), "m2", Side.CALLER, phone("alice"))
    ]
    assert script.tell(MediaFailed(request(2), "no reply", silent=True)) == [
        MediaDelete("m2"),
        MediaOffer(request(3), "m3", Side.CALLER, phone("alice")),
    ]
    assert script.tell(replied(2, relayed("alice"))) == []  # too late: nobody waits for m2 any more
    assert script.tell(replied(3, relayed("alice"))) == [Dial(B1, TARGET, ours(TO_CALLED))]


def test_a_media_server_that_returns_rubbish_is_followed_by_the_next() -> None:
    script = Script()
    script.tell(Invited(phone("alice")))
    assert script.tell(replied(1, b"rubbish")) == [
        MediaDelete("m1"),
        MediaOffer(request(2), "m2", Side.CALLER, phone("alice")),
    ]


def test_a_media_server_lost_before_any_phone_knows_of_it_is_followed_by_the_next() -> None:
    script = Script()
    script.tell(Invited(phone("alice")))
    assert script.tell(MediaLost("m2", "not ours")) == []
    assert script.tell(MediaLost("m1", "killed")) == [
        MediaDelete("m1"),
        MediaOffer(request(2), "m2", Side.CALLER, phone("alice")),
    ]


def test_without_any_media_server_the_call_is_refused() -> None:
    script = Script(media_servers=("m1",))
    script.tell(Invited(phone("alice")))
    commands = script.tell(MediaFailed(request(1), "Ran out of ports"))
    assert commands[:-1] == [Refuse(503, "Service Unavailable")]
    assert script.finished(commands).summary.reason == "no media server took the call"


def test_a_line_that_fails_open_lets_the_phones_talk_directly() -> None:
    script = Script(media_servers=(), fail_open=True)
    direct = phone("alice").replace(b"o=alice 7 1 IN IP4 192.0.2.1", b"o=- 1001 1 IN IP4 203.0.113.1")
    assert script.tell(Invited(phone("alice"))) == [Dial(B1, TARGET, direct)]
    back = phone("bob").replace(b"o=bob 7 1 IN IP4 192.0.2.2", b"o=- 1000 1 IN IP4 203.0.113.1")
    assert script.tell(Answered(B1, phone("bob"))) == [Acknowledge(B1), Accept(back)]
    script.tell(Acknowledged(CALLER))
    assert script.tell(HungUp(B1))[0] == HangUp(CALLER)


@pytest.mark.parametrize(("sdp", "status"), [(b"v=1", 400), (b"\xff", 400)])
def test_an_unreadable_offer_is_refused_before_anyone_is_asked(sdp: bytes, status: int) -> None:
    assert Script().tell(Invited(sdp))[0] == Refuse(status, "Bad Request")


def test_a_call_to_nobody_is_refused() -> None:
    assert Script(targets=()).tell(Invited(phone("alice")))[0] == Refuse(480, "Temporarily Unavailable")


# --- ringing


def test_each_kind_of_ringing_is_passed_on_once() -> None:
    script = dialled(targets=GROUP)
    assert script.tell(Progressed(B1, 180, "Ringing")) == [SendProgress(180, "Ringing")]
    assert script.tell(Progressed(B2, 180, "Ringing")) == []
    assert script.tell(Progressed(B1, 180, "Ringing")) == []
    assert script.tell(Progressed(B1, 199, "Early Dialog Terminated")) == []
    assert script.tell(Progressed(B2, 182, "Queued")) == [SendProgress(182, "Queued")]


def test_early_media_flows_through_the_media_server() -> None:
    script = dialled()
    assert script.tell(Progressed(B1, 183, "Session Progress", phone("bob"))) == [
        MediaAnswer(request(2), "m1", Side.CALLED, phone("bob"))
    ]
    assert script.tell(replied(2, relayed("bob"))) == [SendProgress(183, "Session Progress", ours(TO_CALLER))]
    assert script.tell(Progressed(B1, 183, "Session Progress", phone("bob"))) == []
    # The 200 may leave out what the 183 said already.
    assert script.tell(Answered(B1)) == [
        Acknowledge(B1),
        MediaAnswer(request(3), "m1", Side.CALLED, phone("bob")),
    ]
    assert script.tell(replied(3, relayed("bob"))) == [Accept(ours(TO_CALLER))]


def test_early_media_that_the_media_server_refuses_is_ringing_without_it() -> None:
    script = dialled()
    script.tell(Progressed(B1, 183, "Session Progress", phone("bob")))
    assert script.tell(MediaFailed(request(2), "Ran out of ports")) == [SendProgress(183, "Session Progress")]


def test_the_early_media_of_one_of_several_phones_is_not_passed_on() -> None:
    script = dialled(targets=GROUP)
    assert script.tell(Progressed(B1, 183, "Session Progress", phone("bob"))) == [SendProgress(183, "Session Progress")]


def test_the_first_to_answer_wins_and_the_others_stop_ringing() -> None:
    script = dialled(targets=GROUP)
    assert script.tell(Answered(B2, phone("carol"))) == [
        Acknowledge(B2),
        CancelDial(B1),
        MediaAnswer(request(2), "m1", Side.CALLED, phone("carol")),
    ]
    assert script.tell(Refused(B1, 487, "Request Terminated")) == []
    assert script.tell(replied(2, relayed("carol"))) == [Accept(ours(TO_CALLER))]
    assert script.call.summary().called == CAROL


def test_a_second_phone_that_answers_is_acknowledged_and_hung_up() -> None:
    script = dialled(targets=GROUP)
    script.tell(Answered(B1, phone("bob")))
    assert script.tell(Answered(B2, phone("carol"))) == [Acknowledge(B2), HangUp(B2)]


def test_more_phones_than_can_ring_at_once_are_left_out() -> None:
    script = Script(targets=(TARGET,) * (MAX_BRANCHES + 3))
    script.tell(Invited(phone("alice")))
    assert len(script.tell(replied(1, relayed("alice")))) == MAX_BRANCHES
    assert "3 more are not called: too many" in [line.text for line in script.call.story.lines]


# --- nobody


@pytest.mark.parametrize(
    ("refusals", "status"),
    [
        ([(486, "Busy Here"), (480, "Temporarily Unavailable")], 486),
        ([(408, "Request Timeout"), (404, "Not Found")], 404),
        ([(500, "Server Internal Error"), (486, "Busy Here")], 486),
        ([(486, "Busy Here"), (603, "Decline")], 603),
        ([(302, "Moved Temporarily"), (486, "Busy Here")], 486),
        ([(302, "Moved Temporarily"), (503, "Service Unavailable")], 480),
        ([(401, "Unauthorized"), (500, "Server Internal Error")], 403),
        ([(503, "Service Unavailable"), (503, "Service Unavailable")], 500),
        ([(487, "Request Terminated"), (500, "Server Internal Error")], 480),
    ],
)
def test_when_all_refuse_the_caller_gets_the_best_response(refusals: list[tuple[int, str]], status: int) -> None:
    script = dialled(targets=GROUP)
    assert script.tell(Refused(B1, *refusals[0])) == []
    commands = script.tell(Refused(B2, *refusals[1]))
    assert isinstance(commands[0], Refuse)
    assert commands[0].status == status
    assert commands[1:-1] == [MediaDelete("m1")]
    assert script.finished(commands).summary.status == status


def test_a_decline_ends_the_ringing_of_that_station_and_not_of_the_workgroup() -> None:
    second_phone = Target("sip:bob@192.0.2.22", BOB)
    script = dialled(targets=(TARGET, second_phone, GROUP[1]))
    assert script.tell(Refused(B1, 603, "Decline")) == [CancelDial(B2)]
    assert script.tell(Refused(B2, 487, "Request Terminated")) == []
    assert script.call.phase is Phase.DIALLING


@pytest.mark.parametrize(("rings", "status"), [(True, 480), (False, 408)])
def test_a_phone_that_does_not_answer_in_time_is_cancelled(rings: bool, status: int) -> None:
    script = dialled()
    if rings:
        script.tell(Progressed(B1, 180, "Ringing"))
    assert script.call.deadline == 60.0
    assert script.tell(Woken(), after=59.9) == []
    commands = script.tell(Woken(), after=0.1)
    assert commands[0] == Refuse(status, "Temporarily Unavailable" if rings else "Request Timeout")
    assert commands[1:] == [CancelDial(B1), MediaDelete("m1")]
    assert script.finished(script.tell(Refused(B1, 487, "Request Terminated"))).summary.reason == "no answer"


def test_a_phone_that_never_confirms_its_cancel_does_not_keep_the_call() -> None:
    script = dialled()
    script.tell(Cancelled())
    assert script.tell(Woken(), after=39.9) == []
    assert isinstance(script.tell(Woken(), after=0.2)[-1], Finished)


# --- the caller leaves


def test_a_cancel_stops_the_ringing() -> None:
    script = dialled(targets=GROUP)
    assert script.tell(Cancelled()) == [
        Refuse(487, "Request Terminated"),
        CancelDial(B1),
        CancelDial(B2),
        MediaDelete("m1"),
    ]
    script.tell(Refused(B1, 487, "Request Terminated"))
    finished = script.finished(script.tell(Refused(B2, 487, "Request Terminated")))
    assert (finished.summary.ended_by, finished.summary.status, finished.summary.answered) == ("caller", 487, False)


def test_a_cancel_that_crosses_the_answer_hangs_up_the_phone_that_answered() -> None:
    script = dialled()
    script.tell(Cancelled())
    commands = script.tell(Answered(B1, phone("bob")))
    assert commands[:-1] == [Acknowledge(B1), HangUp(B1)]
    assert isinstance(commands[-1], Finished)


def test_a_cancel_while_the_media_server_works_ends_both_sides() -> None:
    script = dialled()
    script.tell(Answered(B1, phone("bob")))
    commands = script.tell(Cancelled())
    assert commands[:-1] == [
        Refuse(487, "Request Terminated"),
        HangUp(B1, 487, "cancelled"),
        MediaDelete("m1"),
    ]
    assert script.tell(replied(2, relayed("bob"))) == []


def test_a_cancel_before_the_media_server_replied_dials_nobody() -> None:
    script = Script()
    script.tell(Invited(phone("alice")))
    assert script.tell(Cancelled())[:-1] == [Refuse(487, "Request Terminated"), MediaDelete("m1")]
    assert script.tell(replied(1, relayed("alice"))) == []


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    assert talking().tell(Cancelled()) == []


@pytest.mark.parametrize("event", [HungUp(CALLER), LegLost(CALLER, "connection closed")])
def test_a_caller_who_leaves_without_cancel_still_stops_the_ringing(event: HungUp | LegLost) -> None:
    assert dialled().tell(event) == [Refuse(487, "Request Terminated"), CancelDial(B1), MediaDelete("m1")]


def test_a_shutdown_while_it_rings_ends_both_sides() -> None:
    assert dialled().tell(EndRequested("shutting down")) == [
        Refuse(503, "Service Unavailable"),
        CancelDial(B1),
        MediaDelete("m1"),
    ]


# --- the answer


@pytest.mark.parametrize("answer", [b"", b"rubbish"])
def test_an_answer_that_cannot_be_read_ends_the_call(answer: bytes) -> None:
    commands = dialled().tell(Answered(B1, answer))
    assert commands[:4] == [
        Acknowledge(B1),
        Refuse(502, "Bad Gateway"),
        HangUp(B1, 502, "no readable answer from the called side"),
        MediaDelete("m1"),
    ]


def test_a_media_server_that_refuses_the_answer_ends_the_call() -> None:
    script = dialled()
    script.tell(Answered(B1, phone("bob")))
    reason = "the media server refused the answer: Ran out of ports"
    assert script.tell(MediaFailed(request(2), "Ran out of ports"))[:-1] == [
        Refuse(503, "Service Unavailable"),
        HangUp(B1, 503, reason),
        MediaDelete("m1"),
    ]


def test_a_media_server_that_never_replies_to_the_answer_does_not_hold_the_caller() -> None:
    script = dialled()
    script.tell(Answered(B1, phone("bob")))
    assert script.call.deadline == 10.0
    assert script.tell(Woken(), after=10.0)[0] == Refuse(504, "Server Time-out")


def test_a_caller_who_never_acknowledges_is_hung_up() -> None:
    script = dialled()
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")))
    assert script.tell(AckMissing(CALLER))[:2] == [HangUp(CALLER, 408, "no ACK came"), HangUp(B1, 408, "no ACK came")]


# --- late offer


def late() -> Script:
    """Alice's INVITE had no offer; Bob has answered with one."""
    script = Script()
    script.tell_all(Invited(), Answered(B1, phone("bob")))
    return script


def test_a_late_offer_goes_the_other_way_round() -> None:
    script = Script()
    assert script.tell(Invited()) == [Dial(B1, TARGET)]
    assert script.tell(Progressed(B1, 183, "Session Progress", phone("bob"))) == [SendProgress(183, "Session Progress")]
    assert script.tell(Answered(B1, phone("bob"))) == [MediaOffer(request(1), "m1", Side.CALLED, phone("bob"))]
    assert script.tell(replied(1, relayed("bob"))) == [Accept(ours(TO_CALLER))]
    assert script.tell(Acknowledged(CALLER, phone("alice"))) == [
        MediaAnswer(request(2), "m1", Side.CALLER, phone("alice"))
    ]
    assert script.tell(replied(2, relayed("alice"))) == [Acknowledge(B1, ours(TO_CALLED))]
    assert script.call.phase is Phase.TALKING


def test_a_late_offer_falls_through_the_media_servers_too() -> None:
    script = late()
    assert script.tell(MediaFailed(request(1), "load limit")) == [
        MediaOffer(request(2), "m2", Side.CALLED, phone("bob"))
    ]
    assert script.tell(MediaFailed(request(2), "load limit"))[:3] == [
        Refuse(503, "Service Unavailable"),
        Acknowledge(B1),
        HangUp(B1, 503, "no media server took the call"),
    ]


def test_a_late_offer_that_the_caller_does_not_answer_ends_the_call() -> None:
    script = late()
    script.tell(replied(1, relayed("bob")))
    reason = "no readable answer from the caller side"
    assert script.tell(Acknowledged(CALLER))[:-1] == [
        HangUp(CALLER, 502, reason),
        Acknowledge(B1),
        HangUp(B1, 502, reason),
        MediaDelete("m1"),
    ]


def test_a_called_phone_that_offers_nothing_when_asked_ends_the_call() -> None:
    script = Script()
    script.tell(Invited())
    assert script.tell(Answered(B1))[:2] == [Refuse(502, "Bad Gateway"), Acknowledge(B1)]
