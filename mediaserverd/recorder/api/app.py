"""Puts the API together: routes, errors, OpenAPI."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi_offline import FastAPIOffline

from mediaserverd.recorder.api import problems
from mediaserverd.recorder.api.access import Access
from mediaserverd.recorder.api.audio import AudioRoutes
from mediaserverd.recorder.api.recordings import RecordingRoutes
from mediaserverd.recorder.ledger import LedgerDoor
from mediaserverd.recorder.tokens import Scope

DESCRIPTION = """Recordings of calls: find them, listen, delete. Every request needs `Authorization: Bearer TOKEN`;
`mediaserverd token create` makes one. Times are ISO 8601 with a time zone. Errors are RFC 9457 problem documents."""


def make_app(recordings: RecordingRoutes, audio: AudioRoutes, ledger: LedgerDoor, access: Access) -> FastAPI:
    # The page of the API with its scripts from this host: FastAPI's own loads them from the internet.
    app = FastAPIOffline(
        title="mediaserverd recorder", description=DESCRIPTION, version=version("mediaserverd"), redoc_url=None
    )
    problems.install(app)
    app.include_router(recordings.router(), prefix="/api/v1")
    app.include_router(audio.router(), prefix="/api/v1")

    @app.post("/internal/ledger", include_in_schema=False, dependencies=[Depends(access.require(Scope.LEDGER))])
    async def take_ledger(request: Request) -> dict[str, Any]:
        return await ledger.take(request)

    return app
