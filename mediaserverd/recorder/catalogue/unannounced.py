"""Takes a file into the catalogue that no ledger announced, so that no recording is lost for want of a row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

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


def _recording(report: Report, now: datetime) -> dict[str, Any]:
    facts = report.metadata if isinstance(report.metadata, dict) else {}
    parties = {
        f"{side}_{name}": _string(_mapping(facts.get(side)).get(name))
        for side in ("calling", "called")
        for name in ("number", "name", "station", "line")
    }
    return {
        "id": report.recording_id,
        "kind": _string(facts.get("kind"))[:32] or "policy",
        "state": RecordingState.FINISHING,
        "announced": False,
        "call_id": report.call_id,
        "policy": _string(facts.get("policy")),
        "direction": _string(facts.get("direction"))[:16],
        "encoding": report.encoding,
        "started_at": began(report, now),
        **parties,
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value.replace("\0", "") if isinstance(value, str) else ""
