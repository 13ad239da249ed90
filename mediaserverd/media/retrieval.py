"""Finished recordings over HTTPS: listed, fetched with ranges and digest, deleted. As docs/wire.md section 2.

Not responsible for files (``recordings``), nor for TLS and sockets (``process.http``). Nothing here is shown to anyone
without the token or a recorder's certificate of the site, and a name that is no recording's never reaches the disk.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mediaserverd.media import metrics, report
from mediaserverd.media.recipients import Recipients
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report
from mediaserverd.process.complaints import Complaints
from mediaserverd.process.http import client_certificate_roles
from mediaserverd.process.http_body import json_body
from mediaserverd.process.role import StartFault
from mediaserverd.process.tokens import bearer_token, same_token

RETRY_AFTER_S: Final = 2  # sealing takes less for all but very long calls
MAX_FILE_NAME: Final = 64
MAX_BODY_BYTES: Final = 256 << 10  # 32 public keys

_Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

log = structlog.get_logger()


def application(
    recordings: Recordings, token: str, server_name: str, identity: Ed25519PublicKey, recipients: Recipients
) -> ASGIApp:
    """Everything behind one door: who is not let in learns nothing, not even which paths there are."""
    shelf = _Shelf(recordings, server_name, identity, recipients)
    routes = [
        Route("/recipients", shelf.take_recipients, methods=["PUT"]),
        Route("/recordings", shelf.list, methods=["GET"]),
        Route("/recordings/{file}/report", shelf.report, methods=["GET"]),
        Route("/recordings/{file}", shelf.fetch, methods=["GET"]),
        Route("/recordings/{file}", shelf.delete, methods=["DELETE"]),
        Route("/{path:path}", _strange_path, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    return _Door(Starlette(routes=routes), token)


class _Door:
    """Lets in who shows the token or a certificate, and counts every answer."""

    def __init__(self, inside: ASGIApp, token: str) -> None:
        self._inside = inside
        self._token = token
        self._refusals = Complaints("retrieval_refused")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        inside = self._inside if self._knows(Request(scope)) else self._stranger(scope)

        async def counting_send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                metrics.RETRIEVAL_REQUESTS.labels(_method(scope), str(message["status"])).inc()
            await send(message)

        await inside(scope, receive, counting_send)  # type: ignore[arg-type]  # starlette's Message is a MutableMapping

    def _knows(self, request: Request) -> bool:
        shown = bearer_token(request.headers.get("authorization"))
        if not shown:
            return _is_recorder(request)
        return same_token(shown, self._token)

    def _stranger(self, scope: Scope) -> ASGIApp:
        metrics.RETRIEVAL_REFUSED.labels("token").inc()
        source = (scope.get("client") or ("",))[0]
        self._refusals.note(source, "no token, or a wrong one", path=scope["path"][:MAX_FILE_NAME])
        return _problem(
            401, "a bearer token or a client certificate is needed", {"WWW-Authenticate": 'Bearer realm="recordings"'}
        )


class _Shelf:
    def __init__(
        self, recordings: Recordings, server_name: str, identity: Ed25519PublicKey, recipients: Recipients
    ) -> None:
        self._recordings = recordings
        self._recipients = recipients
        pem = identity.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._ourselves = {"server": server_name, "signing_key": pem.decode()}

    async def list(self, request: Request) -> Response:
        reports = [each.as_json() for each in self._recordings.reports()]
        given = self._recipients.given if _is_recorder(request) else None
        return JSONResponse({**self._ourselves, "recipients": given, "recordings": reports})

    async def take_recipients(self, request: Request) -> Response:
        """Who can read what is recorded here from now on. A token is not enough to say that."""
        if not _is_recorder(request):
            return _problem(403, "recipients are taken from a recorder that shows its certificate of the site")
        try:
            keys = (await json_body(request, MAX_BODY_BYTES))["recipients"]
            await asyncio.to_thread(self._recipients.replace_given, [str(key).encode() for key in keys])
        except (ValueError, KeyError, TypeError, StartFault) as fault:
            return _problem(400, f"these recipients cannot be used: {fault}")
        return Response(status_code=204)

    async def report(self, request: Request) -> Response:
        known = self._known(request)
        return JSONResponse(known.as_json()) if known else _not_found()

    async def fetch(self, request: Request) -> Response:
        known = self._known(request)
        if known is None:
            return _not_found()
        if known.state in ("running", "sealing"):
            return _not_yet(known)
        path = self._recordings.audio_path(known.file)
        try:
            status = await asyncio.to_thread(os.stat, path)
        except FileNotFoundError:
            return _problem(404, f"no audio could be saved: {known.reason}")
        assert known.sha256 is not None  # the report was written before the file got its name
        return FileResponse(
            path,
            headers=_headers(known, known.sha256),
            media_type=known.media_type,
            filename=known.file,
            stat_result=status,
        )

    async def delete(self, request: Request) -> Response:
        file = _file_name(request)
        if file is None:
            return _not_found()
        if not await self._recordings.delete(file):
            known = self._recordings.report(file)
            assert known is not None  # only a known one can be running
            return _not_yet(known)
        log.info("recording_deleted", file=file)
        return Response(status_code=204)

    def _known(self, request: Request) -> Report | None:
        file = _file_name(request)
        return self._recordings.report(file) if file else None


def _is_recorder(request: Request) -> bool:
    return "recorder" in client_certificate_roles(request.scope)


def _file_name(request: Request) -> str | None:
    """The name in the path if it can be one of ours. The server has decoded %2e and the like before."""
    name: str = request.path_params["file"]
    stem, _, ending = name.rpartition(".")
    if len(name) <= MAX_FILE_NAME and ending.isascii() and ending.isalnum() and report.parsed_stem(stem):
        return name
    metrics.RETRIEVAL_REFUSED.labels("path").inc()
    return None


async def _strange_path(_: Request) -> Response:
    metrics.RETRIEVAL_REFUSED.labels("path").inc()
    return _not_found()


def _headers(known: Report, sha256: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    # RFC 9530: the digest is of the whole representation, also in an answer to a range.
    return {"ETag": f'"{sha256}"', "Repr-Digest": f"sha-256=:{digest}:", "Cache-Control": "private, no-store"}


def _not_yet(known: Report) -> JSONResponse:
    return _problem(409, f"the recording is {known.state}", {"Retry-After": str(RETRY_AFTER_S)})


def _not_found() -> JSONResponse:
    return _problem(404, "no such recording")


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in ("GET", "HEAD", "PUT", "DELETE") else "other"
