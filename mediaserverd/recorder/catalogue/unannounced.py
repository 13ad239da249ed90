"""Takes a file into the catalogue that no ledger announced, so that no recording is lost for want of a row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.catalogue.segments import refresh_recording
from mediaserverd.recorder.catalogue.tables import recordings, segments
from mediaserverd.recorder.report import FileState, Report, began
from mediaserverd.recorder.states import RecordingState, SegmentState


def take_in(connection: Connection, report: Report, media_server: str, now: datetime) -> None:
    """``metadata`` of the report is what the controller gave to the media server: what can be read of it is used."""
    known = select(recordings.c.id).where(recordings.c.id == report.recording_id)
    if connection.execute(known).one_or_none() is None:
        connection.execute(insert(recordings).values(**_recording(report, now)))
    finished = report.state is not FileState.FAILED
    connection.execute(
        insert(segments).values(
            recording_id=report.recording_id,
            number=report.segment,
            media_server=media_server,
            file=report.file,
            state=SegmentState.ENDED if finished else SegmentState.FAILED,
            reason=report.reason[:64],
            started_at=report.started_at,
            ended_at=report.ended_at,
            duration_ms=report.duration_ms,
            next_attempt_at=now if finished else None,
        )
    )
    add_event(connection, *report.key, "unannounced", now, actor=media_server, detail={"file": report.file})
    refresh_recording(connection, report.recording_id, now)


def complete(connection: Connection, recording_id: str, metadata: object) -> None:
    """``metadata``: of the file itself. The report of an encrypted one, being clear text, has none."""
    told = {name: value for name, value in _facts(metadata).items() if value}
    unannounced = and_(recordings.c.id == recording_id, ~recordings.c.announced)
    if told:
        connection.execute(update(recordings).where(unannounced).values(**told))


def _recording(report: Report, now: datetime) -> dict[str, Any]:
    facts = _facts(report.metadata)
    return {
        **facts,
        "id": report.recording_id,
        "kind": facts["kind"] or "policy",
        "state": RecordingState.FINISHING,
        "announced": False,
        "call_id": facts["call_id"] or report.call_id,
        "encoding": report.encoding,
        "started_at": began(report, now),
    }


def _facts(metadata: object) -> dict[str, str]:
    """Columns of ``recordings``; empty where nothing is said."""
    facts = _mapping(metadata)
    parties = {
        f"{side}_{name}": _string(_mapping(facts.get(side)).get(name))
        for side in ("calling", "called")
        for name in ("number", "name", "station", "line")
    }
    return {
        "kind": _string(facts.get("kind"))[:32],
        "call_id": _string(facts.get("call_id")),
        "policy": _string(facts.get("policy")),
        "direction": _string(facts.get("direction"))[:16],
        "initiation": _string(facts.get("initiation")),
        **parties,
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value.replace("\0", "") if isinstance(value, str) else ""
