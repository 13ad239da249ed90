"""Recording follows the call, and the ledger follows the recording."""

from __future__ import annotations

from dataclasses import replace

from mediaserverd.call.commands import (
    Accept,
    Acknowledge,
    Finished,
    HangUp,
    MediaAnswer,
    MediaDelete,
    Refuse,
    WriteLedger,
)
from mediaserverd.call.events import (
    CALLER,
    Acknowledged,
    Answered,
    HungUp,
    Invited,
    MediaRequest,
    RecordingRefused,
    Woken,
)
from mediaserverd.call.ledger import Ended, EndReason, Failed, Started
from mediaserverd.protocol.negotiation import Side
from tests.call.script import (
    B1,
    ORDER,
    RECORDING_ID,
    STARTED,
    TO_CALLER,
    Script,
    dialled,
    expected,
    ours,
    phone,
    relayed,
    replied,
    start_recording,
    talking,
)

REQUIRED = replace(ORDER, required=True)
REFUSED = RecordingRefused(RECORDING_ID, 1, "disk full")
ANSWER = MediaAnswer(MediaRequest(2), "m1", Side.CALLED, phone("bob"))
ANNOUNCED = WriteLedger(Started(RECORDING_ID, 1, STARTED.file, STARTED.uri))


def ended(reason: EndReason, duration_ms: int) -> WriteLedger:
    return WriteLedger(Ended(RECORDING_ID, 1, reason, duration_ms))


def test_a_recording_is_announced_and_started_right_behind_the_answer() -> None:
    script = dialled(recording=ORDER)
    assert script.tell(Answered(B1, phone("bob"))) == [Acknowledge(B1), ANSWER, expected(), start_recording()]
    assert script.tell(replied(2, relayed("bob"))) == [Accept(ours(TO_CALLER))]
    assert script.tell(STARTED) == [ANNOUNCED]


def test_a_recording_ends_with_the_call_and_tells_its_duration() -> None:
    script = talking(recording=ORDER)
    commands = script.tell(HungUp(CALLER), after=12.5)
    assert commands[:-1] == [HangUp(B1), ended(EndReason.CALL_ENDED, 12500), MediaDelete("m1")]
    summary = script.finished(commands).summary
    assert (summary.recording_ids, summary.recording_outcome, summary.policy) == (
        (RECORDING_ID,),
        "recorded",
        "record all",
    )


def test_a_recording_that_fails_to_start_does_not_touch_the_call() -> None:
    script = dialled(recording=ORDER)
    script.tell(Answered(B1, phone("bob")))
    assert script.tell(REFUSED) == [WriteLedger(Failed(RECORDING_ID, 1, "disk full"))]
    assert script.tell(replied(2, relayed("bob"))) == [Accept(ours(TO_CALLER))]
    assert script.call.summary().recording_outcome == "disk full"


def test_a_required_recording_keeps_the_caller_waiting_until_it_runs() -> None:
    script = dialled(recording=REQUIRED)
    script.tell(Answered(B1, phone("bob")))
    assert script.tell(replied(2, relayed("bob"))) == []
    assert script.tell(STARTED) == [ANNOUNCED, Accept(ours(TO_CALLER))]


def test_a_required_recording_that_fails_ends_the_call() -> None:
    script = dialled(recording=REQUIRED)
    script.tell(Answered(B1, phone("bob")))
    assert script.tell(REFUSED)[:-1] == [
        WriteLedger(Failed(RECORDING_ID, 1, "disk full")),
        Refuse(503, "Service Unavailable"),
        HangUp(B1, 503, "the required recording failed: disk full"),
        MediaDelete("m1"),
    ]


def test_a_call_that_ends_before_the_recording_is_confirmed_waits_for_that_word() -> None:
    script = dialled(recording=ORDER)
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")), Acknowledged(CALLER))
    assert script.tell(HungUp(B1), after=1.0) == [HangUp(CALLER), MediaDelete("m1")]
    commands = script.tell(STARTED, after=0.5)
    assert commands[:-1] == [ANNOUNCED, ended(EndReason.CALL_ENDED, 1000)]
    assert isinstance(commands[-1], Finished)


def test_a_recording_that_is_never_confirmed_is_failed_in_the_end() -> None:
    script = dialled(recording=ORDER)
    script.tell_all(Answered(B1, phone("bob")), replied(2, relayed("bob")), HungUp(CALLER))
    assert script.tell(Woken(), after=40.0)[:-1] == [WriteLedger(Failed(RECORDING_ID, 1, "no answer"))]


def test_a_late_offer_is_recorded_from_the_callers_answer_on() -> None:
    script = Script(recording=ORDER)
    script.tell_all(Invited(), Answered(B1, phone("bob")), replied(1, relayed("bob")))
    assert script.tell(Acknowledged(CALLER, phone("alice"))) == [
        MediaAnswer(MediaRequest(2), "m1", Side.CALLER, phone("alice")),
        expected(),
        start_recording(),
    ]


def test_a_call_that_goes_on_without_media_server_is_accounted_for_as_not_recorded() -> None:
    script = Script(recording=ORDER, media_servers=(), fail_open=True)
    script.tell(Invited(phone("alice")))
    assert script.tell(Answered(B1, phone("bob")))[1] == expected(media_server="")
    script.tell(Acknowledged(CALLER))
    assert WriteLedger(Failed(RECORDING_ID, 1, "no-media-server")) in script.tell(HungUp(CALLER))


def test_a_required_recording_never_fails_open() -> None:
    script = Script(recording=REQUIRED, media_servers=(), fail_open=True)
    assert script.tell(Invited(phone("alice")))[0] == Refuse(503, "Service Unavailable")


def test_ledger_entries_have_the_keys_of_the_wire() -> None:
    document = expected().entry.document()
    assert {key for key in document if key not in ("event", "recording_id", "segment")} == {
        "call_id", "kind", "policy", "direction", "calling", "called", "media_server", "format", "encrypt", "encoding",
        "initiation",
    }  # fmt: skip
    assert document["calling"] == {"number": "100", "name": "Alice", "station": "alice", "line": ""}
    assert Ended(RECORDING_ID, 1, EndReason.CALL_ENDED, 5).document() == {
        "event": "ended",
        "recording_id": RECORDING_ID,
        "segment": 1,
        "reason": "call-ended",
        "duration_ms": 5,
    }
    assert Failed(RECORDING_ID, 1, "x").document()["reason"] == "x"
    assert ANNOUNCED.entry.document()["uri"] == STARTED.uri
