"""What a recording is, given its segments; what examining it can find; when a failed attempt is made again.

Pure: no clock, no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

FIRST_RETRY = timedelta(seconds=1)
LAST_RETRY = timedelta(seconds=60)  # the longest wait: an administrator who has mended something sees it work soon
DIGEST_ATTEMPTS = 5  # a file that arrives wrong so often is wrong on the media server's disk


class RecordingState(StrEnum):
    RECORDING = "recording"  # at least one segment is expected or runs
    FINISHING = "finishing"  # ended; not everything is in the store yet
    STORED = "stored"
    PARTIAL = "partial"  # some segments are stored, others failed; or the disk let a media server save a part only
    FAILED = "failed"
    DELETED = "deleted"  # by a person; the row stays as a tombstone
    DISCARDED = "discarded"  # the call was shorter than the site keeps


class SegmentState(StrEnum):
    EXPECTED = "expected"
    RECORDING = "recording"
    ENDED = "ended"
    FETCHING = "fetching"
    STORED = "stored"
    FAILED = "failed"
    DISCARDED = "discarded"  # there is nothing to fetch; should there be, it is deleted


class Verification(StrEnum):
    VERIFIED = "verified"  # every byte is as a trusted media server left it, and the audio was read
    UNREAD = "unread"  # the signatures hold; no key that opens the audio is here
    FAILED = "failed"  # kept as evidence of whatever happened to it
    NONE = ""  # a file of a format that proves nothing


class Reason(StrEnum):
    """Reasons that the recorder itself gives. Those of controllers and media servers are kept as they came."""

    UNANNOUNCED = "unannounced"
    RECOVERED = "recovered"
    MISSING = "missing"
    TOO_SHORT = "too-short"  # the call; said by the controller
    DIGEST_MISMATCH = "digest-mismatch"
    UNKNOWN_MEDIA_SERVER = "unknown-media-server"
    UNREACHABLE = "media-server-unreachable"
    REFUSED = "media-server-refused-token"
    STORE_FULL = "store-full"
    STORE_FAULT = "store-fault"


# Of the last segment, stored: why a media server could save a part only.
_BROKEN_OFF = frozenset({"disk-full", "disk-error"})

_RUNNING = (SegmentState.EXPECTED, SegmentState.RECORDING)
_PENDING = (SegmentState.ENDED, SegmentState.FETCHING)


@dataclass(frozen=True, slots=True)
class SegmentView:
    """``started``: a media server said that it records."""

    state: SegmentState
    reason: str
    started: bool = True


def recording_state(segments: Sequence[SegmentView], announced: bool) -> tuple[RecordingState, str]:
    """State and reason of a recording that has these segments, by number. It has at least one.

    Where a later segment goes on, an attempt that never began and an end that was cut off are gaps, no more.
    """
    segments = _without_vain_attempts(segments)
    state = _state([segment.state for segment in segments])
    lost = _first_loss(segments)
    if state in (RecordingState.FAILED, RecordingState.PARTIAL):
        return state, lost
    if state is RecordingState.STORED and lost:
        return RecordingState.PARTIAL, lost
    return state, segments[-1].reason if announced else Reason.UNANNOUNCED


def _first_loss(segments: Sequence[SegmentView]) -> str:
    """Why something is missing that nothing makes up for. What was broken off is the cause of the vain attempts after
    it. Empty: nothing is."""
    for at, segment in enumerate(segments):
        if segment.state is SegmentState.FAILED:
            return segment.reason
        if _slug(segment) in _BROKEN_OFF and all(later.state is SegmentState.FAILED for later in segments[at + 1 :]):
            return _slug(segment)
    return ""


def _without_vain_attempts(segments: Sequence[SegmentView]) -> Sequence[SegmentView]:
    went_on = max((at for at, one in enumerate(segments) if one.state is not SegmentState.FAILED), default=-1)
    return [one for at, one in enumerate(segments) if at >= went_on or one.started]


def _state(states: Sequence[SegmentState]) -> RecordingState:
    if any(state in _RUNNING for state in states):
        return RecordingState.RECORDING
    if any(state in _PENDING for state in states):
        return RecordingState.FINISHING
    if all(state is SegmentState.DISCARDED for state in states):
        return RecordingState.DISCARDED
    if SegmentState.FAILED not in states:
        return RecordingState.STORED
    return RecordingState.PARTIAL if SegmentState.STORED in states else RecordingState.FAILED


def _slug(segment: SegmentView) -> str:
    """The reason without what is of this one file."""
    return segment.reason.partition(":")[0]


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after the given number of failed attempts: doubled each time, up to a limit."""
    doublings = min(max(attempts - 1, 0), 16)  # the limit is reached long before; keeps the power small
    return min(FIRST_RETRY * (1 << doublings), LAST_RETRY)
