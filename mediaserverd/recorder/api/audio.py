"""The audio of recordings in the form that is wanted: whole or in ranges, each access audited before the first byte."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from mediaserverd.audio.wav_sound import WavFault
from mediaserverd.audio.workshop import WorkerDied, WorkFailed, WorkshopFull
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.recorder.api.access import Access
from mediaserverd.recorder.api.digests import wants_sha256
from mediaserverd.recorder.api.formats import (
    NAMES,
    OF_PARTS,
    OF_SASF,
    OF_WAV,
    RENDERED,
    SASF,
    SASF_PARTS,
    Form,
    wanted_form,
)
from mediaserverd.recorder.api.listening import Audio, find_audio
from mediaserverd.recorder.api.problems import RETRY_S, Problem
from mediaserverd.recorder.api.ranges import Span, Unsatisfiable, is_from_the_start, is_unchanged, requested_span
from mediaserverd.recorder.api.recordings import RecordingId
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.keyfiles import KeyFault
from mediaserverd.recorder.playback import Locked, Playback, Representation
from mediaserverd.recorder.report import SEGMENTS_LIMIT
from mediaserverd.recorder.tokens import Scope, Token

log = structlog.get_logger()

_CONTENT: Final[dict[str, Any]] = {form.media_type: {} for form in (*OF_SASF, SASF_PARTS)}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": _CONTENT, "description": "The whole file."},
    206: {"content": _CONTENT, "description": "The part that was asked for."},
    304: {"description": "As the client has it."},
    406: {"description": "Not to be had in that form."},
    409: {"description": "Not stored yet, or encrypted for keys that are not here."},
    410: {"description": "Deleted, or its keys were destroyed."},
    416: {"description": "The range lies outside of the file."},
}

FormatQuery = Query(
    None,
    alias="format",
    json_schema_extra={"enum": list(NAMES)},
    description="Else what the Accept field wants, else `wav`.",
)
KeysQuery = Query(False, description="With `format=sasf`: the wrapped keys in each file; needs `recordings:export`.")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a request asks for."""

    request: Request
    token: Token
    format: str | None
    keys: bool

    @property
    def wants_digest(self) -> bool:
        return wants_sha256(self.request.headers.get("Want-Repr-Digest"))

    @property
    def takes_it_as_it_comes(self) -> bool:
        """Nothing is asked that only the finished file answers: its size, its digest, a part of it."""
        is_whole = is_from_the_start(self.request.headers.get("Range"))
        return self.request.method == "GET" and is_whole and not self.wants_digest


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
            """The audio of a recording; of several segments one behind the other, with silence in the gaps.

            `sasf` of several segments is a tar archive of their files, and of what joins them."""
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
        audio = await self._database.read(find_audio, recording_id, number)
        form = _form(audio, wish)
        content = await self._content(audio, form, wish)
        headers = _headers(audio, form, content)
        if is_unchanged(request.headers.get("If-None-Match"), content.etag):
            return Response(status_code=304, headers=headers)
        if content.size is None:
            await self._audit(wish, audio, form, None)
            return StreamingResponse(await self._open(audio, content, Span(0, 0)), 200, headers, form.media_type)
        span = _span(request, content.etag, content.size)
        part = span or Span(0, content.size)
        headers["Content-Length"] = str(part.end - part.start)
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{content.size}"
        status = 200 if span is None else 206
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=form.media_type)
        await self._audit(wish, audio, form, part)
        return StreamingResponse(await self._open(audio, content, part), status, headers, form.media_type)

    async def _content(self, audio: Audio, form: Form, wish: _Wish) -> Representation:
        """Of the form that is wanted; why it cannot be had is a Problem."""
        if wish.keys and form in (SASF, SASF_PARTS):
            _check_export(wish.token)
        elif form.encoder and audio.keys_are_gone:
            raise _destroyed(audio)
        with _explained(audio):
            content = await self._representation(audio, form, wish)
            if content.digest is not None and wish.wants_digest:
                return replace(content, sha256=await content.digest())
            return content

    async def _representation(self, audio: Audio, form: Form, wish: _Wish) -> Representation:
        if form is SASF_PARTS:
            files = [each.stored for each in audio.heard]
            return await self._playback.archived(audio.manifest, files, keys=wish.keys)
        if not form.encoder:
            (one,) = audio.heard
            return await self._playback.with_keys(one.stored) if wish.keys else self._playback.as_stored(one.stored)
        if form.has_ranges:
            return await self._playback.rendered_wav(audio.heard, form.encoder)
        return await self._playback.rendered_whole(audio.heard, form.encoder, at_once=wish.takes_it_as_it_comes)

    async def _audit(self, wish: _Wish, audio: Audio, form: Form, part: Span | None) -> None:
        """``part`` None: all of it, and how much that is only its making tells."""
        detail = {
            "token": wish.token.id,
            "client": wish.request.client.host if wish.request.client else "",
            "format": form.name,
            "first_byte": part.start if part else 0,
            "last_byte": part.end - 1 if part else None,
        }
        if wish.keys:
            detail["keys"] = True

        def write(connection: Connection) -> None:
            now = datetime.now(UTC)
            add_event(connection, audio.recording_id, audio.segment, "audio", now, actor=wish.token.name, detail=detail)

        await self._database.write(write)

    async def _open(self, audio: Audio, content: Representation, part: Span) -> AsyncIterator[bytes]:
        with _explained(audio):
            return await content.pieces(part.start, part.end)


@contextlib.contextmanager
def _explained(audio: Audio) -> Iterator[None]:
    """Why it cannot be heard is a Problem."""
    try:
        yield
    except Locked as fault:
        told = f"{fault}; `mediaserverd keys import` one of them, or ask for format=sasf"
        raise Problem(409, told, key_ids=list(fault.key_ids)) from fault
    except (SasfError, WavFault) as fault:
        as_it_is = "wav" if audio.is_wav else "sasf"
        told = f"it cannot be read: {fault}; format={as_it_is} gives the file as it is"
        raise Problem(409, told) from fault
    except WorkshopFull as fault:
        raise Problem(503, str(fault), {"Retry-After": RETRY_S}) from fault
    except (KeyFault, WorkerDied, WorkFailed, TimeoutError) as fault:
        log.error("rendering_failed", recording_id=audio.recording_id, segment=audio.segment, fault=str(fault))
        told = "it cannot be rendered at present; see the recorder's log, or ask for format=sasf"
        raise Problem(503, told, {"Retry-After": RETRY_S}) from fault
    except FileNotFoundError as fault:
        raise _lost(audio) from fault


def _form(audio: Audio, wish: _Wish) -> Form:
    of_one, of_several = (OF_WAV, RENDERED) if audio.is_wav else (OF_SASF, OF_PARTS)
    offered = of_one if audio.is_one_file else of_several
    form = wanted_form(offered, wish.format, wish.request.headers.get("Accept"))
    if form is None:
        names = ", ".join(each.name for each in offered)
        kept = "wav" if audio.is_wav else "sasf"
        raise Problem(406, f"this recording is kept as {kept}; it can be had as {names}", formats=names)
    return form


def _headers(audio: Audio, form: Form, content: Representation) -> dict[str, str]:
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


def _destroyed(audio: Audio) -> Problem:
    when = f" at {audio.keys_destroyed_at:%Y-%m-%d %H:%M} UTC" if audio.keys_destroyed_at else ""
    return Problem(410, f"the keys of this recording were destroyed{when}: nobody can read it any more")


def _lost(audio: Audio) -> Problem:
    log.error(
        "object_lost",
        recording_id=audio.recording_id,
        segment=audio.segment,
        store_keys=[each.stored.store_key for each in audio.heard],
    )
    return Problem(500, "the catalogue has this recording and the store does not; restore the store")


def _span(request: Request, etag: str, size: int) -> Span | None:
    try:
        return requested_span(request.headers.get("Range"), request.headers.get("If-Range"), etag, size)
    except Unsatisfiable as fault:
        outside = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, f"the file has {size} bytes", outside) from fault
