"""The control API: what runs, what ended, who is registered, how the media servers stand; control of recordings;
reload. Bearer token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mediaserverd.controller.locations import Binding
from mediaserverd.controller.media_server_control import action, detail, listing, rows
from mediaserverd.controller.overview import overview_of
from mediaserverd.controller.recording_control import recording_endpoint
from mediaserverd.controller.story import live_row, live_story
from mediaserverd.controller.switchboard import Switchboard
from mediaserverd.process.role import Reload, ReloadRefused
from mediaserverd.process.status import Endpoint, guarded

RECENT_LIMIT = 50  # ended calls in the list; any of the last thousand can be asked for by its id


def control_routes(switchboard: Switchboard, token: str, reload: Reload | None) -> list[BaseRoute]:
    """For the role's StatusServer."""

    async def calls(_: Request) -> Response:
        running = [live_row(live) for live in switchboard.calls.values()]
        return JSONResponse({"running": running, "ended": switchboard.archive.newest(RECENT_LIMIT)})

    async def call(request: Request) -> Response:
        call_id = request.path_params["call_id"]
        live = switchboard.calls.get(call_id)
        story = switchboard.archive.story(call_id) if live is None else live_story(live)
        if story is None:
            return JSONResponse({"detail": f"no running or recent call has the id {call_id}"}, status_code=404)
        return JSONResponse(story)

    async def ladder(request: Request) -> Response:
        call_id = request.path_params["call_id"]
        found = switchboard.traces.ladder(call_id)
        if found is None:
            return JSONResponse({"detail": f"no message of a call with the id {call_id} is kept"}, status_code=404)
        return JSONResponse(found)

    async def overview(_: Request) -> Response:
        return JSONResponse({**overview_of(switchboard), "media_servers": rows(switchboard.media)})

    async def registrations(_: Request) -> Response:
        return JSONResponse({"registrations": [_binding_row(each) for each in switchboard.locations.everything()]})

    paths: Iterable[tuple[str, Endpoint]] = (
        ("/control/calls", calls),
        ("/control/calls/{call_id}", call),
        ("/control/calls/{call_id:path}/ladder", ladder),
        ("/control/overview", overview),
        ("/control/registrations", registrations),
        ("/control/media-servers", listing(switchboard.media)),
        ("/control/media-servers/{name}", detail(switchboard.media)),
    )
    media_server = guarded(action(switchboard.media), token)
    control = guarded(recording_endpoint(switchboard.calls.get), token)
    return [
        *(Route(path, guarded(endpoint, token)) for path, endpoint in paths),
        *([Route("/control/reload", guarded(_reload_endpoint(reload), token), methods=["POST"])] if reload else ()),
        Route("/control/media-servers/{name}/{action}", media_server, methods=["POST"]),
        Route("/control/calls/{call_id:path}/recording/{action}", control, methods=["POST"]),
    ]


def _reload_endpoint(reload: Reload) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        try:
            return JSONResponse({"restart_needed_for": await reload()})
        except ReloadRefused as refused:
            detail = f"the running configuration stays:\n{refused}"
            return JSONResponse({"detail": detail, "faults": refused.faults}, status_code=422)

    return endpoint


def _binding_row(binding: Binding) -> dict[str, Any]:
    flow = binding.flow
    return {
        "station": binding.station,
        "contact": str(binding.contact),
        "transport": flow.transport,
        "address": f"{flow.remote[0]}:{flow.remote[1]}",
        "connected": flow.connection is not None,
        "expires_at": binding.expires_at,
        "q": binding.q,
        "user_agent": binding.user_agent,
    }
