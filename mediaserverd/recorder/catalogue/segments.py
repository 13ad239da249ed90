"""The life of one segment (one file) in the catalogue, and the recording that follows from its segments.

Every function is one step of a transaction that the caller makes. ``next_attempt_at`` says when something is to be done
with a segment (fetch it, delete it at its source); null means nothing is. Decisions are made elsewhere (``fetch``,
``census``); this is how they are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, or_, select, tuple_, update

from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.catalogue.tables import recordings, segments
from mediaserverd.recorder.one_clock import Announced, Dated, Place, places, whole_ms
from mediaserverd.recorder.report import Report
from mediaserverd.recorder.states import (
    Reason,
    RecordingState,
    SegmentState,
    SegmentView,
    recording_state,
    retry_delay,
)
from mediaserverd.recorder.timeline import Part, Timeline, timeline

KEYS_A_QUERY = 400  # SQLite takes 32766 variables in a statement; two a key, far below it

OPEN_STATES = (SegmentState.EXPECTED, SegmentState.RECORDING, SegmentState.ENDED, SegmentState.FETCHING)
_RUNNING = (SegmentState.EXPECTED, SegmentState.RECORDING)

Key = tuple[str, int]  # recording id, segment number


@dataclass(frozen=True, slots=True)
class Segment:
    recording_id: str
    number: int
    media_server: str
    file: str
    state: SegmentState
    reason: str
    size: int | None
    sha256: str
    stored_size: int | None
    stored_sha256: str
    store_key: str
    attempts: int
    next_attempt_at: datetime | None
    deleted_at_source: datetime | None
    recording_deleted: bool  # by a person

    @property
    def key(self) -> Key:
        return self.recording_id, self.number

    @property
    def unwanted(self) -> bool:
        """What is left at the source goes unfetched."""
        return self.recording_deleted or self.state is SegmentState.DISCARDED


def file_name(recording_id: str, number: int) -> str:
    """The name that a media server gives to the file of a segment, unless it says another (docs/wire.md section 1)."""
    return f"{file_stem(recording_id, number)}.sasf"


def file_stem(recording_id: str, number: int) -> str:
    return f"{recording_id}-{number}"


def _selection() -> Select[Any]:
    deleted = (recordings.c.state == RecordingState.DELETED).label("recording_deleted")
    return select(segments, deleted).join(recordings, recordings.c.id == segments.c.recording_id)


def _segment(row: Row[Any]) -> Segment:
    return Segment(
        recording_id=row.recording_id,
        number=row.number,
        media_server=row.media_server,
        file=row.file,
        state=SegmentState(row.state),
        reason=row.reason,
        size=row.size,
        sha256=row.sha256,
        stored_size=row.stored_size,
        stored_sha256=row.stored_sha256,
        store_key=row.store_key,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        deleted_at_source=row.deleted_at_source,
        recording_deleted=bool(row.recording_deleted),
    )


def find(connection: Connection, key: Key) -> Segment | None:
    row = connection.execute(_selection().where(_is(key))).one_or_none()
    return None if row is None else _segment(row)


def find_all(connection: Connection, keys: Sequence[Key]) -> dict[Key, Segment]:
    found: dict[Key, Segment] = {}
    for start in range(0, len(keys), KEYS_A_QUERY):
        wanted = tuple_(segments.c.recording_id, segments.c.number).in_(keys[start : start + KEYS_A_QUERY])
        found.update(
            (segment.key, segment) for segment in map(_segment, connection.execute(_selection().where(wanted)))
        )
    return found


def find_open(connection: Connection) -> list[Segment]:
    """Those that are not at their end: expected, running, or waiting to be fetched."""
    return [_segment(row) for row in connection.execute(_selection().where(segments.c.state.in_(OPEN_STATES)))]


def due(connection: Connection, now: datetime, limit: int, without_servers: Collection[str]) -> list[Segment]:
    """What is to be done now, longest waiting first, leaving out media servers that cannot be used at present."""
    query = (
        _selection()
        .where(segments.c.next_attempt_at <= now, segments.c.media_server.not_in([*without_servers, ""]))
        .order_by(segments.c.next_attempt_at)
        .limit(limit)
    )
    return [_segment(row) for row in connection.execute(query)]


def next_due(connection: Connection, without_servers: Collection[str], without: Sequence[Key]) -> datetime | None:
    """When ``due`` will next have something that is not at work already."""
    at_work = tuple_(segments.c.recording_id, segments.c.number).in_(without)
    query = select(func.min(segments.c.next_attempt_at)).where(
        segments.c.media_server.not_in([*without_servers, ""]), ~at_work
    )
    moment = connection.execute(query).scalar()
    return moment if isinstance(moment, datetime) else None


def overdue(connection: Connection, since: datetime, limit: int) -> list[Segment]:
    """Ended before that, and still not stored: most likely its media server has not come back."""
    waiting = segments.c.state.in_((SegmentState.ENDED, SegmentState.FETCHING))
    query = _selection().where(waiting, segments.c.ended_at < since).order_by(segments.c.ended_at).limit(limit)
    return [_segment(row) for row in connection.execute(query)]


def begin_fetch(connection: Connection, segment: Segment, report: Report, store_key: str, now: datetime) -> None:
    """Keeps what the media server says of a finished file, so that a later start knows it without asking."""
    values = {
        "state": SegmentState.FETCHING,
        "size": report.size,
        "sha256": report.sha256,
        "media_type": report.media_type,
        "quality": report.quality or None,
        "degraded": degraded(report.quality),
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "duration_ms": report.duration_ms,
        **times_of(report.quality or {}),
        "store_key": segment.store_key or store_key,
        "stored_sha256": segment.stored_sha256 if report.sha256 == segment.sha256 else "",
    }
    _set(connection, segment.key, **{name: value for name, value in values.items() if value is not None})
    if segment.state is not SegmentState.FETCHING:
        add_event(connection, *segment.key, "fetching", now, actor=segment.media_server)
    refresh_recording(connection, segment.recording_id, now)


def times_of(quality: Mapping[str, Any]) -> dict[str, Any]:
    """Columns, of a report by who has listened to the file: a media server to a WAV, this recorder to a SASF file."""
    heard_from, heard_to = quality.get("heard") or (None, None)
    return {"heard_from_ms": heard_from, "heard_to_ms": heard_to, "look_back_ms": quality.get("look_back_ms")}


def degraded(quality: Mapping[str, Any] | None) -> bool | None:
    """None: nobody could tell."""
    return bool(quality.get("degraded")) if quality else None


def mark_stored(connection: Connection, segment: Segment, reason: str, now: datetime) -> None:
    """From here on the store has it; the next thing to do is to delete it at the source."""
    _set(
        connection,
        segment.key,
        state=SegmentState.STORED,
        reason=reason[:64],
        attempts=0,
        next_attempt_at=now,
        fetched_at=now,
    )
    detail = {"sha256": segment.sha256, "size": segment.size, "reason": reason}
    add_event(connection, *segment.key, "stored", now, actor=segment.media_server, detail=detail)
    refresh_recording(connection, segment.recording_id, now)


def mark_deleted_at_source(connection: Connection, segment: Segment, now: datetime) -> None:
    _set(connection, segment.key, attempts=0, next_attempt_at=None, deleted_at_source=now)
    add_event(connection, *segment.key, "deleted-at-source", now, actor=segment.media_server)


def postpone(connection: Connection, key: Key, reason: str, now: datetime) -> None:
    """A failed attempt: later again. Attempts are counted for each reason: one fault does not answer for another.

    The reason of a stored or discarded segment stays: people ask why a recording ended, not why its source lingers.
    """
    segment = find(connection, key)
    if segment is None:
        return
    settled = segment.state in (SegmentState.STORED, SegmentState.DISCARDED)
    attempts = segment.attempts + 1 if settled or segment.reason == reason else 1
    kept = {} if settled else {"reason": reason[:64]}
    _set(connection, key, attempts=attempts, next_attempt_at=now + retry_delay(attempts), **kept)
    if not settled:
        refresh_recording(connection, segment.recording_id, now)


def wait_until(connection: Connection, segment: Segment, moment: datetime) -> None:
    """Nothing failed: it is too early. Not counted as an attempt."""
    _set(connection, segment.key, next_attempt_at=moment)


def stop_trying(connection: Connection, segment: Segment) -> None:
    _set(connection, segment.key, next_attempt_at=None)


def fail(connection: Connection, segment: Segment, reason: str, now: datetime) -> None:
    # Counted by reason: what follows a colon is of this one file, and is kept in the event.
    slug = reason.partition(":")[0].strip()[:64]
    _set(connection, segment.key, state=SegmentState.FAILED, reason=slug, next_attempt_at=None)
    add_event(connection, *segment.key, "failed", now, actor=segment.media_server, detail={"reason": reason})
    refresh_recording(connection, segment.recording_id, now)


def found_finished(connection: Connection, segment: Segment, media_server: str, file: str, now: datetime) -> None:
    """A media server has it finished, whatever the catalogue thought: fetch it from there."""
    place = {"media_server": media_server, "file": file}
    _set(connection, segment.key, state=SegmentState.ENDED, attempts=0, next_attempt_at=now, **place)
    add_event(connection, *segment.key, "found", now, actor=media_server, detail={"was": segment.state})
    refresh_recording(connection, segment.recording_id, now)


def delete_again(connection: Connection, segment: Segment, media_server: str, file: str, now: datetime) -> None:
    """It is in the store (or was deleted by a person), and a media server still lists it."""
    place = {"media_server": media_server, "file": file}
    _set(connection, segment.key, next_attempt_at=now, deleted_at_source=None, **place)


def hurry(connection: Connection, media_server: str, now: datetime) -> None:
    """A media server can be used again: what waited for it need not wait longer."""
    waiting = and_(segments.c.media_server == media_server, segments.c.next_attempt_at > now)
    connection.execute(update(segments).where(waiting).values(next_attempt_at=now))


def explain_wait(connection: Connection, media_server: str, reason: str, now: datetime) -> None:
    """Says of everything that waits for a media server why it waits."""
    waiting = and_(
        segments.c.media_server == media_server,
        segments.c.state.in_((SegmentState.ENDED, SegmentState.FETCHING)),
        segments.c.reason != reason,
    )
    for recording_id, number in connection.execute(select(segments.c.recording_id, segments.c.number).where(waiting)):
        _set(connection, (recording_id, number), reason=reason)
        refresh_recording(connection, recording_id, now)


def try_failed_again(connection: Connection, media_servers: Collection[str], now: datetime) -> int:
    """After a change of configuration: what failed for a reason that an administrator may have mended."""
    query = _selection().where(
        segments.c.state == SegmentState.FAILED,
        segments.c.media_server.in_(media_servers),
        or_(segments.c.reason == Reason.UNKNOWN_MEDIA_SERVER, segments.c.reason == Reason.DIGEST_MISMATCH),
    )
    revived = [_segment(row) for row in connection.execute(query)]
    for segment in revived:
        found_finished(connection, segment, segment.media_server, segment.file, now)
    return len(revived)


def refresh_recording(connection: Connection, recording_id: str, now: datetime) -> None:
    """Makes the row of a recording say what its segments say. A deleted one stays deleted."""
    query = select(segments).where(segments.c.recording_id == recording_id).order_by(segments.c.number)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    views = [SegmentView(SegmentState(row["state"]), row["reason"], bool(row["uri"])) for row in rows]
    announced = connection.execute(select(recordings.c.announced).where(recordings.c.id == recording_id)).scalar_one()
    state, reason = recording_state(views, announced)
    ends = [row["ended_at"] for row in rows if row["ended_at"] is not None]
    running = state is RecordingState.RECORDING
    joined = timeline_of(rows)
    known = [row["duration_ms"] for row in rows if row["duration_ms"] is not None]
    connection.execute(
        update(recordings)
        .where(recordings.c.id == recording_id, recordings.c.state != RecordingState.DELETED)
        .values(
            state=state,
            reason=reason,
            ended_at=max(ends) if ends and not running else None,
            duration_ms=(joined.duration_ms or sum(known)) if known else None,
            segment_count=len(rows),
            gap_ms=sum(gap.duration_ms for gap in joined.gaps),
            gaps=[asdict(gap) for gap in joined.gaps] or None,
            stored_at=func.coalesce(recordings.c.stored_at, now) if state is RecordingState.STORED else None,
        )
    )


def timeline_of(rows: Sequence[Mapping[str, Any]]) -> Timeline:
    """Of a recording's segments by number. Those that still run, or whose time nobody knows, have no place yet."""
    ended = [row for row in rows if row["state"] not in _RUNNING and row["started_at"] is not None]
    return timeline([_part(row, place) for row, place in zip(ended, places(list(map(_dated, ended))), strict=True)])


def _dated(row: Mapping[str, Any]) -> Dated:
    if row["asked_at"] is None:
        return Dated(row["started_at"], None)
    never_ran = not row["uri"] and row["size"] is None
    confirmed_at = row["asked_at"] if never_ran else row["confirmed_at"]
    goes_on = never_ran or row["number"] > 1  # without look-back
    announced = Announced(row["asked_at"], confirmed_at, row["over_at"], row["lasted_ms"])
    return Dated(row["started_at"], announced, 0 if goes_on else row["look_back_ms"])


def _part(row: Mapping[str, Any], place: Place) -> Part:
    lasted = (row["ended_at"] or row["started_at"]) - row["started_at"]
    quality = row["quality"] or {}
    silent = row["state"] == SegmentState.STORED and "heard" in quality and quality["heard"] is None
    known = quality.get("duration_ms", row["duration_ms"])  # as it ran; a WAV file is shorter by what was cut out
    return Part(
        number=row["number"],
        state=SegmentState(row["state"]),
        reason=row["reason"],
        ended_because=row["ended_because"],
        started=bool(row["uri"]),
        begin_ms=place.begin_ms,
        duration_ms=max(0, whole_ms(lasted)) if known is None else known,
        within_ms=place.within_ms,
        over_ms=place.over_ms,
        is_silent=silent,
        heard_from_ms=row["heard_from_ms"],
        heard_to_ms=row["heard_to_ms"],
        silences_ms=tuple((start, end) for start, end in quality.get("silences") or ()),
        outages_ms=tuple((start, end) for start, end in quality.get("outages") or ()),
        cuts=cuts_of(quality),
    )


def cuts_of(quality: Mapping[str, Any] | None) -> tuple[tuple[int, int], ...]:
    """What is left out where a recording is heard."""
    masked = (quality or {}).get("masked") or ()
    return tuple((start, end) for start, end, mode in masked if mode == "omit")


def _is(key: Key) -> Any:
    return and_(segments.c.recording_id == key[0], segments.c.number == key[1])


def _set(connection: Connection, key: Key, **values: Any) -> None:
    connection.execute(update(segments).where(_is(key)).values(**values))
