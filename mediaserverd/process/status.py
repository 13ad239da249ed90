"""The status listener of a role: /metrics, /health/live, /health/ready. Plain HTTP, meant for loopback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mediaserverd.process.http import HttpServer
from mediaserverd.process.tokens import bearer_token, same_token

Readiness = Callable[[], Mapping[str, str]]
Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(endpoint: Endpoint, token: str) -> Endpoint:
    """For those who show the control token alone."""

    async def guarded_endpoint(request: Request) -> Response:
        if not same_token(bearer_token(request.headers.get("Authorization")), token):
            return JSONResponse(
                {"detail": "give the control token"}, status_code=401, headers={"WWW-Authenticate": "Bearer"}
            )
        return await endpoint(request)

    return guarded_endpoint


class StatusServer:
    """``readiness`` tells part -> why it is not ready; empty means ready. ``routes`` are the role's own additions."""

    def __init__(self, address: str, port: int, readiness: Readiness, routes: Sequence[BaseRoute] = ()) -> None:
        self._readiness = readiness
        own = [Route("/metrics", _metrics), Route("/health/live", _live), Route("/health/ready", self._ready)]
        self._server = HttpServer(Starlette(routes=[*own, *routes]), address, port)

    @property
    def port(self) -> int:
        return self._server.port

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def _ready(self, _: Request) -> Response:
        missing = dict(self._readiness())
        return JSONResponse({"ready": not missing, "missing": missing}, status_code=503 if missing else 200)


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _live(_: Request) -> Response:
    return JSONResponse({"live": True})
