"""The controller's only loop: what the sockets bring goes through the SIP endpoint to the calls, and what those want
done goes out of the doors. Owns the running calls; a fault stays in its call.

Not responsible for decisions (``admission``, ``call``), nor for one call's commands (``live_call``). Over 400 lines, as
whatever comes from outside comes in here, and goes to its place in a few lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, assert_never

import structlog

from mediaserverd.call import events as on
from mediaserverd.call.story import CallSummary
from mediaserverd.controller import capabilities, metrics
from mediaserverd.controller.admission import Admission, Admitted, Declined
from mediaserverd.controller.approvals import Approvals
from mediaserverd.controller.archive import Archive
from mediaserverd.controller.authentication import Authentication, Unproven
from mediaserverd.controller.call_record import CallRecord
from mediaserverd.controller.call_store import CallStore
from mediaserverd.controller.dialling import Dialling
from mediaserverd.controller.doors import Doors
from mediaserverd.controller.ledger import Ledger
from mediaserverd.controller.live_call import LiveCall
from mediaserverd.controller.live_leg import LiveLeg
from mediaserverd.controller.locations import Locations
from mediaserverd.controller.media_events import media_event
from mediaserverd.controller.media_servers import MediaServers, ourselves
from mediaserverd.controller.registrar import Registrar
from mediaserverd.controller.resolver import Resolver
from mediaserverd.controller.rules import Rules
from mediaserverd.controller.selecting import Choice, Selecting
from mediaserverd.controller.sip import SipSockets
from mediaserverd.controller.sip_kinds import kind_of
from mediaserverd.controller.story import live_story, outcome_of, plain, plain_refusal
from mediaserverd.controller.succession import Succession
from mediaserverd.controller.trace import Traces
from mediaserverd.controller.turnstile import Turnstile
from mediaserverd.controller.unrecorded import Unrecorded
from mediaserverd.policy.selection import SelectionRequest
from mediaserverd.protocol.sip.agenda import Agenda
from mediaserverd.protocol.sip.endpoint import (
    Endpoint,
    Malformed,
    Output,
    RequestReceived,
    Session,
    SessionEnded,
    Transmit,
)
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.grammar import SipError

log = structlog.get_logger()

RETRY_AFTER_S = 10  # told to callers who are refused because of load or a stop
STOP_GRACE_S = 2.0  # at a stop: for BYEs and the ledger


class Switchboard:
    """``rules`` may be exchanged at any time; calls that run keep what they began with."""

    def __init__(self, rules: Rules, locations: Locations, ledger: Ledger, store: CallStore) -> None:
        settings = rules.settings
        self.rules = rules
        self.calls: dict[str, LiveCall] = {}
        self.archive = Archive()
        self.unrecorded = Unrecorded()
        self.traces = Traces(time.time)
        self.locations = locations
        self.sockets = SipSockets(settings.sip, self)
        approvals = Approvals(settings.state_directory)
        self.media = MediaServers(settings.media_servers, ourselves(settings), approvals, self, self.traces)
        self.endpoint = Endpoint(self.sockets.addresses(), lambda: secrets.token_hex(8))
        self.authentication = Authentication(
            settings.realm, settings.stations, settings.lines, settings.digest_algorithms
        )
        self._registrar = Registrar(locations)
        self.selecting = Selecting(self.media.states)
        self._admission = Admission(self.authentication, locations, self.selecting, self.sockets.advertised)
        self._resolver = Resolver(random.random, tuple(self.sockets.addresses()))
        self._loop = asyncio.get_running_loop()
        self._legs: dict[Session, tuple[LiveCall, LiveLeg]] = {}
        self._agenda: Agenda[LiveCall] = Agenda()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at: float | None = None
        self._pumping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = ""  # why no new call is taken
        self._deaf = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._doors = Doors(
            endpoint=self.endpoint,
            dialling=Dialling(self.sockets, self._resolver),
            media=self.media,
            find_servers=self._find_servers,
            turnstile=Turnstile(),
            ledger=ledger,
            store=store,
            traces=self.traces,
            now=self._loop.time,
            attach=self._attach,
            spawn=self._spawn,
            pump=self.pump,
            feed=self.feed,
            is_gone=self.sockets.is_gone,
            finished=self._finished,
        )
        self._succession = Succession(self._doors, self._add, lambda name: self.rules.line(name))

    # Life

    async def start(self, left: Sequence[CallRecord] = ()) -> None:
        """``left``: by an earlier process. Raises StartFault when a listener cannot be opened."""
        await self._succession.restore(left)
        self.media.start()
        await self._succession.hear()
        await self.sockets.start()
        self._succession.go_on()

    async def use(self, rules: Rules) -> None:
        """Other stations, lines, media servers and policies from now on."""
        settings = rules.settings
        self.rules = rules
        self.authentication.reconfigure(settings.realm, settings.stations, settings.lines, settings.digest_algorithms)
        self.locations.forget_others_than(station.name for station in settings.stations)
        await self.media.reconfigure(settings.media_servers, ourselves(settings))

    async def drain(self) -> None:
        self._refusing = "this controller is about to stop"
        await self._idle.wait()

    async def hand_over(self) -> None:
        """The calls that are up are left to the next process."""
        self._refusing = "this controller restarts"
        await self._succession.hand_over(self.calls.values())
        self._deaf = True
        self.calls.clear()
        self._legs.clear()
        self._idle.set()

    async def stop(self) -> None:
        self._refusing = "this controller stops"
        self._succession.stop()
        for live in list(self.calls.values()):
            self._feed(live, on.EndRequested("shutdown"))
        self.pump()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await self._idle.wait()
                await asyncio.gather(*self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.media.stop()
        await self.sockets.stop()
        if self._timer is not None:
            self._timer.cancel()

    # The sockets

    def sip_received(self, data: bytes, flow: Flow) -> None:
        if self._deaf:
            return  # the next process hears it when it is repeated
        metrics.sip_received.labels(kind_of(data)).inc()
        self.traces.received(data)
        try:
            self.endpoint.receive_bytes(data, flow, self._loop.time())
        except Exception:
            log.exception("sip_fault", source=flow.remote, transport=flow.transport)
        self.pump()

    def sip_unreachable(self, flow: Flow, reason: str) -> None:
        log.debug("sip_unreachable", remote=flow.remote, transport=flow.transport, reason=reason)
        self.endpoint.transport_failed(flow, self._loop.time())
        if flow.connection is not None:
            self.locations.forget_flow(flow)
        self.pump()

    # The media servers

    def media_lost(self, server: str, reason: str) -> None:
        self.traces.lost(server, reason)
        self._feed_all(on.MediaLost(server, reason))

    def media_listed(self, server: str, call_ids: Collection[str] | None) -> None:
        self._succession.media_listed(server, call_ids)

    def media_usable(self, server: str) -> None:
        self._feed_all(on.MediaUsable(server))

    def _feed_all(self, event: on.MediaLost | on.MediaUsable) -> None:
        for live in list(self.calls.values()):
            if not self._succession.keeps(live, event):
                self._feed(live, event)
        self.pump()

    def media_notified(self, server: str, notification: Mapping[str, Any]) -> None:
        live = self.calls.get(str(notification.get("call-id")))
        if live is None:
            return
        self.traces.notified(server, notification)
        event = media_event(server, notification)
        if event is not None and not self._succession.keeps(live, event):
            self.feed(live, event)

    def unheard(self, kind: str) -> int:
        """How many calls have this fault of their audio."""
        return sum(live.call.hearing.fault == kind for live in self.calls.values())

    def owns_media_call(self, server: str, call_id: str) -> bool | None:
        name, _, _ = call_id.rpartition("-")
        if name != self.rules.settings.name:
            return None
        live = self.calls.get(call_id)
        return live is not None and server in live.holding

    # The loop

    def pump(self) -> None:
        """Everything that the endpoint has to say is dealt with before the next input."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while outputs := self.endpoint.drain():
                for output in outputs:
                    self._take_guarded(output)
        finally:
            self._pumping = False
        self._arm()

    def _arm(self) -> None:
        """One timer for all transactions and all calls."""
        wanted = min((at for at in (self.endpoint.deadline, self._agenda.deadline) if at is not None), default=None)
        if wanted == self._wake_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = wanted
        self._timer = None if wanted is None else self._loop.call_at(wanted, self._wake)

    def _wake(self) -> None:
        self._timer = self._wake_at = None
        now = self._loop.time()
        self.endpoint.advance(now)
        while (live := self._agenda.due(now)) is not None:
            self._feed(live, on.Woken())
        self.pump()

    def _take_guarded(self, output: Output) -> None:
        """Faults of calls and requests are caught closer to them; this keeps the loop turning whatever is wrong."""
        try:
            self._take(output)
        except Exception:
            log.exception("switchboard_fault", output=type(output).__name__)

    def _take(self, output: Output) -> None:
        if isinstance(output, Transmit):
            metrics.sip_sent.labels(kind_of(output.data)).inc()
            self.traces.sent(output.data)
            self.sockets.send(output.data, output.flow)
        elif isinstance(output, Malformed):
            self.sockets.sip_malformed(output.source, output.error)
        elif isinstance(output, RequestReceived):
            self._take_request(output)
        elif output.session in self._legs:
            live, leg = self._legs[output.session]
            if isinstance(output, SessionEnded):
                del self._legs[output.session]
            self._guard(live, lambda: live.take(leg, output))

    def feed(self, live: LiveCall, event: on.Event) -> None:
        """From a piece of work that is not the switchboard's own."""
        self._feed(live, event)
        self.pump()

    def _feed(self, live: LiveCall, event: on.Event) -> None:
        self._guard(live, lambda: live.feed(event))

    def _guard(self, live: LiveCall, work: Callable[[], None]) -> None:
        """A fault in one call ends that call, and no other."""
        try:
            work()
        except Exception:
            self._end_faulty(live)
        self._settle(live)

    def _settle(self, live: LiveCall) -> None:
        """After everything that may have changed a call."""
        self._agenda.note(live)
        self.unrecorded.note(live)
        live.keep()

    def _end_faulty(self, live: LiveCall) -> None:
        metrics.call_faults.inc()
        log.exception("call_fault", call_id=live.id)
        if not live.over:
            self._finished(live, live.abort("a fault of this daemon; see call_fault in the log"))

    def _spawn(self, live: LiveCall, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(live, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, live: LiveCall, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            self._end_faulty(live)
        self._settle(live)
        self.pump()

    # Requests

    def _take_request(self, received: RequestReceived) -> None:
        try:
            self._answer_request(received)
        except SipError as error:
            self._reply(received, error.status, error.reason, error.headers)
        except Exception:
            log.exception("request_fault", method=received.request.method, source=received.source.remote)
            self._reply(received, 500)

    def _answer_request(self, received: RequestReceived) -> None:
        capabilities.check(received.request)
        method = received.request.method
        known = self._legs.get(received.session) if received.session is not None else None
        if method == "OPTIONS":
            self._reply(received, 200, headers=capabilities.CAPABILITIES.headers())
        elif known is not None:
            live, leg = known
            self._guard(live, lambda: live.take(leg, received))
        elif method == "REGISTER":
            self._register(received)
        elif method == "INVITE" and received.session is not None:
            self._invited(received, received.session)
        else:
            self._reply(received, 481)

    def _register(self, received: RequestReceived) -> None:
        request, source = received.request, received.source
        proven = self.authentication.station_of(request, source)
        if isinstance(proven, Unproven):
            self._reply(received, proven.status, headers=proven.headers)
            return
        answer = self._registrar.register(request, source, proven)
        self._reply(received, answer.status, answer.reason, answer.headers, proven=True)
        if source.connection is not None and answer.status == 200:
            self._move_sessions(proven.name, source)

    def _move_sessions(self, station: str, flow: Flow) -> None:
        """A phone is back on a new connection: what is left of its calls goes there."""
        for session, (live, leg) in self._legs.items():
            if (
                leg.station == station
                and session.flow.transport == flow.transport
                and self.sockets.is_gone(session.flow)
            ):
                session.flow = flow
                leg.back.set()
                live.keep()

    def _invited(self, received: RequestReceived, session: Session) -> None:
        request = received.request
        refusal = self.endpoint.hop_refusal(request)
        if refusal is not None:
            self._reply(received, refusal)
            return
        if self._refusing or len(self.calls) >= self.rules.settings.max_calls:
            metrics.calls_ended.labels("overload").inc()
            self._reply(received, 503, headers=[("Retry-After", RETRY_AFTER_S)])
            return
        admitted = self._admission.admit(self.rules, request, received.source)
        match admitted:
            case Unproven():
                self._reply(received, admitted.status, headers=admitted.headers)
            case Declined():
                self._decline(received, admitted)
            case Admitted():
                self._begin(admitted, received, session)
            case _:
                assert_never(admitted)

    def _add(self, live: LiveCall) -> None:
        self.calls[live.id] = live
        self._idle.clear()
        metrics.calls_active.set(len(self.calls))

    def _decline(self, received: RequestReceived, declined: Declined) -> None:
        self._reply(received, declined.status, declined.reason, proven=True)
        metrics.calls_ended.labels("declined").inc()
        log.info("call_ended", **plain_refusal(declined))

    def _begin(self, admitted: Admitted, received: RequestReceived, session: Session) -> None:
        live = LiveCall.admitted(admitted, received.transaction, self._doors)
        self._add(live)
        self._guard(live, lambda: live.begin(admitted.setup.calling.station, session))

    def _reply(
        self,
        received: RequestReceived,
        status: int,
        reason: str = "",
        headers: Iterable[tuple[str, object]] = (),
        *,
        proven: bool = False,
    ) -> None:
        """``proven``: we know who asks. Others are answered once, unless they are in a call."""
        once = not proven and received.session not in self._legs
        self.endpoint.reply(received.transaction, status, self._loop.time(), reason=reason, headers=headers, once=once)

    # The calls

    def _find_servers(self, asked: SelectionRequest, unwanted: Mapping[str, str], *, relay_will_do: bool) -> Choice:
        return self.selecting.choose(self.rules.selection, asked, unwanted, relay_will_do=relay_will_do)

    def _attach(self, session: Session, live: LiveCall, leg: LiveLeg) -> None:
        self._legs[session] = (live, leg)
        who = leg.station or (live.call.setup.calling.number if leg.id == on.CALLER else "")
        self.traces.follow(session.call_id, live.id, leg.id, who, session.flow)

    def _finished(self, live: LiveCall, summary: CallSummary) -> None:
        self.calls.pop(live.id, None)
        live.keep()
        metrics.calls_active.set(len(self.calls))
        metrics.calls_ended.labels(outcome_of(summary)).inc()
        self.archive.keep(live.id, live_story(live, summary))
        self.traces.ended(live.id)
        log.info("call_ended", **plain(summary), media_servers=sorted(live.servers))
        if not self.calls:
            self._idle.set()
