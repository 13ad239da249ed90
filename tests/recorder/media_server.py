"""A media server's retrieval interface (docs/wire.md section 2) over real HTTPS: real files, and it can misbehave.

``Misdeed`` says how. The right behaviour is here only as far as the recorder's tests need it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mediaserverd.process.http import HttpServer
from mediaserverd.process.tls import ServerTls
from mediaserverd.process.tokens import bearer_token

PIECE = 16 << 10


@dataclass
class Misdeed:
    """What to do wrong. Counters go down with each time it was done."""

    wrong_content: int = 0
    wrong_digest_field: int = 0
    break_after_bytes: int = 0  # with ``breaks``: the connection ends after so many bytes of body
    breaks: int = 0
    busy: int = 0
    server_errors: int = 0
    refuse_token: bool = False
    slow_piece_s: float = 0.0
    lists_nothing: bool = False
    keeps_files: bool = False  # answers 500 to a DELETE


@dataclass
class File:
    report: dict[str, Any]
    content: bytes


@dataclass
class Asked:
    method: str
    path: str
    range: str | None


@dataclass
class MediaServerDouble:
    certificate: Path
    private_key: Path
    token: str
    port: int = 0
    files: dict[str, File] = field(default_factory=dict)
    misdeed: Misdeed = field(default_factory=Misdeed)
    asked: list[Asked] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    on_request: Callable[[Request], None] = lambda _: None
    _server: HttpServer | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def start(self) -> None:
        routes = [
            Route("/recordings", self._list),
            Route("/recordings/{file}/report", self._report),
            Route("/recordings/{file}", self._audio, methods=["GET", "HEAD"]),
            Route("/recordings/{file}", self._delete, methods=["DELETE"]),
        ]
        tls = ServerTls(self.certificate, self.private_key)
        self._server = HttpServer(Starlette(routes=routes), "127.0.0.1", self.port, tls)
        await self._server.start()
        self.port = self._server.port

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def add(
        self,
        recording_id: str = "",
        segment: int = 1,
        *,
        size: int = 100_000,
        content: bytes | None = None,
        suffix: str = ".wav",
        **report: Any,
    ) -> File:
        """A finished file, unless ``state`` says otherwise; of random bytes, unless ``content`` says others."""
        recording_id = recording_id or secrets.token_hex(16)
        content = secrets.token_bytes(size) if content is None else content
        name = f"{recording_id}-{segment}{suffix}"
        sides = [{"packets": 10, "lost": 0, "jitter_ms": 0.5}, {"packets": 11, "lost": 1, "jitter_ms": 0.7}]
        facts = {
            "file": name,
            "recording_id": recording_id,
            "segment": segment,
            "call_id": "a84b4c76e66710",
            "state": "finished",
            "reason": "call-ended",
            "media_type": "audio/wav",
            "encoding": "audio/L16",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "started_at": "2026-01-02T03:04:05.000Z",
            "ended_at": "2026-01-02T03:04:15.500Z",
            "duration_ms": 10500,
            "metadata": {},
            "quality": {"degraded": False, "sides": sides, "tap_overflow": 0},
        }
        self.files[name] = File({**facts, **report}, content)
        return self.files[name]

    def count(self, method: str, end: str) -> int:
        """How often something was asked whose path ends so."""
        return sum(asked.method == method and asked.path.endswith(end) for asked in self.asked)

    def _refusal(self, request: Request) -> Response | None:
        self.asked.append(Asked(request.method, request.url.path, request.headers.get("Range")))
        self.on_request(request)
        given = bearer_token(request.headers.get("Authorization"))
        return Response(status_code=401) if self.misdeed.refuse_token or given != self.token else None

    async def _list(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        reports = [] if self.misdeed.lists_nothing else [file.report for file in self.files.values()]
        return JSONResponse({"server": "double", "recordings": reports})

    async def _report(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        file = self.files.get(request.path_params["file"])
        return Response(status_code=404) if file is None else JSONResponse(file.report)

    async def _delete(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if self.misdeed.keeps_files:
            return Response(status_code=500)
        if self.files.pop(request.path_params["file"], None) is not None:
            self.deleted.append(request.path_params["file"])
        return Response(status_code=204)

    async def _audio(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        file = self.files.get(request.path_params["file"])
        if file is None:
            return Response(status_code=404)
        if self._once("busy"):
            return Response(status_code=409, headers={"Retry-After": "1"})
        if self._once("server_errors"):
            return Response(status_code=500)
        start = self._start(request)
        headers = {
            "ETag": f'"{file.report["sha256"]}"',
            "Repr-Digest": f"sha-256=:{self._digest(file)}:",
            "Content-Length": str(len(file.content) - start),
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(file.content) - 1}/{len(file.content)}"
        body = self._body(self._content(file)[start:])
        return StreamingResponse(body, 206 if start else 200, headers, "audio/wav")

    def _start(self, request: Request) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        return int(match[1]) if match else 0

    def _content(self, file: File) -> bytes:
        return bytes(len(file.content)) if self._once("wrong_content") else file.content

    def _digest(self, file: File) -> str:
        digest = bytes(32) if self._once("wrong_digest_field") else bytes.fromhex(file.report["sha256"])
        return base64.b64encode(digest).decode()

    async def _body(self, content: bytes) -> AsyncIterator[bytes]:
        breaks = self._once("breaks")
        for start in range(0, len(content), PIECE):
            if breaks and start >= self.misdeed.break_after_bytes:
                raise ConnectionAbortedError("as asked")  # uvicorn closes the connection in the middle of the body
            yield content[start : start + PIECE]
            await asyncio.sleep(self.misdeed.slow_piece_s)

    def _once(self, misdeed: str) -> bool:
        left = getattr(self.misdeed, misdeed)
        setattr(self.misdeed, misdeed, max(left - 1, 0))
        return bool(left)


def entry(sequence: int, event: str, recording_id: str, segment: int = 1, **more: Any) -> dict[str, Any]:
    """A ledger entry as a controller sends it."""
    facts: dict[str, Any] = {
        "sequence": sequence,
        "at": "2026-01-02T03:04:05.000Z",
        "event": event,
        "recording_id": recording_id,
        "segment": segment,
    }
    match event:
        case "expected":
            facts |= {
                "call_id": "a84b4c76e66710",
                "kind": "policy",
                "policy": "record all",
                "direction": "inbound",
                "calling": {"number": "+431234567", "name": "Änne Maier", "station": "", "line": "carrier"},
                "called": {"number": "202", "name": "Bob", "station": "bob", "line": ""},
                "media_server": "media",
                "encoding": "audio/L16",
                "initiation": "policy record all",
            }
        case "started":
            file = more.pop("file", f"{recording_id}-{segment}.wav")
            facts |= {"file": file, "uri": f"https://127.0.0.1:8102/recordings/{file}"}
        case "failed":
            facts |= {"reason": "disk-full"}
        case "ended":
            facts |= {"at": "2026-01-02T03:04:15.000Z", "reason": "call-ended", "duration_ms": 10000}
    return json.loads(json.dumps({**facts, **more}))  # type: ignore[no-any-return]


def whole_call(first_sequence: int, recording_id: str, file: str = "", **expected: Any) -> list[dict[str, Any]]:
    named: dict[str, Any] = {"file": file} if file else {}
    return [
        entry(first_sequence, "expected", recording_id, **expected),
        entry(first_sequence + 1, "started", recording_id, **named),
        entry(first_sequence + 2, "ended", recording_id),
    ]
