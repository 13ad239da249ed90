"""Entries of a controller's ledger -> rows of the catalogue.

Each entry can come more than once, late, or after the media server has already told the same: an entry moves a segment
only forward in its life, and otherwise adds what it knows. Sequence numbers spare the work for entries that are
repeated; they are not trusted alone, because a controller that lost its disk begins again at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, insert, select, update

from mediaserverd.recorder.catalogue import segments as life
from mediaserverd.recorder.catalogue.events import add_event, recordings_of_sequences
from mediaserverd.recorder.catalogue.segments import Segment
from mediaserverd.recorder.catalogue.tables import (
    ledger_positions,
    recordings,
    segments,
)
from mediaserverd.recorder.states import Reason, RecordingState, SegmentState

log = structlog.get_logger()

_REFUSED = "recording refused: "  # what a media server says before the reason (docs/wire.md section 1)


@dataclass(frozen=True, slots=True)
class Party:
    number: str = ""
    name: str = ""
    station: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    sequence: int
    at: datetime
    event: Literal["expected", "started", "failed", "ended"]
    recording_id: str
    segment: int = 1
    call_id: str = ""
    kind: str = "policy"
    policy: str = ""
    direction: str = ""
    calling: Party = field(default_factory=Party)
    called: Party = field(default_factory=Party)
    media_server: str = ""
    encoding: str = ""
    initiation: str = ""
    file: str = ""
    uri: str = ""
    reason: str = ""
    duration_ms: int | None = None


def apply_entries(connection: Connection, controller: str, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """Applies the entries that were not applied before, in order, and returns them."""
    position = _position(connection, controller)
    repeated = [entry.sequence for entry in entries if entry.sequence <= position]
    seen = recordings_of_sequences(connection, controller, repeated) if repeated else {}
    fresh = [entry for entry in entries if seen.get(entry.sequence) != entry.recording_id]
    if not fresh:
        return []
    _tell_irregularity(controller, position, fresh)
    for entry in fresh:
        _apply(connection, controller, entry, now)
    _keep_position(connection, controller, fresh[-1].sequence, now)
    return fresh


def _tell_irregularity(controller: str, position: int, fresh: Sequence[Entry]) -> None:
    first = fresh[0].sequence
    if first <= position:
        log.warning("ledger_sequence_restarted", controller=controller, position=position, sequence=first)
    elif position and first > position + 1:
        log.error("ledger_gap", controller=controller, position=position, sequence=first)


def _position(connection: Connection, controller: str) -> int:
    query = select(ledger_positions.c.sequence).where(ledger_positions.c.controller == controller)
    return int(connection.execute(query).scalar() or 0)


def _keep_position(connection: Connection, controller: str, sequence: int, now: datetime) -> None:
    values = {"controller": controller, "sequence": sequence, "at": now}
    known = update(ledger_positions).where(ledger_positions.c.controller == controller).values(**values)
    if not connection.execute(known).rowcount:
        connection.execute(insert(ledger_positions).values(**values))


def _apply(connection: Connection, controller: str, entry: Entry, now: datetime) -> None:
    _ensure_recording(connection, controller, entry)
    segment = _ensure_segment(connection, entry)
    match entry.event:
        case "expected":
            _set(connection, entry, asked_at=entry.at)
        case "started":
            _started(connection, segment, entry)
        case "failed":
            _failed(connection, segment, entry)
        case "ended":
            _ended(connection, segment, entry, now)
    add_event(
        connection,
        entry.recording_id,
        entry.segment,
        f"ledger-{entry.event}",
        entry.at,
        actor=controller,
        sequence=entry.sequence,
        detail=_detail(entry),
    )
    life.refresh_recording(connection, entry.recording_id, now)


def _detail(entry: Entry) -> dict[str, Any]:
    told = {"media_server": entry.media_server, "reason": entry.reason, "duration_ms": entry.duration_ms}
    return {name: value for name, value in told.items() if value not in ("", None)}


def _ensure_recording(connection: Connection, controller: str, entry: Entry) -> None:
    known = connection.execute(
        select(recordings.c.announced, recordings.c.controller).where(recordings.c.id == entry.recording_id)
    ).one_or_none()
    if known is None:
        values = _announced(controller, entry)
        connection.execute(
            insert(recordings).values(
                id=entry.recording_id, state=RecordingState.RECORDING, started_at=entry.at, **values
            )
        )
    elif not known.announced and entry.event == "expected":
        # Taken in from a media server before the ledger came: now it is known who spoke.
        values = _announced(controller, entry)
        connection.execute(update(recordings).where(recordings.c.id == entry.recording_id).values(**values))


def _announced(controller: str, entry: Entry) -> dict[str, Any]:
    parties = {
        f"{side}_{name}": value
        for side, party in (("calling", entry.calling), ("called", entry.called))
        for name, value in asdict(party).items()
    }
    return {
        "announced": True,
        "controller": controller,
        "kind": entry.kind,
        "call_id": entry.call_id,
        "policy": entry.policy,
        "direction": entry.direction,
        "initiation": entry.initiation,
        "encoding": entry.encoding,
        **parties,
    }


def _ensure_segment(connection: Connection, entry: Entry) -> Segment:
    key = entry.recording_id, entry.segment
    segment = life.find(connection, key)
    if segment is None:
        connection.execute(
            insert(segments).values(
                recording_id=entry.recording_id,
                number=entry.segment,
                media_server=entry.media_server,
                file=entry.file or life.file_name(*key),
                uri=entry.uri,
                state=SegmentState.EXPECTED,
                started_at=entry.at,
            )
        )
        segment = life.find(connection, key)
    elif entry.media_server and not segment.media_server:
        _set(connection, entry, media_server=entry.media_server)
    assert segment is not None
    return segment


def _is_running(segment: Segment) -> bool:
    """Whether an entry may still move it. One that was given up as missing and now shows life counts."""
    if segment.state in (SegmentState.EXPECTED, SegmentState.RECORDING):
        return True
    return segment.state is SegmentState.FAILED and segment.reason == Reason.MISSING


def _started(connection: Connection, segment: Segment, entry: Entry) -> None:
    _set(connection, entry, confirmed_at=entry.at)
    told = {name: value for name, value in (("file", entry.file), ("uri", entry.uri)) if value}
    if _is_running(segment):
        _set(connection, entry, state=SegmentState.RECORDING, reason="", **told)
    elif told:
        _set(connection, entry, **told)


def _failed(connection: Connection, segment: Segment, entry: Entry) -> None:
    _set(connection, entry, over_at=entry.at)
    if _is_running(segment):
        slug = entry.reason.removeprefix(_REFUSED).partition(":")[0].strip()[:64]
        _set(connection, entry, state=SegmentState.FAILED, reason=slug, ended_at=entry.at)


def _ended(connection: Connection, segment: Segment, entry: Entry, now: datetime) -> None:
    _set(connection, entry, ended_because=entry.reason[:64], over_at=entry.at, lasted_ms=entry.duration_ms)
    if _is_running(segment):
        discarded = entry.reason == Reason.TOO_SHORT
        _set(
            connection,
            entry,
            state=SegmentState.DISCARDED if discarded else SegmentState.ENDED,
            reason=entry.reason[:64],
            ended_at=entry.at,
            duration_ms=entry.duration_ms,
            attempts=0,
            next_attempt_at=None if discarded else now,
        )


def _set(connection: Connection, entry: Entry, **values: Any) -> None:
    connection.execute(
        update(segments)
        .where(segments.c.recording_id == entry.recording_id, segments.c.number == entry.segment)
        .values(**values)
    )
