"""The control API's requests that start, stop, pause and resume a call's recordings (docs/wire.md 4).

Reads what was asked, waits for the call's answer, tells it. What may be done, and when, is decided in ``call.control``.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mediaserverd.call import events as on
from mediaserverd.call.commands import Grant
from mediaserverd.call.events import ControlEvent, ControlRequest
from mediaserverd.call.setup import PauseMode
from mediaserverd.controller import metrics
from mediaserverd.controller.live_call import LiveCall
from mediaserverd.controller.settings import MAX_LOOK_BACK_S
from mediaserverd.controller.story import pause_row, recording_row
from mediaserverd.process.http_body import json_body

BODY_LIMIT_BYTES = 4096
ANSWER_LIMIT_S = 8.0  # above what the media server and the ledger's disk are given together
MAX_PAUSE_S = 86_400  # a day: longer than any call; 0 is without end


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    by: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)] = "control API"


class _Start(_Asked):
    pre_record_seconds: float | None = Field(None, ge=0, le=MAX_LOOK_BACK_S)

    def event(self, request: ControlRequest) -> ControlEvent:
        wanted = self.pre_record_seconds
        look_back_ms = None if wanted is None else round(wanted * 1000)
        return on.StartRequested(request, self.by, secrets.token_hex(16), look_back_ms)


class _Snip(_Asked):
    def event(self, request: ControlRequest) -> ControlEvent:
        return on.StartRequested(request, self.by, secrets.token_hex(16), kind="snippet")


class _Stop(_Asked):
    def event(self, request: ControlRequest) -> ControlEvent:
        return on.StopRequested(request, self.by)


class _Pause(_Asked):
    secure: bool = False
    mode: PauseMode | None = None
    seconds: float | None = Field(None, ge=0, le=MAX_PAUSE_S)

    def event(self, request: ControlRequest) -> ControlEvent:
        return on.PauseRequested(request, self.by, self.secure, self.seconds, self.mode)


class _Resume(_Asked):
    def event(self, request: ControlRequest) -> ControlEvent:
        return on.ResumeRequested(request, self.by)


_ACTIONS: Mapping[str, type[_Start] | type[_Snip] | type[_Stop] | type[_Pause] | type[_Resume]] = {
    "start": _Start,
    "snip": _Snip,
    "stop": _Stop,
    "pause": _Pause,
    "resume": _Resume,
}


def recording_endpoint(find: Callable[[str], LiveCall | None]) -> Callable[[Request], Awaitable[Response]]:
    """For ``POST /control/calls/{call_id}/recording/{action}``."""

    async def endpoint(request: Request) -> Response:
        call_id, action = request.path_params["call_id"], request.path_params["action"]
        if action not in _ACTIONS:
            return _refusal(404, f"there is no {action}; there are {', '.join(_ACTIONS)}")
        live = find(call_id)
        if live is None:
            return _refusal(404, f"no call with the id {call_id} runs")
        answer = await _answer(live, action, request)
        metrics.recording_control.labels(action, answer.status_code).inc()
        return answer

    return endpoint


async def _answer(live: LiveCall, action: str, request: Request) -> Response:
    try:
        asked = _ACTIONS[action].model_validate(await json_body(request, BODY_LIMIT_BYTES))
    except ValueError as fault:
        return _refusal(400, _faults(fault))
    try:
        answer = await live.control(asked.event, ANSWER_LIMIT_S)
    except TimeoutError:
        return _refusal(504, f"no answer within {ANSWER_LIMIT_S:g} s; ask for the state of the call")
    if isinstance(answer, Grant):
        return JSONResponse({"recording": recording_row(live), "pause": pause_row(live)})
    return _refusal(502 if answer.uncertain else 409, answer.reason)


def _faults(fault: ValueError) -> str:
    if not isinstance(fault, ValidationError):
        return f"the body must be a JSON object: {fault}"
    errors = fault.errors(include_url=False, include_context=False, include_input=False)[:5]
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in errors)


def _refusal(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status_code=status)
