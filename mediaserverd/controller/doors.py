"""What a running call acts through. Not responsible for when (``live_call``)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mediaserverd.call import events as on
from mediaserverd.call.story import CallSummary
from mediaserverd.controller.call_store import CallStore
from mediaserverd.controller.dialling import Dialling
from mediaserverd.controller.ledger import Ledger
from mediaserverd.controller.live_leg import LiveLeg
from mediaserverd.controller.media_servers import MediaServers
from mediaserverd.controller.selecting import Choice
from mediaserverd.controller.trace import Traces
from mediaserverd.controller.turnstile import Turnstile
from mediaserverd.policy.selection import SelectionRequest
from mediaserverd.protocol.sip.endpoint import Endpoint, Session
from mediaserverd.protocol.sip.flow import Flow

if TYPE_CHECKING:
    from mediaserverd.controller.live_call import LiveCall


class FindServers(Protocol):
    """``unwanted`` names servers, and why not. ``relay_will_do``: the call needs one, be it unable to record."""

    def __call__(self, asked: SelectionRequest, unwanted: Mapping[str, str], *, relay_will_do: bool) -> Choice: ...


@dataclass(frozen=True, slots=True)
class Doors:
    """``spawn`` runs a piece of the call's work under the switchboard's guard; ``pump`` sends what the endpoint has
    ready, which happens by itself when such a piece ends; ``feed`` is for events that come from outside of such a
    piece; ``is_gone``: the flow was a connection that is closed. ``find_servers`` asks selection."""

    endpoint: Endpoint
    dialling: Dialling
    media: MediaServers
    find_servers: FindServers
    turnstile: Turnstile
    ledger: Ledger
    store: CallStore
    traces: Traces
    now: Callable[[], float]
    attach: Callable[[Session, LiveCall, LiveLeg], None]
    spawn: Callable[[LiveCall, Coroutine[Any, Any, None]], None]
    pump: Callable[[], None]
    feed: Callable[[LiveCall, on.Event], None]
    is_gone: Callable[[Flow], bool]
    finished: Callable[[LiveCall, CallSummary], None]
