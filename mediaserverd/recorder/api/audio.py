"""The audio of recordings: whole or in ranges, each access audited before the first byte."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi import APIRouter, Depends, Path, Request
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from mediaserverd.recorder.api.access import Access
from mediaserverd.recorder.api.problems import Problem
from mediaserverd.recorder.api.ranges import Span, Unsatisfiable, is_unchanged, requested_span
from mediaserverd.recorder.api.recordings import RecordingId, absent
from mediaserverd.recorder.catalogue import recordings as catalogue
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.report import SEGMENTS_LIMIT
from mediaserverd.recorder.states import RecordingState, SegmentState
from mediaserverd.recorder.store import Store
from mediaserverd.recorder.tokens import Scope, Token

log = structlog.get_logger()

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/wav": {}}, "description": "The whole file."},
    206: {"content": {"audio/wav": {}}, "description": "The part that was asked for."},
    409: {"description": "Not stored yet, or several segments."},
    410: {"description": "Deleted."},
    416: {"description": "The range lies outside of the file."},
}


@dataclass(frozen=True, slots=True)
class _Audio:
    recording_id: str
    segment: int
    store_key: str
    size: int
    sha256: str
    media_type: str
    name: str

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'

    def headers(self) -> dict[str, str]:
        digest = base64.b64encode(bytes.fromhex(self.sha256)).decode()
        return {
            "ETag": self.etag,
            "Repr-Digest": f"sha-256=:{digest}:",
            "Accept-Ranges": "bytes",
            "Content-Disposition": f'attachment; filename="{self.name}"',
            "Cache-Control": "private, no-cache",  # kept by the listener's own browser, asked for again each time
        }


class AudioRoutes:
    def __init__(self, database: Database, store: Store, access: Access) -> None:
        self._database = database
        self._store = store
        self._listen = Depends(access.require(Scope.AUDIO))

    def router(self) -> APIRouter:
        router = APIRouter(tags=["audio"])

        @router.get("/recordings/{recording_id}/audio", responses=_ANSWERS, response_class=Response)
        @router.head("/recordings/{recording_id}/audio", responses=_ANSWERS, response_class=Response)
        async def recording_audio(
            request: Request, recording_id: str = RecordingId, token: Token = self._listen
        ) -> Response:
            """The file of a recording that has one segment."""
            return await self._answer(request, recording_id, None, token)

        @router.get("/recordings/{recording_id}/segments/{number}/audio", responses=_ANSWERS, response_class=Response)
        @router.head("/recordings/{recording_id}/segments/{number}/audio", responses=_ANSWERS, response_class=Response)
        async def segment_audio(
            request: Request,
            recording_id: str = RecordingId,
            number: int = Path(ge=1, le=SEGMENTS_LIMIT),
            token: Token = self._listen,
        ) -> Response:
            """The file of one segment."""
            return await self._answer(request, recording_id, number, token)

        return router

    async def _answer(self, request: Request, recording_id: str, number: int | None, token: Token) -> Response:
        audio = await self._database.read(_find_audio, recording_id, number)
        headers = audio.headers()
        if is_unchanged(request.headers.get("If-None-Match"), audio.etag):
            return Response(status_code=304, headers=headers)
        span = _span(request, audio)
        part = span or Span(0, audio.size)
        headers["Content-Length"] = str(part.end - part.start)
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{audio.size}"
        status = 200 if span is None else 206
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=audio.media_type)
        await self._audit(request, audio, part, token)
        pieces = await self._open(audio, part)
        return StreamingResponse(pieces, status, headers, audio.media_type)

    async def _audit(self, request: Request, audio: _Audio, part: Span, token: Token) -> None:
        detail = {
            "token": token.id,
            "client": request.client.host if request.client else "",
            "first_byte": part.start,
            "last_byte": part.end - 1,
        }

        def write(connection: Connection) -> None:
            now = datetime.now(UTC)
            add_event(connection, audio.recording_id, audio.segment, "audio", now, actor=token.name, detail=detail)

        await self._database.write(write)

    async def _open(self, audio: _Audio, part: Span) -> AsyncIterator[bytes]:
        try:
            return await self._store.read(audio.store_key, part.start, part.end)
        except FileNotFoundError as fault:
            log.error("object_lost", recording_id=audio.recording_id, segment=audio.segment, store_key=audio.store_key)
            raise Problem(500, "the catalogue has this recording and the store does not; restore the store") from fault


def _span(request: Request, audio: _Audio) -> Span | None:
    try:
        return requested_span(request.headers.get("Range"), request.headers.get("If-Range"), audio.etag, audio.size)
    except Unsatisfiable as fault:
        raise Problem(416, f"the file has {audio.size} bytes", {"Content-Range": f"bytes */{audio.size}"}) from fault


def _find_audio(connection: Connection, recording_id: str, number: int | None) -> _Audio:
    recording = catalogue.find_recording(connection, recording_id)
    if recording is None:
        raise absent(recording_id)
    if recording["state"] == RecordingState.DELETED:
        raise Problem(410, f"this recording was deleted at {recording['deleted_at']:%Y-%m-%d %H:%M} UTC")
    segments = catalogue.segments_of(connection, recording_id)
    if number is None and len(segments) > 1:
        urls = [f"/api/v1/recordings/{recording_id}/segments/{segment['number']}/audio" for segment in segments]
        raise Problem(409, "this recording has several segments; ask for one of them", segments=urls)
    wanted = [segment for segment in segments if number in (None, segment["number"])]
    if not wanted:
        raise Problem(404, f"the recording has no segment {number}; it has {len(segments)}")
    return _audio(recording, wanted[0])


def _audio(recording: Mapping[str, Any], segment: Mapping[str, Any]) -> _Audio:
    match SegmentState(segment["state"]):
        case SegmentState.STORED:
            pass
        case SegmentState.FAILED:
            raise Problem(404, f"there is no audio: it failed ({segment['reason']})", reason=segment["reason"])
        case state:
            raise Problem(409, f"it is not in the store yet, but {state}; try again later", {"Retry-After": "5"})
    return _Audio(
        recording_id=recording["id"],
        segment=segment["number"],
        store_key=segment["store_key"],
        size=segment["size"],
        sha256=segment["sha256"],
        media_type=segment["media_type"] or "audio/wav",
        name=_name(recording, segment),
    )


def _name(recording: Mapping[str, Any], segment: Mapping[str, Any]) -> str:
    """What a person sees in the download folder: when, who, whom. Letters that a header or a disk may not take go."""
    moment = f"{recording['started_at'].astimezone(UTC):%Y%m%dT%H%M%SZ}"
    parts = [moment, recording["calling_number"], recording["called_number"], recording["id"][:8], segment["number"]]
    cleaned = ["".join(letter for letter in str(part) if letter.isascii() and letter.isalnum()) for part in parts]
    return "_".join(filter(None, cleaned)) + ".wav"
