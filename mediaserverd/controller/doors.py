"""What a running call acts through. Not responsible for when (``live_call``)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mediaserverd.call import events as on
from mediaserverd.call.story import CallSummary
from mediaserverd.controller.call_store import CallStore
from mediaserverd.controller.dialling import Dialling
from mediaserverd.controller.ledger import Ledger
from mediaserverd.controller.live_leg import LiveLeg
from mediaserverd.controller.media_servers import MediaServers
from mediaserverd.controller.selecting import Choice
from mediaserverd.controller.turnstile import Turnstile
from mediaserverd.policy.selection import SelectionRequest
from mediaserverd.protocol.sip.endpoint import Endpoint, Session
from mediaserverd.protocol.sip.flow import Flow

if TYPE_CHECKING:
    from mediaserverd.controller.live_call import LiveCall


@dataclass(frozen=True, slots=True)
class Doors:
    """``spawn`` runs a piece of the call's work under the switchboard's guard; ``pump`` sends what the endpoint has
    ready, which happens by itself when such a piece ends; ``feed`` is for events that come from outside of such a
    piece; ``is_gone``: the flow was a connection that is closed. ``find_servers`` asks selection; the mapping names
    servers that are not wanted, and why."""

    endpoint: Endpoint
    dialling: Dialling
    media: MediaServers
    find_servers: Callable[[SelectionRequest, Mapping[str, str]], Choice]
    turnstile: Turnstile
    ledger: Ledger
    store: CallStore
    now: Callable[[], float]
    attach: Callable[[Session, LiveCall, LiveLeg], None]
    spawn: Callable[[LiveCall, Coroutine[Any, Any, None]], None]
    pump: Callable[[], None]
    feed: Callable[[LiveCall, on.Event], None]
    is_gone: Callable[[Flow], bool]
    finished: Callable[[LiveCall, CallSummary], None]
