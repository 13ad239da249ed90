"""The control API's part for media servers: how they stand, approve, drain, activate. Not responsible for who may."""

from __future__ import annotations

from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mediaserverd.controller.ledger import utc_text
from mediaserverd.controller.media_link import MediaFault, MediaLink
from mediaserverd.controller.media_servers import MediaServers
from mediaserverd.controller.selecting import as_candidate
from mediaserverd.policy.selection import RELAYS_ONLY
from mediaserverd.process.http_body import json_body
from mediaserverd.process.status import Endpoint

BODY_LIMIT_BYTES = 4096

log = structlog.get_logger()


def rows(media: MediaServers) -> list[dict[str, Any]]:
    """How each stands."""
    return [_row(link) for link in media.links()]


def listing(media: MediaServers) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return JSONResponse({"media_servers": rows(media)})

    return endpoint


def detail(media: MediaServers) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        link = media.find(request.path_params["name"])
        if link is None:
            return _unknown(request)
        return JSONResponse({**_row(link), **_terms(link)})

    return endpoint


def action(media: MediaServers) -> Endpoint:
    """``approve``, ``drain``, ``activate``; each can be repeated."""

    async def endpoint(request: Request) -> Response:
        link = media.find(request.path_params["name"])
        if link is None:
            return _unknown(request)
        match request.path_params["action"]:
            case "approve":
                return await _approve(media, link, request)
            case "drain" | "activate" as command:
                return await _tell(link, command)
        return _problem(404, "there are approve, drain and activate")

    return endpoint


async def _approve(media: MediaServers, link: MediaLink, request: Request) -> Response:
    """A ``fingerprint`` in the body is what the administrator expects to approve of."""
    try:
        body = await json_body(request, BODY_LIMIT_BYTES)
        expected = str(body.get("fingerprint", ""))
    except (ValueError, AttributeError) as fault:
        return _problem(400, f"the body must be a JSON object with a fingerprint, or empty: {fault}")
    name, state = link.settings.name, link.state()
    if link.approved:
        return JSONResponse(_row(link))
    if not link.fingerprint:
        return _problem(
            409, f"media server {name} is {state.state} ({state.reason}): it has shown no certificate to approve of"
        )
    if expected and expected != link.fingerprint:
        return _problem(409, f"media server {name} shows a certificate with the fingerprint {link.fingerprint}")
    try:
        media.approve(link)
    except OSError as fault:
        return _problem(500, f"the approval cannot be kept: {fault}")
    log.info("media_server_approved", media_server=name, fingerprint=link.fingerprint)
    return JSONResponse(_row(link))


async def _tell(link: MediaLink, command: str) -> Response:
    name = link.settings.name
    if not link.approved:
        return _problem(409, f"media server {name} is not approved; it is not used, and not told anything")
    try:
        reply = await link.request({"command": command})
    except MediaFault as fault:
        return _problem(502, str(fault))
    if reply.get("result") != "ok":
        return _problem(502, f"media server {name} answered: {reply.get('error-reason') or reply.get('result')}")
    await link.ask_load()
    log.info("media_server_told", media_server=name, command=command)
    return JSONResponse(_row(link))


def _row(link: MediaLink) -> dict[str, Any]:
    state = link.state()
    load = state.load
    return {
        "name": state.name,
        "location": state.location,
        "url": link.settings.url,
        "state": state.state.value,
        "reason": state.reason,
        "since": utc_text(state.since),
        "approved": link.approved,
        "fingerprint": link.fingerprint,
        "unavailable": as_candidate(state).unavailable,
        "sessions": load.sessions,
        "max_sessions": load.max_sessions,
        "own_sessions": load.own_sessions,
        "controllers": dict(load.controllers),
        "cpu_permille": load.cpu_permille,
        "disk_free_bytes": load.disk_free_bytes,
        "refuses_recordings": RELAYS_ONLY if state.relays_only else load.refuses_recordings,
        "relays_only": state.relays_only,
    }


def _terms(link: MediaLink) -> dict[str, Any]:
    """What holds, as the server said last; and what is set here, which is all that is known of one never reached."""
    wish = link.settings
    given = {**wish.parameters, **wish.properties}
    here = [{"name": name, "value": value, "origin": wish.origins.get(name, "")} for name, value in given.items()]
    return {"effective": [dict(each) for each in link.effective], "set_here": here}


def _unknown(request: Request) -> JSONResponse:
    return _problem(404, f"no media server is called {request.path_params['name']} here")


def _problem(status: int, text: str) -> JSONResponse:
    return JSONResponse({"detail": text}, status_code=status)
