"""List, detail, deletion of recordings; reconciliation."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AwareDatetime
from sqlalchemy import Connection

from mediaserverd.recorder.api import models
from mediaserverd.recorder.api.access import Access
from mediaserverd.recorder.api.problems import Problem
from mediaserverd.recorder.catalogue import recordings as catalogue
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.events import events_of
from mediaserverd.recorder.catalogue.recordings import Filter, Position
from mediaserverd.recorder.catalogue.tally import count
from mediaserverd.recorder.media_servers import MediaServers
from mediaserverd.recorder.states import RecordingState
from mediaserverd.recorder.tokens import Scope, Token

log = structlog.get_logger()

PAGE_LIMIT = 500
PAGE_DEFAULT = 50

RecordingId = Path(description="32 hexadecimal digits.", pattern="^[0-9a-f]{32}$")


class RecordingRoutes:
    """``overdue_after_s``: so long after its end a recording should be stored. ``on_deletion``: there is work."""

    def __init__(
        self,
        database: Database,
        access: Access,
        media_servers: MediaServers,
        overdue_after_s: Callable[[], float],
        on_deletion: Callable[[], None],
    ) -> None:
        self._database = database
        self._media_servers = media_servers
        self._overdue_after_s = overdue_after_s
        self._on_deletion = on_deletion
        self._read = Depends(access.require(Scope.READ))
        self._delete = Depends(access.require(Scope.DELETE))

    def router(self) -> APIRouter:
        router = APIRouter(tags=["recordings"])
        self._add_list(router)
        self._add_detail(router)
        self._add_quality(router)
        self._add_deletion(router)
        self._add_reconciliation(router)
        return router

    def _add_list(self, router: APIRouter) -> None:
        @router.get("/recordings", dependencies=[self._read], summary="Recordings, newest first")
        async def list_recordings(
            since: AwareDatetime | None = Query(None, alias="from", description="Started then or later (ISO 8601)."),
            until: AwareDatetime | None = Query(None, alias="to", description="Started before (ISO 8601)."),
            number: str = Query("", max_length=200, description="Calling or called number; `*` for any characters."),
            station: str = Query("", max_length=200, description="Calling or called station."),
            state: RecordingState | None = Query(None, description="Deleted ones are listed only by this."),
            call_id: str = Query("", max_length=1000),
            text: str = Query("", max_length=200, description="In a number, name, station, line, call id, policy."),
            limit: int = Query(PAGE_DEFAULT, ge=1, le=PAGE_LIMIT),
            cursor: str = Query("", max_length=200, description="`next` of the page before."),
        ) -> models.Page:
            wanted = Filter(since, until, number, station, state, call_id, text)
            after = _position(cursor) if cursor else None
            rows = await self._database.read(catalogue.list_recordings, wanted, after, limit + 1)
            page = [models.recording(row) for row in rows[:limit]]
            return models.Page(recordings=page, next=_cursor(page[-1]) if len(rows) > limit else None)

    def _add_detail(self, router: APIRouter) -> None:
        @router.get("/recordings/{recording_id}", dependencies=[self._read], summary="All about one recording")
        async def show_recording(recording_id: str = RecordingId) -> models.Detail:
            return await self._database.read(_detail, recording_id)

    def _add_quality(self, router: APIRouter) -> None:
        @router.get("/recordings/{recording_id}/quality", dependencies=[self._read], summary="What it is worth")
        async def show_quality(recording_id: str = RecordingId) -> models.QualityReport:
            detail = await self._database.read(_detail, recording_id)
            return models.quality_report(detail)

    def _add_deletion(self, router: APIRouter) -> None:
        @router.delete("/recordings/{recording_id}", status_code=204, summary="Delete the audio; a tombstone stays")
        async def delete_recording(recording_id: str = RecordingId, token: Token = self._delete) -> Response:
            if await self._database.write(_bury, recording_id, token.name, datetime.now(UTC)):
                log.info("recording_deleted", recording_id=recording_id, token=token.name)
                await self._database.leave_no_trace()  # else the next checkpoint does it
                self._on_deletion()
            return Response(status_code=204)

    def _add_reconciliation(self, router: APIRouter) -> None:
        @router.get("/reconciliation", dependencies=[self._read], summary="Expected against stored")
        async def reconcile() -> models.Reconciliation:
            overdue_since = datetime.now(UTC) - timedelta(seconds=self._overdue_after_s())
            tally = await self._database.read(count, overdue_since)
            return models.Reconciliation(
                expected=tally.expected,
                stored=tally.stored,
                failed=sum(tally.failed.values()),
                pending=sum(tally.pending.values()),
                failed_by_reason=dict(tally.failed),
                pending_by_state=dict(tally.pending),
                discarded=tally.discarded,
                recordings_by_state=dict(tally.states),
                segments_by_state=dict(tally.segments),
                overdue_segments=tally.overdue_segments,
                interrupted=tally.interrupted,
                gap_ms=tally.gap_ms,
                undeleted_segments=tally.undeleted_segments,
                segments_by_verification=dict(tally.verifications),
                degraded_segments=tally.degraded_segments,
                media_servers=self._servers(),
            )

    def _servers(self) -> list[models.MediaServerStatus]:
        return [
            models.MediaServerStatus(
                name=server.name, usable=not server.fault, fault=server.fault, since=server.since, files=server.files
            )
            for server in self._media_servers
        ]


def absent(recording_id: str) -> Problem:
    return Problem(404, f"there is no recording {recording_id}; GET /api/v1/recordings lists those there are")


def _detail(connection: Connection, recording_id: str) -> models.Detail:
    row = catalogue.find_recording(connection, recording_id)
    if row is None:
        raise absent(recording_id)
    return models.detail(row, catalogue.segments_of(connection, recording_id), events_of(connection, recording_id))


def _bury(connection: Connection, recording_id: str, who: str, now: datetime) -> bool:
    """Returns whether it was not deleted before."""
    row = catalogue.find_recording(connection, recording_id)
    if row is None:
        raise absent(recording_id)
    match RecordingState(row["state"]):
        case RecordingState.DELETED:
            return False
        case RecordingState.RECORDING | RecordingState.FINISHING as state:
            raise Problem(409, f"it is still {state}; try again when it is stored", {"Retry-After": "5"})
        case _:
            catalogue.mark_deleted(connection, recording_id, who, now)
            return True


def _cursor(last: models.Recording) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.started_at.isoformat(), last.id]).encode()).decode()


def _position(cursor: str) -> Position:
    try:
        moment, recording_id = json.loads(base64.urlsafe_b64decode(cursor))
        started_at = datetime.fromisoformat(moment)
        if started_at.tzinfo is None or not isinstance(recording_id, str):
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error) as fault:
        raise Problem(400, "this cursor is not one that was given out; begin again without") from fault
    return Position(started_at, recording_id)
