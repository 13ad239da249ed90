"""The client of one media server's retrieval interface (docs/wire.md section 2). Not responsible for when it is used.

What can go wrong is told as a RetrievalFault of one kind, because each kind is answered differently: a server that
cannot be reached is left alone until it answers again, a broken transfer is resumed, a file that is not there is
looked for.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedRandom
from pathlib import Path
from urllib.parse import quote

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from mediaserverd.recorder.report import Report

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 15  # between two pieces of an answer
CONNECTION_LIMIT = 16
ANSWER_LIMIT_BYTES = 64 << 20  # of a JSON answer: a list of tens of thousands of reports
PIECE_BYTES = 1 << 20
RESUMPTIONS = 5  # within one attempt; after that the file waits its turn again
SLOWEST_BYTES_S = 64 << 10  # a transfer slower than this, a second of stereo PCM takes 32 KB, never catches up
RETRY_AFTER_LIMIT_S = 60


class FaultKind(StrEnum):
    UNREACHABLE = "unreachable"  # no connection, no TLS, or nonsense instead of an answer
    REFUSED = "refused"  # our token is not taken
    ABSENT = "absent"  # 404
    BUSY = "busy"  # 409: still running or being sealed
    BROKEN = "broken"  # this file cannot be had now: a server error, or the transfer ends early again and again


class RetrievalFault(Exception):
    def __init__(self, kind: FaultKind, explanation: str, retry_after_s: float = 1.0) -> None:
        super().__init__(explanation)
        self.kind = kind
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Download:
    """What arrived. ``declared`` is the digest of the answer's own Repr-Digest field; empty if it had none."""

    size: int
    sha256: str
    declared: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)
    recordings: list[object]
    signing_key: str = ""
    recipients: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """``signing_key``: PEM, empty if it does not say. ``recipients``: ids of the keys that this recorder has given it;
    None if it takes none."""

    reports: list[Report]
    signing_key: str
    recipients: list[str] | None


class RetrievalClient:
    def __init__(self, name: str, url: str, token: str, context: ssl.SSLContext) -> None:
        self.name = name
        self.url = url
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        limits = httpx.Limits(max_connections=CONNECTION_LIMIT, max_keepalive_connections=CONNECTION_LIMIT)
        # trust_env: proxies of the environment have no business between recorder and media server.
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {token}"} if token else {})},
            verify=context,
            timeout=timeout,
            limits=limits,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def listing(self) -> Listing:
        """Reports of every file on the server. One that cannot be understood is logged and left out."""
        data = await self._json("/recordings")
        try:
            answer = _Answer.model_validate_json(data)
        except ValidationError as fault:
            raise RetrievalFault(FaultKind.UNREACHABLE, f"{self.url}/recordings is not a list of reports") from fault
        reports = [report for entry in answer.recordings if (report := self._report(entry)) is not None]
        return Listing(reports, answer.signing_key, answer.recipients)

    async def give_recipients(self, keys: list[str]) -> None:
        """Public keys (PEM) that recordings are to be encrypted for from now on, instead of those given before."""
        async with self._request("PUT", "/recipients", {"recipients": keys}) as response:
            _check(response, self.url)

    def _report(self, entry: object) -> Report | None:
        try:
            return Report.model_validate(entry)
        except ValidationError as fault:
            errors = fault.errors(include_url=False, include_context=False)[:3]
            log.error("report_not_understood", media_server=self.name, errors=errors)
            return None

    async def report(self, file: str) -> Report:
        answer = await self._json(f"{_path(file)}/report")
        try:
            return Report.model_validate_json(answer)
        except ValidationError as fault:
            raise RetrievalFault(FaultKind.BROKEN, f"the report of {file} cannot be understood: {fault}") from fault

    async def delete(self, file: str) -> None:
        """Also when it is gone already."""
        async with self._request("DELETE", _path(file)) as response:
            if response.status_code != httpx.codes.NOT_FOUND:
                _check(response, self.url)

    async def download(self, file: str, part: Path, size: int) -> Download:
        """Fetches a file of the announced size into ``part``, going on where an earlier transfer broke off."""
        with await asyncio.to_thread(open, part, "a+b") as target:
            transfer = _Transfer(target, size)
            try:
                async with asyncio.timeout(60 + size / SLOWEST_BYTES_S):
                    await self._transfer(file, transfer)
            except TimeoutError as fault:
                raise RetrievalFault(FaultKind.BROKEN, f"{file} comes too slowly from {self.url}") from fault
            return Download(transfer.received, transfer.hash.hexdigest(), transfer.declared)

    async def _transfer(self, file: str, transfer: _Transfer) -> None:
        await asyncio.to_thread(transfer.resume)
        breaks = 0
        while transfer.received < transfer.size or (transfer.size == 0 and not transfer.declared):
            try:
                await self._receive(file, transfer)
                return
            except httpx.TransportError as fault:
                breaks += 1
                if breaks > RESUMPTIONS:
                    raise RetrievalFault(FaultKind.BROKEN, f"{file} broke off {breaks} times: {_why(fault)}") from fault
                log.info("transfer_resumed", media_server=self.name, file=file, received_bytes=transfer.received)

    async def _receive(self, file: str, transfer: _Transfer) -> None:
        headers = {"Range": f"bytes={transfer.received}-"} if transfer.received else {}
        if transfer.received and transfer.etag:
            headers["If-Range"] = transfer.etag
        request = self._http.build_request("GET", _path(file), headers=headers)
        try:
            response = await self._http.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
            raise RetrievalFault(FaultKind.UNREACHABLE, f"{self.url}: {_why(fault)}") from fault
        try:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                await asyncio.to_thread(transfer.restart)
                raise RetrievalFault(FaultKind.BROKEN, f"{file} is shorter than what was fetched of it before")
            _check(response, self.url)
            if transfer.received and not _continues(response, transfer.received):
                await asyncio.to_thread(transfer.restart)
            transfer.etag = response.headers.get("ETag", "")
            transfer.declared = _sha256_of(response.headers.get("Repr-Digest", ""))
            await _take_all(response, transfer)
        finally:
            await response.aclose()

    async def _json(self, path: str) -> bytes:
        async with self._request("GET", path) as response:
            _check(response, self.url)
            answer = bytearray()
            async for piece in response.aiter_raw():
                answer += piece
                if len(answer) > ANSWER_LIMIT_BYTES:
                    raise RetrievalFault(FaultKind.UNREACHABLE, f"{self.url}{path} does not end")
            return bytes(answer)

    @asynccontextmanager
    async def _request(self, method: str, path: str, body: object = None) -> AsyncIterator[httpx.Response]:
        try:
            async with self._http.stream(method, path, json=body) as response:
                yield response
        except httpx.HTTPError as fault:
            raise RetrievalFault(FaultKind.UNREACHABLE, f"{self.url}: {_why(fault)}") from fault


class _Transfer:
    """The bytes of one file on their way to the disk, and their digest. Methods block: they run in a thread."""

    def __init__(self, target: BufferedRandom, size: int) -> None:
        self.size = size
        self.received = 0
        self.hash = hashlib.sha256()
        self.etag = ""
        self.declared = ""
        self._target = target

    def resume(self) -> None:
        """Takes what lies there from an earlier attempt as received; whether it is right shows at the end."""
        self._target.seek(0)
        while piece := self._target.read(PIECE_BYTES):
            self.hash.update(piece)
            self.received += len(piece)
        if self.received > self.size:
            self.restart()

    def restart(self) -> None:
        self._target.truncate(0)
        self.received = 0
        self.hash = hashlib.sha256()

    def take(self, piece: bytes) -> None:
        """One piece more than announced is taken, so that a file that is too long is seen as wrong; no more."""
        if self.received > self.size:
            return
        self._target.write(piece)
        self._target.flush()
        self.hash.update(piece)
        self.received += len(piece)


async def _take_all(response: httpx.Response, transfer: _Transfer) -> None:
    """In large pieces, because each costs a thread switch; what came before a break is kept."""
    gathered = bytearray()
    try:
        async for piece in response.aiter_raw():
            gathered += piece
            if len(gathered) >= PIECE_BYTES:
                await asyncio.to_thread(transfer.take, bytes(gathered))
                gathered.clear()
    finally:
        transfer.take(bytes(gathered))


def _path(file: str) -> str:
    return f"/recordings/{quote(file, safe='')}"


def _check(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if response.is_success:
        return
    told = f"{url} answered {status} {response.reason_phrase}"
    match status:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            shown = "token" if "Authorization" in response.request.headers else "certificate"
            raise RetrievalFault(FaultKind.REFUSED, f"{told}: it does not take this recorder's {shown}")
        case httpx.codes.NOT_FOUND | httpx.codes.GONE:
            raise RetrievalFault(FaultKind.ABSENT, told)
        case httpx.codes.CONFLICT:
            raise RetrievalFault(FaultKind.BUSY, told, _retry_after_s(response))
    raise RetrievalFault(FaultKind.BROKEN, told)


def _retry_after_s(response: httpx.Response) -> float:
    given = response.headers.get("Retry-After", "")
    return float(min(int(given), RETRY_AFTER_LIMIT_S)) if given.isdecimal() else 1.0


def _continues(response: httpx.Response, offset: int) -> bool:
    content_range = str(response.headers.get("Content-Range", ""))
    return response.status_code == httpx.codes.PARTIAL_CONTENT and content_range.startswith(f"bytes {offset}-")


def _sha256_of(repr_digest: str) -> str:
    """The SHA-256 of a Repr-Digest field (RFC 9530 section 3) in hex; empty if it has none."""
    for member in repr_digest.split(","):
        name, _, value = member.strip().partition("=")
        if name.strip().lower() == "sha-256" and value.startswith(":"):
            try:
                return base64.b64decode(value.partition(";")[0].strip(":"), validate=True).hex()
            except binascii.Error:
                return ""
    return ""


def _why(fault: BaseException) -> str:
    return str(fault) or type(fault).__name__
