"""What follows from segments, and how long a failed attempt waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mediaserverd.recorder.states import (
    LAST_RETRY,
    RecordingState,
    SegmentState,
    SegmentView,
    recording_state,
    retry_delay,
)


@pytest.mark.parametrize(
    ("segments", "state", "reason"),
    [
        (["expected"], "recording", ""),
        (["recording"], "recording", ""),
        (["stored/recovered", "recording"], "recording", ""),
        (["ended/call-ended"], "finishing", "call-ended"),
        (["stored/stopped", "fetching/call-ended"], "finishing", "call-ended"),
        (["failed/missing", "fetching/"], "finishing", ""),
        (["stored/call-ended"], "stored", "call-ended"),
        (["stored/recovered", "stored/call-ended"], "stored", "call-ended"),
        (["failed/missing", "stored/call-ended"], "partial", "missing"),
        (["stored/call-ended", "failed/disk-full"], "partial", "disk-full"),
        (["stored/disk-full"], "partial", "disk-full"),
        (["stored/disk-full", "stored/call-ended"], "stored", "call-ended"),
        (["stored/disk-full", "failed/no-media-server"], "partial", "disk-full"),
        (["stored/disk-full", "stored/recovered", "failed/missing"], "partial", "missing"),
        (["stored/call-ended", "stored/disk-error: Input/output error"], "partial", "disk-error"),
        (["failed/missing"], "failed", "missing"),
        (["discarded/too-short"], "discarded", "too-short"),
        (["discarded/too-short", "stored/call-ended"], "stored", "call-ended"),
        (["discarded/too-short", "failed/missing"], "failed", "missing"),
        (["failed/missing", "failed/disk-full"], "failed", "missing"),
    ],
)
def test_a_recording_is_what_its_segments_are(segments: list[str], state: str, reason: str) -> None:
    views = [SegmentView(SegmentState(each.partition("/")[0]), each.partition("/")[2]) for each in segments]
    assert recording_state(views, announced=True) == (RecordingState(state), reason)


def test_an_attempt_that_never_began_is_no_loss_where_a_later_one_goes_on() -> None:
    lost, vain = SegmentView(SegmentState.STORED, "recovered"), SegmentView(SegmentState.FAILED, "full", started=False)
    goes_on = SegmentView(SegmentState.STORED, "call-ended")
    assert recording_state([lost, vain, goes_on], announced=True) == (RecordingState.STORED, "call-ended")
    assert recording_state([lost, vain], announced=True) == (RecordingState.PARTIAL, "full")


def test_a_stored_recording_that_nobody_announced_says_so() -> None:
    view = SegmentView(SegmentState.STORED, "call-ended")
    assert recording_state([view], announced=False) == (RecordingState.STORED, "unannounced")


def test_a_failed_recording_that_nobody_announced_says_why_it_failed() -> None:
    view = SegmentView(SegmentState.FAILED, "spool-unreadable")
    assert recording_state([view], announced=False) == (RecordingState.FAILED, "spool-unreadable")


def test_each_wait_is_twice_the_one_before_up_to_the_limit() -> None:
    waits = [retry_delay(attempts) for attempts in range(1, 30)]
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8)]
    assert waits == sorted(waits)
    assert waits[-1] == LAST_RETRY
    assert retry_delay(10**9) == LAST_RETRY
