"""What people ask of the catalogue: lists, details, deletion. Not responsible for who may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from mediaserverd.recorder.catalogue.custody import destroy_keys
from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.catalogue.tables import recordings, segments
from mediaserverd.recorder.states import RecordingState, SegmentState

PURGE_BATCH = 200

_NUMBERS = (recordings.c.calling_number, recordings.c.called_number)
_STATIONS = (recordings.c.calling_station, recordings.c.called_station)
_TEXTS = (
    *_NUMBERS,
    *_STATIONS,
    recordings.c.calling_name,
    recordings.c.called_name,
    recordings.c.calling_line,
    recordings.c.called_line,
    recordings.c.call_id,
    recordings.c.policy,
)


@dataclass(frozen=True, slots=True)
class Filter:
    since: datetime | None = None
    until: datetime | None = None
    number: str = ""  # ``*`` stands for any characters
    station: str = ""
    state: RecordingState | None = None
    call_id: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """The last recording of a page: the next page begins after it."""

    started_at: datetime
    id: str


def list_recordings(
    connection: Connection, wanted: Filter, after: Position | None, limit: int
) -> list[Mapping[str, Any]]:
    """Newest first. Deleted ones are listed only when that state is asked for."""
    conditions = _conditions(wanted)
    if after is not None:
        same_moment = and_(recordings.c.started_at == after.started_at, recordings.c.id < after.id)
        conditions.append(or_(recordings.c.started_at < after.started_at, same_moment))
    query = (
        select(recordings)
        .where(*conditions)
        .order_by(recordings.c.started_at.desc(), recordings.c.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(recordings.c.started_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(recordings.c.started_at < wanted.until)
    if wanted.number:
        conditions.append(or_(*(_matches(column, wanted.number) for column in _NUMBERS)))
    if wanted.station:
        conditions.append(or_(*(column == wanted.station for column in _STATIONS)))
    if wanted.call_id:
        conditions.append(recordings.c.call_id == wanted.call_id)
    if wanted.text:
        conditions.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in _TEXTS)))
    if wanted.state is None:
        conditions.append(recordings.c.state != RecordingState.DELETED)
    else:
        conditions.append(recordings.c.state == wanted.state)
    return conditions


def _matches(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    if "*" not in pattern:
        return column == pattern
    escaped = pattern.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return column.like(escaped.replace("*", "%"), escape="/")


def find_recording(connection: Connection, recording_id: str) -> Mapping[str, Any] | None:
    row = connection.execute(select(recordings).where(recordings.c.id == recording_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def segments_of(connection: Connection, recording_id: str) -> list[Mapping[str, Any]]:
    query = select(segments).where(segments.c.recording_id == recording_id).order_by(segments.c.number)
    return [dict(row) for row in connection.execute(query).mappings()]


def mark_deleted(connection: Connection, recording_id: str, who: str, now: datetime) -> None:
    """The tombstone: from here on the recording is gone for everyone, wherever copies of it are: its keys go first.

    Its objects are purged after this.
    """
    destroy_keys(connection, recording_id, who, now)
    connection.execute(
        update(recordings).where(recordings.c.id == recording_id).values(state=RecordingState.DELETED, deleted_at=now)
    )
    add_event(connection, recording_id, None, "deleted", now, actor=who)


def unpurged(connection: Connection) -> list[tuple[str, int, str]]:
    """Recording id, segment and store key of objects that a deletion has left in the store, if it was interrupted."""
    query = (
        select(segments.c.recording_id, segments.c.number, segments.c.store_key)
        .join(recordings, recordings.c.id == segments.c.recording_id)
        .where(
            recordings.c.state == RecordingState.DELETED,
            segments.c.state == SegmentState.STORED,
            segments.c.purged_at.is_(None),
        )
        .limit(PURGE_BATCH)
    )
    return [(row.recording_id, row.number, row.store_key) for row in connection.execute(query)]


def mark_purged(connection: Connection, recording_id: str, number: int, now: datetime) -> None:
    connection.execute(
        update(segments)
        .where(segments.c.recording_id == recording_id, segments.c.number == number)
        .values(purged_at=now)
    )
    add_event(connection, recording_id, number, "purged", now)
