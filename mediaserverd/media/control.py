"""The media server's own control door, on its status listener: how it stands, drain, activate. Bearer token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mediaserverd.media.controllers import Controllers
from mediaserverd.media.sessions import Sessions
from mediaserverd.process.status import guarded


def control_routes(name: str, sessions: Sessions, controllers: Controllers, token: str) -> list[BaseRoute]:
    """For the role's StatusServer."""

    def described() -> dict[str, Any]:
        state = "active" if not sessions.draining else "draining" if len(sessions) else "deactivated"
        counts = sessions.counts()
        return {
            "name": name,
            "state": state,
            "drained": str(sessions.drain.order or ""),
            "sessions": len(sessions),
            "controllers": {each: counts.get(each, 0) for each in {*controllers.introduced(), *counts}},
            "effective": {each: controllers.terms(each).effective.described() for each in controllers.introduced()},
            "own": controllers.terms("").effective.described(),
        }

    def changed(change: Callable[[], None]) -> Response:
        try:
            change()
        except OSError as fault:
            return JSONResponse({"detail": f"that cannot be kept: {fault.strerror}"}, status_code=500)
        return JSONResponse(described())

    async def show(_: Request) -> Response:
        return JSONResponse(described())

    async def drain(_: Request) -> Response:
        return changed(lambda: sessions.drain.begin("this host"))

    async def activate(_: Request) -> Response:
        return changed(sessions.drain.end)

    return [
        Route("/control/media-server", guarded(show, token)),
        Route("/control/media-server/drain", guarded(drain, token), methods=["POST"]),
        Route("/control/media-server/activate", guarded(activate, token), methods=["POST"]),
    ]
