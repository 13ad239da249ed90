"""Counts of everything in the catalogue: expected = stored + failed + pending, also after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, select

from mediaserverd.recorder.catalogue.tables import recordings, segments
from mediaserverd.recorder.states import RecordingState, SegmentState

_PENDING = (RecordingState.RECORDING, RecordingState.FINISHING)
_FAILED = (RecordingState.PARTIAL, RecordingState.FAILED)


@dataclass(frozen=True, slots=True)
class Tally:
    """Of recordings, except where it says segments. A recording that lacks a segment (``partial``) counts as failed."""

    expected: int = 0
    stored: int = 0  # those that a person deleted later included
    failed: Mapping[str, int] = field(default_factory=dict)  # by reason
    pending: Mapping[str, int] = field(default_factory=dict)  # by state
    discarded: int = 0  # nothing was to be stored
    states: Mapping[str, int] = field(default_factory=dict)
    segments: Mapping[str, int] = field(default_factory=dict)  # by state
    overdue_segments: int = 0  # ended for longer than a recording should take to be stored
    undeleted_segments: int = 0  # stored here, still on their media server
    verifications: Mapping[str, int] = field(default_factory=dict)  # of segments that are kept, by what was found
    degraded_segments: int = 0  # kept, and not all that was said can be heard
    interrupted: int = 0  # recordings with a gap
    gap_ms: int = 0  # of all of them


def count(connection: Connection, overdue_since: datetime) -> Tally:
    states: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    stored = discarded = 0
    unstored_deleted = recordings.c.stored_at.is_(None)
    query = select(recordings.c.state, recordings.c.reason, unstored_deleted, func.count()).group_by(
        recordings.c.state, recordings.c.reason, unstored_deleted
    )
    for state, reason, was_never_stored, number in connection.execute(query):
        states[state] += number
        if state in _PENDING:
            pending[state] += number
        elif state == RecordingState.DISCARDED:
            discarded += number
        elif state in _FAILED or was_never_stored:
            failed[reason] += number
        else:
            stored += number
    verifications, degraded = _judged(connection)
    gaps = select(func.count(), func.sum(recordings.c.gap_ms)).where(recordings.c.gap_ms > 0)
    interrupted, gap_ms = connection.execute(gaps).one()
    return Tally(
        expected=states.total(),
        stored=stored,
        failed=failed,
        pending=pending,
        discarded=discarded,
        states=states,
        segments=_segments(connection),
        overdue_segments=_overdue(connection, overdue_since),
        undeleted_segments=_undeleted(connection),
        verifications=verifications,
        degraded_segments=degraded,
        interrupted=interrupted,
        gap_ms=gap_ms or 0,
    )


def _segments(connection: Connection) -> dict[str, int]:
    query = select(segments.c.state, func.count()).group_by(segments.c.state)
    return {row.state: int(row[1]) for row in connection.execute(query)}


def _overdue(connection: Connection, since: datetime) -> int:
    query = select(func.count()).where(
        segments.c.state.in_((SegmentState.ENDED, SegmentState.FETCHING)), segments.c.ended_at < since
    )
    return int(connection.execute(query).scalar_one())


def _undeleted(connection: Connection) -> int:
    query = select(func.count()).where(segments.c.state == SegmentState.STORED, segments.c.next_attempt_at.is_not(None))
    return int(connection.execute(query).scalar_one())


def _judged(connection: Connection) -> tuple[dict[str, int], int]:
    judged = (segments.c.verification, segments.c.degraded)
    query = select(*judged, func.count()).where(segments.c.purged_at.is_(None)).group_by(*judged)
    verifications: Counter[str] = Counter()
    degraded_segments = 0
    for verification, degraded, number in connection.execute(query):
        degraded_segments += number if degraded else 0
        if verification:  # others are not examined yet, or of a format that proves nothing
            verifications[verification] += number
    return dict(verifications), degraded_segments
