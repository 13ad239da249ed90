"""One connection to one media server: ng in JSON over a WebSocket with TLS, kept up for ever.

A server is used once it is trusted, approved of, and has taken our name and terms. It counts as lost when its
connection breaks or when it is silent for ``SILENCE_TICKS`` pings. Not responsible for what is asked of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import json
import random
import secrets
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import structlog
import websockets
from websockets.asyncio.client import ClientConnection, connect

from mediaserverd.controller import metrics
from mediaserverd.controller.approvals import Approvals, fingerprint_of
from mediaserverd.controller.media_load import MediaLoad, load_of
from mediaserverd.controller.settings import MediaServerLink
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, client_context
from mediaserverd.process.tokens import read_token

log = structlog.get_logger()

SUBPROTOCOL = websockets.Subprotocol("ng.rtpengine.com")
PING_INTERVAL_S = 0.2
# Pings without any word from the server. Counted, not timed: our own stalls raise no false alarm. So a dead server is
# known as such between 4 and 5 intervals after its last word: within 1 s.
SILENCE_TICKS = 4
REQUEST_TIMEOUT_S = 2.0  # rtpengine's clients wait 1 s; a phone's ring-back can wait a little longer than that
CONNECT_TIMEOUT_S = 5.0
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0  # a media server that is back carries calls again within this
WAITING_LIMIT = 10_000  # requests without an answer on one connection
MESSAGE_LIMIT = 1 << 20  # bytes; SDP is a few KB, `list` with 10,000 calls is 400 KB
LIST_LIMIT = 10_000  # calls asked for at a reconnect
TERMS_RETRY_S = 2.0  # after the server refused our name or terms: a namesake may leave, an address may appear


class MediaState(enum.StrEnum):
    NOT_CONNECTED = "not-connected"
    AUTHENTICATION_FAILURE = "authentication-failure"
    CONNECTION_FAILURE = "connection-failure"
    WAITING = "waiting"  # connected; not approved of, or has not said yet what it can take
    ACTIVE = "active"
    DRAINING = "draining"
    DEACTIVATED = "deactivated"  # drained, and nothing runs on it any more


class MediaFault(Exception):
    """The media server did not answer. The text says why."""


@dataclass(frozen=True, slots=True)
class LinkState:
    name: str
    location: str
    state: MediaState
    reason: str
    since: datetime
    load: MediaLoad = field(default_factory=MediaLoad)
    relays_only: bool = False  # it is an rtpengine


@dataclass(frozen=True, slots=True)
class Ourselves:
    """Who this controller is to media servers. ``instance`` outlives restarts: a namesake has another."""

    name: str
    instance: str
    authority: Path
    certificate: ServerTls | None = None


class MediaServerEvents(Protocol):
    """Who hears what media servers do unasked."""

    def media_lost(self, server: str, reason: str) -> None: ...
    def media_listed(self, server: str, call_ids: Collection[str] | None) -> None:
        """What it has when a connection to it begins; None: more than it can list."""

    def media_usable(self, server: str) -> None:
        """It takes sessions, and did not before."""

    def media_notified(self, server: str, notification: Mapping[str, Any]) -> None: ...
    def owns_media_call(self, server: str, call_id: str) -> bool | None:
        """True: a call of ours that is on that server; False: of ours, but gone; None: somebody else's."""


class MediaLink:
    """``start`` it once; it connects, reconnects and tells until ``stop``."""

    def __init__(
        self, settings: MediaServerLink, ourselves: Ourselves, approvals: Approvals, events: MediaServerEvents
    ) -> None:
        self.settings = settings
        self.fingerprint = ""  # of the certificate that it shows
        self.effective: Sequence[Mapping[str, Any]] = ()  # what it says that holds for our calls
        self._ourselves = ourselves
        self._approvals = approvals
        self._events = events
        self._state = LinkState(
            settings.name, settings.location, MediaState.NOT_CONNECTED, "not tried yet", datetime.now(UTC)
        )
        self._connection: ClientConnection | None = None
        self._admitted = False  # it is approved of, and knows us
        self._relays_only = False
        self._terms_refused = ""  # new terms, while the former ones hold
        self._nudge = asyncio.Event()  # something changed that it was waiting for
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._cookies = (f"{secrets.token_hex(4)}_{number}" for number in itertools.count(1))
        self._heard = 0  # messages from the server, ever
        self._task: asyncio.Task[None] | None = None
        self._configuring: asyncio.Task[None] | None = None

    def state(self) -> LinkState:
        return self._state

    @property
    def approved(self) -> bool:
        return self.settings.trusted or self._approvals.approved(self.settings.name, self.fingerprint)

    def look_again(self) -> None:
        """An administrator has approved of it, or mended something."""
        self._nudge.set()

    def reconfigure(self, settings: MediaServerLink) -> None:
        """Other terms, on the same connection."""
        self.settings = settings
        self._nudge.set()
        if self._admitted:
            self._configuring = asyncio.create_task(self._tell_new_terms())

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_connected(), name=f"media-{self.settings.name}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._become(MediaState.NOT_CONNECTED, "stopped")

    async def request(self, command: Mapping[str, Any], timeout_s: float = REQUEST_TIMEOUT_S) -> dict[str, Any]:
        """The reply to one command. Raises ``MediaFault``."""
        connection = self._connection
        if connection is None:
            raise MediaFault(f"media server {self.settings.name} is {self._state.state}: {self._state.reason}")
        if len(self._waiting) >= WAITING_LIMIT:
            raise MediaFault(f"media server {self.settings.name} leaves {WAITING_LIMIT} requests unanswered")
        cookie = next(self._cookies)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[cookie] = reply
        try:
            async with asyncio.timeout(timeout_s):
                await connection.send(f"{cookie} {json.dumps(command, separators=(',', ':'))}")
                return await reply
        except TimeoutError:
            raise MediaFault(f"media server {self.settings.name}: no answer within {timeout_s:g} s") from None
        except websockets.ConnectionClosed as fault:
            raise MediaFault(f"media server {self.settings.name}: {fault}") from None
        finally:
            self._waiting.pop(cookie, None)

    async def _keep_connected(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            was_active = await self._one_connection()
            retry_s = FIRST_RETRY_S if was_active else min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries

    async def _one_connection(self) -> bool:
        """Connect and serve until it breaks. True if the server was usable."""
        try:
            connection = await self._connect()
        except (StartFault, OSError, websockets.InvalidHandshake, websockets.InvalidURI, TimeoutError) as fault:
            self._become(*_why_not_connected(self.settings, fault))
            return False
        self._connection = connection
        tls = connection.transport.get_extra_info("ssl_object")
        self.fingerprint = fingerprint_of(tls.getpeercert(binary_form=True) if tls else None)
        self._admitted, self._terms_refused = False, ""
        self._become(MediaState.WAITING, "connected, not asked yet")
        pinger = asyncio.create_task(self._ping_until_silent())
        reader = asyncio.create_task(self._read(connection))
        try:
            done, _ = await asyncio.wait((pinger, reader), return_when=asyncio.FIRST_COMPLETED)
            return self._lose(done.pop().result())
        except asyncio.CancelledError:
            self._lose("this controller let it go")
            raise
        finally:
            await _end(pinger, reader)
            connection.transport.abort()

    def _lose(self, reason: str) -> bool:
        was_usable = self._state.state is not MediaState.WAITING
        self._connection, self._admitted = None, False
        self._become(MediaState.CONNECTION_FAILURE, reason)
        self._fail_waiting(reason)
        if was_usable:
            self._events.media_lost(self.settings.name, reason)
        return was_usable

    async def _connect(self) -> ClientConnection:
        us, token_file = self._ourselves, self.settings.token_file
        headers = {"Authorization": f"Bearer {read_token(token_file)}"} if token_file else {}
        is_secure = self.settings.url.startswith("wss:")
        return await connect(
            self.settings.url,
            ssl=client_context(us.authority, us.certificate) if is_secure else None,
            subprotocols=[SUBPROTOCOL],
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=CONNECT_TIMEOUT_S,
            ping_interval=None,  # ng's own ping also tells the load
            max_size=MESSAGE_LIMIT,
        )

    async def _read(self, connection: ClientConnection) -> str:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                self._heard += 1
                self._take(message)
        return f"the connection was closed ({connection.close_code} {connection.close_reason})".replace(" )", ")")

    def _take(self, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode(errors="replace")
        cookie, _, document = text.partition(" ")
        try:
            reply = json.loads(document)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            log.warning("media_server_nonsense", media_server=self.settings.name, text=text[:100])
        elif cookie == "*":
            self._events.media_notified(self.settings.name, reply)
        elif (waiting := self._waiting.get(cookie)) is not None and not waiting.done():
            waiting.set_result(reply)

    async def _ping_until_silent(self) -> str:
        connected = asyncio.create_task(self._first_words())
        silent, heard = 0, self._heard
        pings: set[asyncio.Task[None]] = {connected}
        try:
            while silent < SILENCE_TICKS:
                ping = asyncio.create_task(self._ping())
                pings.add(ping)
                ping.add_done_callback(pings.discard)
                await asyncio.sleep(PING_INTERVAL_S)
                silent, heard = (silent + 1, heard) if self._heard == heard else (0, self._heard)
        finally:
            await _end(*pings)
        return f"silent for {SILENCE_TICKS * PING_INTERVAL_S:g} s"

    async def _first_words(self) -> None:
        """Until it may be used. Before that, its calls that are gone here are ended: no orphan keeps recording, and a
        call that comes back to it finds nothing of itself."""
        with contextlib.suppress(MediaFault):
            while reason := self._why_not_approved() or await self._why_no_terms():
                self._become(MediaState.WAITING, reason)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), TERMS_RETRY_S)
                self._nudge.clear()
            try:
                await self._end_orphans()
            finally:
                self._admitted = True

    async def _end_orphans(self) -> None:
        reply = await self.request({"command": "list", "limit": LIST_LIMIT}, timeout_s=CONNECT_TIMEOUT_S)
        calls = reply.get("calls", ())
        known = {str(call_id) for call_id in calls}
        self._events.media_listed(self.settings.name, known if len(known) < LIST_LIMIT else None)
        for missed in reply.get("notifications", ()):
            self._events.media_notified(self.settings.name, missed)
        for call_id in calls:
            if self._events.owns_media_call(self.settings.name, str(call_id)) is False:
                log.warning("orphan_media_ended", media_server=self.settings.name, call_id=call_id)
                await self.request({"command": "delete", "call-id": call_id}, timeout_s=CONNECT_TIMEOUT_S)

    def _why_not_approved(self) -> str:
        if self.approved:
            return ""
        name, former = self.settings.name, self._approvals.former(self.settings.name)
        how = f"its certificate has the fingerprint {self.fingerprint or 'of none'}"
        if former:
            how += f", and {former} was approved of"
        return f"not approved: {how}; `mediaserverd media-server approve {name}` approves of it"

    async def _why_no_terms(self) -> str:
        """Tells who we are and what we want. An rtpengine knows nothing of that, and is used all the same."""
        wish, us = self.settings, self._ourselves
        who = {"command": "configure", "controller": us.name, "instance": us.instance}
        terms = {"parameters": wish.parameters, "properties": wish.properties, "origins": wish.origins}
        try:
            reply = await self.request({**who, **terms}, timeout_s=CONNECT_TIMEOUT_S)
        except MediaFault as fault:
            return str(fault)
        self._relays_only = reply.get("error-reason") == "Unrecognized command"
        if reply.get("result") != "ok" and not self._relays_only:
            return f"it refuses our terms: {reply.get('error-reason') or reply.get('result')}"
        effective = reply.get("effective", ())
        self.effective = effective if isinstance(effective, list) else ()
        return ""

    async def _tell_new_terms(self) -> None:
        self._terms_refused = await self._why_no_terms()
        if self._terms_refused:
            log.error("media_server_terms_refused", media_server=self.settings.name, reason=self._terms_refused)

    async def ask_load(self) -> None:
        """Know now, and not at the next tick, how it stands."""
        await self._ping()

    async def _ping(self) -> None:
        with contextlib.suppress(MediaFault):
            reply = await self.request({"command": "ping"})
            self._note_load(reply)

    def _note_load(self, reply: Mapping[str, Any]) -> None:
        load = load_of(reply.get("load"))
        if not self._admitted:
            return
        state, reason = MediaState.ACTIVE, self._terms_refused or "takes sessions"
        if load.draining:
            order = f"drained {load.drained}" if load.drained else "it stops"
            state, reason = MediaState.DRAINING, f"{order}; {load.sessions} sessions still run"
            if not load.sessions:
                state, reason = MediaState.DEACTIVATED, order
        self._become(state, reason, load)

    def _become(self, state: MediaState, reason: str, load: MediaLoad | None = None) -> None:
        before = self._state
        since = before.since if before.state is state else datetime.now(UTC)
        self._state = LinkState(
            self.settings.name, self.settings.location, state, reason, since, load or MediaLoad(), self._relays_only
        )
        if before.state is state and (before.reason == reason or state in (MediaState.DRAINING, MediaState.WAITING)):
            return
        metrics.media_server_state.labels(self.settings.name, before.state.value).set(0)
        metrics.media_server_state.labels(self.settings.name, state.value).set(1)
        log.info("media_server_state", media_server=self.settings.name, state=state.value, reason=reason)
        if state is MediaState.ACTIVE and before.state is not state:
            self._events.media_usable(self.settings.name)

    def _fail_waiting(self, reason: str) -> None:
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(MediaFault(f"media server {self.settings.name}: {reason}"))


def _why_not_connected(settings: MediaServerLink, fault: Exception) -> tuple[MediaState, str]:
    match fault:
        case websockets.InvalidStatus() if fault.response.status_code in (401, 403):
            return (
                MediaState.AUTHENTICATION_FAILURE,
                f"{settings.url} refuses {_what_we_showed(settings)} ({fault.response.status_code})",
            )
        case ssl.SSLError() if not isinstance(fault, ssl.SSLCertVerificationError) and "ALERT" in str(fault.reason):
            return MediaState.AUTHENTICATION_FAILURE, f"{settings.url} refuses our certificate: {fault.reason}"
        case ssl.SSLCertVerificationError():
            return MediaState.AUTHENTICATION_FAILURE, f"{settings.url}: certificate: {fault.verify_message}"
        case TimeoutError():
            return MediaState.CONNECTION_FAILURE, f"{settings.url}: no answer within {CONNECT_TIMEOUT_S:g} s"
        case StartFault():
            return MediaState.AUTHENTICATION_FAILURE, str(fault)
        case _:
            return MediaState.CONNECTION_FAILURE, f"{settings.url}: {fault}"


def _what_we_showed(settings: MediaServerLink) -> str:
    if settings.token_file is None:
        return "our certificate: it is no controller's of that site, and no ng_token_file is given"
    return f"the token in {settings.token_file}"


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
