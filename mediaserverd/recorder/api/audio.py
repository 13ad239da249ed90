"""The audio of recordings in the form that is wanted: whole or in ranges, each access audited before the first byte."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from mediaserverd.audio.workshop import WorkerDied, WorkFailed, WorkshopFull
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.recorder.api.access import Access
from mediaserverd.recorder.api.digests import wants_sha256
from mediaserverd.recorder.api.formats import NAMES, OF_SASF, OF_WAV, SASF, Form, wanted_form
from mediaserverd.recorder.api.problems import RETRY_S, Problem
from mediaserverd.recorder.api.ranges import Span, Unsatisfiable, is_unchanged, requested_span
from mediaserverd.recorder.api.recordings import RecordingId, absent
from mediaserverd.recorder.catalogue import recordings as catalogue
from mediaserverd.recorder.catalogue.custody import custody_of
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.keyfiles import KeyFault
from mediaserverd.recorder.playback import Locked, Playback, Representation, Stored
from mediaserverd.recorder.report import SEGMENTS_LIMIT
from mediaserverd.recorder.states import RecordingState, SegmentState
from mediaserverd.recorder.tokens import Scope, Token

log = structlog.get_logger()

_CONTENT: Final[dict[str, Any]] = {form.media_type: {} for form in OF_SASF}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": _CONTENT, "description": "The whole file."},
    206: {"content": _CONTENT, "description": "The part that was asked for."},
    304: {"description": "As the client has it."},
    406: {"description": "Not to be had in that form."},
    409: {"description": "Not stored yet, several segments, or encrypted for keys that are not here."},
    410: {"description": "Deleted, or its keys were destroyed."},
    416: {"description": "The range lies outside of the file."},
}

FormatQuery = Query(
    None,
    alias="format",
    json_schema_extra={"enum": list(NAMES)},
    description="Else what the Accept field wants, else `wav`.",
)
KeysQuery = Query(False, description="With `format=sasf`: the wrapped keys in the file; needs `recordings:export`.")


@dataclass(frozen=True, slots=True)
class _Audio:
    """``name``: of the file that people get, without its suffix."""

    recording_id: str
    segment: int
    format: str
    stored: Stored
    keys_destroyed_at: datetime | None
    name: str


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a request asks for."""

    request: Request
    token: Token
    format: str | None
    keys: bool


class AudioRoutes:
    def __init__(self, database: Database, playback: Playback, access: Access) -> None:
        self._database = database
        self._playback = playback
        self._listen = Depends(access.require(Scope.AUDIO))

    def router(self) -> APIRouter:
        router = APIRouter(tags=["audio"])

        @router.get("/recordings/{recording_id}/audio", responses=_ANSWERS, response_class=Response)
        @router.head("/recordings/{recording_id}/audio", responses=_ANSWERS, response_class=Response)
        async def recording_audio(
            request: Request,
            recording_id: str = RecordingId,
            wanted: str | None = FormatQuery,
            keys: bool = KeysQuery,
            token: Token = self._listen,
        ) -> Response:
            """The audio of a recording that has one segment."""
            return await self._answer(_Wish(request, token, wanted, keys), recording_id, None)

        @router.get("/recordings/{recording_id}/segments/{number}/audio", responses=_ANSWERS, response_class=Response)
        @router.head("/recordings/{recording_id}/segments/{number}/audio", responses=_ANSWERS, response_class=Response)
        async def segment_audio(
            request: Request,
            recording_id: str = RecordingId,
            number: int = Path(ge=1, le=SEGMENTS_LIMIT),
            wanted: str | None = FormatQuery,
            keys: bool = KeysQuery,
            token: Token = self._listen,
        ) -> Response:
            """The audio of one segment."""
            return await self._answer(_Wish(request, token, wanted, keys), recording_id, number)

        return router

    async def _answer(self, wish: _Wish, recording_id: str, number: int | None) -> Response:
        request = wish.request
        audio = await self._database.read(_find_audio, recording_id, number)
        form = _form(audio, wish)
        content = await self._content(audio, form, wish)
        headers = _headers(audio, form, content)
        if is_unchanged(request.headers.get("If-None-Match"), content.etag):
            return Response(status_code=304, headers=headers)
        span = _span(request, content)
        part = span or Span(0, content.size)
        headers["Content-Length"] = str(part.end - part.start)
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{content.size}"
        status = 200 if span is None else 206
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=form.media_type)
        await self._audit(wish, audio, form, part)
        pieces = await self._open(audio, content, part)
        return StreamingResponse(pieces, status, headers, form.media_type)

    async def _content(self, audio: _Audio, form: Form, wish: _Wish) -> Representation:
        """Of the form that is wanted; why it cannot be had is a Problem."""
        if form is SASF and wish.keys:
            _check_export(wish.token)
        elif form.encoder and audio.stored.encrypted and audio.stored.custody is None:
            raise _destroyed(audio)
        try:
            content = await self._representation(audio.stored, form, wish.keys)
            if content.digest is not None and wants_sha256(wish.request.headers.get("Want-Repr-Digest")):
                return replace(content, sha256=await content.digest())
            return content
        except Locked as fault:
            told = f"{fault}; `mediaserverd keys import` one of them, or ask for format=sasf"
            raise Problem(409, told, key_ids=list(fault.key_ids)) from fault
        except SasfError as fault:
            told = f"it cannot be read: {fault}; format=sasf gives the file as it is"
            raise Problem(409, told) from fault
        except WorkshopFull as fault:
            raise Problem(503, str(fault), {"Retry-After": RETRY_S}) from fault
        except (KeyFault, WorkerDied, WorkFailed, TimeoutError) as fault:
            log.error("rendering_failed", recording_id=audio.recording_id, segment=audio.segment, fault=str(fault))
            told = "it cannot be rendered at present; see the recorder's log, or ask for format=sasf"
            raise Problem(503, told, {"Retry-After": RETRY_S}) from fault
        except FileNotFoundError as fault:
            raise _lost(audio) from fault

    async def _representation(self, stored: Stored, form: Form, keys: bool) -> Representation:
        if not form.encoder:
            return await self._playback.with_keys(stored) if keys else self._playback.as_stored(stored)
        if form.has_ranges:
            return await self._playback.rendered_wav(stored, form.encoder)
        return await self._playback.rendered_whole(stored, form.encoder)

    async def _audit(self, wish: _Wish, audio: _Audio, form: Form, part: Span) -> None:
        detail = {
            "token": wish.token.id,
            "client": wish.request.client.host if wish.request.client else "",
            "format": form.name,
            "first_byte": part.start,
            "last_byte": part.end - 1,
        }
        if wish.keys:
            detail["keys"] = True

        def write(connection: Connection) -> None:
            now = datetime.now(UTC)
            add_event(connection, audio.recording_id, audio.segment, "audio", now, actor=wish.token.name, detail=detail)

        await self._database.write(write)

    async def _open(self, audio: _Audio, content: Representation, part: Span) -> AsyncIterator[bytes]:
        try:
            return await content.pieces(part.start, part.end)
        except FileNotFoundError as fault:
            raise _lost(audio) from fault


def _form(audio: _Audio, wish: _Wish) -> Form:
    offered = OF_SASF if audio.format == "sasf" else OF_WAV
    form = wanted_form(offered, wish.format, wish.request.headers.get("Accept"))
    if form is None:
        names = ", ".join(each.name for each in offered)
        raise Problem(406, f"this recording is kept as {audio.format}; it can be had as {names}", formats=names)
    return form


def _headers(audio: _Audio, form: Form, content: Representation) -> dict[str, str]:
    headers = {
        "ETag": content.etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{audio.name}{form.suffix}"',
        "Cache-Control": "private, no-cache",  # kept by the listener's own browser, asked for again each time
        "Vary": "Accept",
    }
    if content.sha256:
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(content.sha256)).decode()}:"
    return headers


def _check_export(token: Token) -> None:
    if not token.allows(Scope.EXPORT):
        field = f'Bearer realm="mediaserverd", error="insufficient_scope", scope="{Scope.EXPORT}"'
        told = f"files with keys in them need the scope {Scope.EXPORT}; leave out keys=true, or make a token with it"
        raise Problem(403, told, {"WWW-Authenticate": field})


def _destroyed(audio: _Audio) -> Problem:
    when = f" at {audio.keys_destroyed_at:%Y-%m-%d %H:%M} UTC" if audio.keys_destroyed_at else ""
    return Problem(410, f"the keys of this recording were destroyed{when}: nobody can read it any more")


def _lost(audio: _Audio) -> Problem:
    log.error("object_lost", recording_id=audio.recording_id, segment=audio.segment, store_key=audio.stored.store_key)
    return Problem(500, "the catalogue has this recording and the store does not; restore the store")


def _span(request: Request, content: Representation) -> Span | None:
    field = request.headers.get("Range")
    try:
        return requested_span(field, request.headers.get("If-Range"), content.etag, content.size)
    except Unsatisfiable as fault:
        outside = {"Content-Range": f"bytes */{content.size}"}
        raise Problem(416, f"the file has {content.size} bytes", outside) from fault


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
    audio = _audio(recording, wanted[0])
    return replace(audio, stored=replace(audio.stored, custody=custody_of(connection, recording_id, audio.segment)))


def _audio(recording: Mapping[str, Any], segment: Mapping[str, Any]) -> _Audio:
    match SegmentState(segment["state"]):
        case SegmentState.STORED:
            pass
        case SegmentState.FAILED:
            raise Problem(404, f"there is no audio: it failed ({segment['reason']})", reason=segment["reason"])
        case state:
            raise Problem(409, f"it is not in the store yet, but {state}; try again later", {"Retry-After": "5"})
    stored = Stored(
        store_key=segment["store_key"],
        size=segment["stored_size"],
        sha256=segment["stored_sha256"],
        source_sha256=segment["sha256"],
        encrypted=segment["encrypted"],
        compressed=bool(segment["compression"]),
        custody=None,
    )
    return _Audio(
        recording_id=recording["id"],
        segment=segment["number"],
        format=segment["format"],
        stored=stored,
        keys_destroyed_at=segment["keys_destroyed_at"],
        name=_name(recording, segment),
    )


def _name(recording: Mapping[str, Any], segment: Mapping[str, Any]) -> str:
    """What a person sees in the download folder: when, who, whom. Letters that a header or a disk may not take go."""
    moment = f"{recording['started_at'].astimezone(UTC):%Y%m%dT%H%M%SZ}"
    parts = [moment, recording["calling_number"], recording["called_number"], recording["id"][:8], segment["number"]]
    cleaned = ["".join(letter for letter in str(part) if letter.isascii() and letter.isalnum()) for part in parts]
    return "_".join(filter(None, cleaned))
