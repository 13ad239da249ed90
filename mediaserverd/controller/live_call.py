"""One running call between its state machine and the doors: SIP, ng, ledger.

Commands are carried out in order, but a ledger entry holds back what concerns the recording until it is on disk. Not
responsible for what should happen (``call.b2bua``), nor for how sessions speak to the call (``leg_events``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.call.b2bua import Call
from mediaserverd.call.events import CALLER, ControlRequest, LegId
from mediaserverd.call.ledger import Ended, EndReason, Expected, Failed, LedgerEntry
from mediaserverd.call.story import CallSummary
from mediaserverd.controller import metrics
from mediaserverd.controller.admission import Admitted
from mediaserverd.controller.database import DatabaseFault
from mediaserverd.controller.dialling import ContactWay, LineWay
from mediaserverd.controller.doors import Doors
from mediaserverd.controller.leg_events import SessionEvent, call_events, has_room_for_info, sdp_of
from mediaserverd.controller.live_leg import LiveLeg
from mediaserverd.controller.media_link import MediaFault
from mediaserverd.controller.ng_commands import Wish, fault_of, ng_command, ng_outcome, undo_recording
from mediaserverd.controller.selecting import MAX_CHOICES, for_operation
from mediaserverd.protocol.sip.dialog import MAX_FORWARDS
from mediaserverd.protocol.sip.endpoint import (
    Ending,
    RequestReceived,
    ServerTransaction,
    Session,
    SessionEnded,
)
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.headers import Reason
from mediaserverd.protocol.sip.message import Request, Response
from mediaserverd.protocol.sip.session import Authorize, SessionBusyError

log = structlog.get_logger()

LEDGER_WAIT_S = 2.0  # a disk that is slower than this does not hold up the recording; the entry is written all the same

# A recording is announced before it starts, and a call is over when its last entry is kept. SIP never waits for a disk.
_BEHIND_THE_LEDGER = (
    do.WriteLedger,
    do.StartRecording,
    do.StopRecording,
    do.PauseRecording,
    do.ResumeRecording,
    do.RecordEvent,
    do.MediaDelete,
    do.Finished,
)


class LiveCall:
    """``entry`` is the agenda's."""

    def __init__(self, admitted: Admitted, invite: ServerTransaction, doors: Doors) -> None:
        self.call = Call(admitted.setup)
        self.id = admitted.setup.call_id
        self.reasons = admitted.reasons
        first = [admitted.choice] if admitted.choice else []
        self.choices = deque(first, maxlen=MAX_CHOICES)  # of media servers, the latest last
        self.invited_at = datetime.now(UTC)
        self.started = doors.now()
        self.over = False
        self.entry: float | None = None
        self._ways = admitted.ways
        self._selection = admitted.selection
        self._invite = invite
        self._doors = doors
        self._commands: deque[do.Command] = deque()
        self._behind: deque[do.Command] = deque()  # wait for the entry that is held
        self._held = False  # a ledger entry is on its way to the disk
        self._working = False
        self._progressed = False
        self._infos = itertools.count(1)
        self.legs: dict[LegId, LiveLeg] = {CALLER: LiveLeg(CALLER, self._infos, settled=True)}
        self.servers: set[str] = set()  # media servers that were ever asked for something
        self.holding: set[str] = set()  # those that may have something of this call
        self._recording: set[tuple[str, int]] = set()  # in the ledger as expected, not as ended
        self._wishes = itertools.count(1)
        self._wishers: dict[ControlRequest, asyncio.Future[do.Grant | do.Deny]] = {}

    @property
    def deadline(self) -> float | None:
        return None if self.over else self.call.deadline

    @property
    def now(self) -> float:
        """On the clock that the call knows."""
        return self._doors.now()

    # Events in

    def begin(self, station: str, session: Session) -> None:
        leg = self.legs[CALLER]
        leg.session, leg.station = session, station
        self._doors.attach(session, self, leg)
        self.feed(on.Invited(sdp_of(self._invite.request)))

    def feed(self, event: on.Event) -> None:
        if not self.over:
            self._commands.extend(self.call.handle(event, self._doors.now()))
            self._work()

    async def control(self, wish: Callable[[ControlRequest], on.ControlEvent], limit_s: float) -> do.Grant | do.Deny:
        """Somebody wants something of the recordings. Raises TimeoutError when nobody knows what came of it."""
        request = ControlRequest(next(self._wishes))
        if self.over:
            return do.Deny(request, "the call has ended")
        answer: asyncio.Future[do.Grant | do.Deny] = asyncio.get_running_loop().create_future()
        self._wishers[request] = answer
        try:
            async with asyncio.timeout(limit_s):
                self._doors.feed(self, wish(request))
                return await answer
        finally:
            self._wishers.pop(request, None)

    def take(self, leg: LiveLeg, output: SessionEvent) -> None:
        """What the endpoint says of a leg."""
        if isinstance(output, RequestReceived) and output.request.method == "INFO" and not has_room_for_info(leg):
            self._doors.endpoint.reply(output.transaction, 500, self._doors.now(), headers=[("Retry-After", 1)])
            return
        if isinstance(output, SessionEnded) and self._tries_next_address(leg, output):
            return
        for event in call_events(leg, output):
            self.feed(event)
        if leg.settled and leg.attempt is not None and not leg.attempt.done():
            leg.attempt.set_result(False)
        if isinstance(output, RequestReceived) and self.over:
            self._doors.endpoint.reply(output.transaction, 481, self._doors.now())

    def abort(self, reason: str) -> CallSummary:
        """The call's own code is at fault: end all that it may hold, without asking it."""
        self.over = True
        self._commands.clear()
        self._behind.clear()
        for leg in self.legs.values():
            self._hang_up(leg, 500, reason)
        for server in tuple(self.holding):
            self._ask_media(do.MediaDelete(server))
        self._turn_away(reason)
        for recording_id, segment in self._recording:
            self._doors.spawn(self, self._write(Ended(recording_id, segment, EndReason.CALL_ENDED, 0)))
        ids = tuple(recording_id for recording_id, _ in self._recording)
        return CallSummary.of_fault(self.call.setup, reason, ids)

    # Commands out

    def _work(self) -> None:
        """Carrying out a command may feed the next event; its commands come after those that wait already."""
        if self._working:
            return
        self._working = True
        try:
            while self._commands:
                command = self._commands.popleft()
                if self._is_behind(command):
                    self._behind.append(command)
                else:
                    self._carry_out(command)
        finally:
            self._working = False

    def _is_behind(self, command: do.Command) -> bool:
        """A session that is opened anew does not overtake the end of the old one."""
        if isinstance(command, do.MediaOffer | do.MediaAnswer):
            return any(isinstance(each, do.MediaDelete) and each.server == command.server for each in self._behind)
        return (self._held or bool(self._behind)) and isinstance(command, _BEHIND_THE_LEDGER)

    def _let_go(self) -> None:
        """The ledger entry is on disk: what waited behind it goes on, up to the next one."""
        self._held = False
        while self._behind and not self._held:
            self._carry_out(self._behind.popleft())

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.SendProgress() | do.Accept() | do.Refuse():
                self._answer_caller(command)
            case do.Dial():
                self._dial(command)
            case do.CancelDial(leg_id):
                self._hang_up(self.legs[leg_id], 487, "")
            case do.Acknowledge() | do.SendOffer() | do.SendInfo() | do.HangUp():
                self._speak(self.legs[command.leg], command)
            case do.AnswerOffer() | do.AnswerInfo():
                self._answer(self.legs[command.leg], command)
            case do.Grant() | do.Deny():
                if (wisher := self._wishers.get(command.request)) is not None and not wisher.done():
                    wisher.set_result(command)
            case do.WriteLedger(entry):
                self._held = True
                self._doors.spawn(self, self._write_and_go_on(entry))
            case do.FindMediaServers():
                if command.lost:
                    self._doors.spawn(self, self._find_servers_in_turn(command))
                else:
                    self._find_servers(command)
            case do.FailedOver(lost, to, after_s):
                metrics.calls_failed_over.labels("media server" if to else "direct").inc()
                metrics.failover_seconds.observe(after_s)
                log.warning("call_failed_over", call_id=self.id, lost=lost, media_server=to, after_s=after_s)
            case do.Finished(summary):
                self._finish(summary)
            case _:
                self._ask_media(command)

    def _finish(self, summary: CallSummary) -> None:
        """The call has let go of everything; what it should have forgotten is let go here."""
        self.over = True
        self._turn_away("the call has ended")
        for leg in self.legs.values():
            self._hang_up(leg, 487, "")
        for recording_id, segment in list(self._recording):
            log.error("recording_not_ended", call_id=self.id, recording_id=recording_id)
            self._doors.spawn(self, self._write(Ended(recording_id, segment, EndReason.CALL_ENDED, 0)))
        self._doors.finished(self, summary)

    def _turn_away(self, reason: str) -> None:
        """Whoever still waits for an answer."""
        for request, wisher in self._wishers.items():
            if not wisher.done():
                wisher.set_result(do.Deny(request, reason))

    def _answer_caller(self, command: do.SendProgress | do.Accept | do.Refuse) -> None:
        if not self._progressed:
            self._progressed = True
            metrics.call_setup_seconds.observe(self._doors.now() - self.started)
        status, reason = (200, "OK") if isinstance(command, do.Accept) else (command.status, command.reason)
        body = b"" if isinstance(command, do.Refuse) else command.sdp
        self._doors.endpoint.reply(self._invite, status, self._doors.now(), reason=reason, body=body)

    # The called side

    def _dial(self, dial: do.Dial) -> None:
        way = self._ways[dial.target.address]
        leg = LiveLeg(dial.leg, self._infos)
        self.legs[dial.leg] = leg
        hops = self._invite.request.max_forwards
        left = MAX_FORWARDS if hops is None else hops - 1
        request = self._doors.dialling.invite(way, self.call.setup.calling, left, dial.sdp)
        if isinstance(way, ContactWay):
            leg.station, leg.contact = way.binding.station, way.binding.contact
            self._invite_leg(leg, request, way.binding.flow, behind_nat=way.binding.behind_nat)
        else:
            self._doors.spawn(self, self._dial_line(leg, way, request))

    def _invite_leg(
        self, leg: LiveLeg, request: Request, flow: Flow, *, behind_nat: bool, authorize: Authorize | None = None
    ) -> None:
        leg.session = self._doors.endpoint.invite(
            request, flow, self._doors.now(), behind_nat=behind_nat, authorize=authorize
        )
        self._doors.attach(leg.session, self, leg)

    async def _dial_line(self, leg: LiveLeg, way: LineWay, request: Request) -> None:
        """One address of the line after the other, until one says something (RFC 3263 4.3)."""
        credentials = self._doors.dialling.credentials(way.line)
        async for flow in self._doors.dialling.line_flows(way.line):
            if leg.given_up:
                break
            leg.attempt = asyncio.get_running_loop().create_future()
            self._invite_leg(leg, request, flow, behind_nat=flow.connection is not None, authorize=credentials)
            self._doors.pump()
            if not await leg.attempt:
                return
            leg.session = None
        leg.attempt = None
        if not leg.settled:
            leg.settled = True
            status, reason = (487, "Request Terminated") if leg.given_up else (503, "Service Unavailable")
            self.feed(on.Refused(leg.id, status, reason))

    def _tries_next_address(self, leg: LiveLeg, ended: SessionEnded) -> bool:
        """RFC 3263 4.3: only what did not get through at all is tried elsewhere."""
        if leg.attempt is None or leg.attempt.done() or leg.settled or leg.rang or leg.given_up:
            return False
        busy = isinstance(ended.message, Response) and ended.message.status == 503
        if ended.cause in (Ending.TIMEOUT, Ending.UNREACHABLE) or busy:
            leg.attempt.set_result(True)
            return True
        return False

    # Within a dialog

    def _speak(self, leg: LiveLeg, command: do.Acknowledge | do.SendOffer | do.SendInfo | do.HangUp) -> None:
        now = self._doors.now()
        match command:
            case do.HangUp():
                self._hang_up(leg, command.status, command.reason)
            case do.Acknowledge():
                if leg.session is not None:
                    leg.session.acknowledge(now, body=command.sdp)
            case do.SendOffer():
                try:
                    _session(leg).request("INVITE", now, body=command.sdp)
                except SessionBusyError as busy:  # as if they had said so: the call knows how to wait
                    self.feed(on.OfferRefused(leg.id, 491, str(busy)))
            case do.SendInfo():
                try:
                    sent = _session(leg).request(
                        "INFO", now, headers=command.headers, body=command.body, content_type=command.content_type
                    )
                    leg.our_infos[sent] = command.info
                except SessionBusyError as busy:
                    self.feed(on.InfoAnswered(leg.id, command.info, 481, str(busy)))

    def _answer(self, leg: LiveLeg, command: do.AnswerOffer | do.AnswerInfo) -> None:
        headers: list[tuple[str, object]] = []
        if isinstance(command, do.AnswerOffer):
            transaction, leg.offer = leg.offer, None
            body = command.sdp
            headers = [("Retry-After", command.retry_after_s)] if command.retry_after_s else []
        else:
            transaction, body = leg.their_infos.pop(command.info, None), b""
        if transaction is not None:  # None: they have given it up
            now = self._doors.now()
            self._doors.endpoint.reply(
                transaction, command.status, now, reason=command.reason, headers=headers, body=body
            )

    def _hang_up(self, leg: LiveLeg, status: int, reason: str) -> None:
        leg.given_up = True
        headers = [("Reason", Reason("SIP", status, reason))] if reason else []
        if leg.session is not None:
            leg.session.hang_up(self._doors.now(), status=status if status >= 300 else 487, headers=headers)

    # Media server and ledger

    async def _find_servers_in_turn(self, wanted: do.FindMediaServers) -> None:
        await asyncio.sleep(self._doors.turnstile.wait_s(self._doors.now()))
        self._find_servers(wanted)

    def _find_servers(self, wanted: do.FindMediaServers) -> None:
        excluded = dict.fromkeys(wanted.lost, "lost under this call")
        choice = self._doors.find_servers(for_operation(self._selection, wanted.operation), excluded)
        self.choices.append(choice)
        self.feed(on.MediaServersFound(wanted.search, choice.selection.servers))

    def _ask_media(self, wish: Wish) -> None:
        """Requests start in the order of the commands; nobody waits for the replies. A session whose end is on its way
        is nothing that the call holds: should the server not hear of it now, it does when the link is back."""
        self.servers.add(wish.server)
        if isinstance(wish, do.MediaDelete):
            self.holding.discard(wish.server)
        else:
            self.holding.add(wish.server)
        self._doors.spawn(self, self._ask(wish))

    async def _ask(self, wish: Wish) -> None:
        fault, silent = "", False
        reply: dict[str, Any] = {}
        try:
            reply = await self._doors.media.request(wish.server, ng_command(self.id, wish))
            fault = fault_of(wish, reply)
        except MediaFault as failed:
            fault, silent = str(failed), True
        if isinstance(wish, do.MediaOffer | do.MediaAnswer) and self.choices:
            self.choices[-1].tried(wish.server, fault)
        if isinstance(wish, do.StartRecording) and fault and reply.get("result") == "ok":
            self._doors.spawn(self, self._undo_recording(wish.server))
        event = ng_outcome(wish, reply, fault, silent=silent)
        if event is not None:
            self.feed(event)
        elif fault:  # of a delete: the server hears of it when the link is back
            log.debug("media_request_failed", call_id=self.id, request=type(wish).__name__, reason=fault)

    async def _undo_recording(self, server: str) -> None:
        with contextlib.suppress(MediaFault):
            await self._doors.media.request(server, undo_recording(self.id))

    async def _write_and_go_on(self, entry: LedgerEntry) -> None:
        try:
            async with asyncio.timeout(LEDGER_WAIT_S):
                await asyncio.shield(self._write(entry))
        except TimeoutError:
            log.error("ledger_slow", call_id=self.id, waited_s=LEDGER_WAIT_S)
        self._let_go()

    async def _write(self, entry: LedgerEntry) -> None:
        match entry:
            case Expected():
                self._recording.add((entry.recording_id, entry.segment))
            case Ended() | Failed():
                self._recording.discard((entry.recording_id, entry.segment))
        try:
            await self._doors.ledger.append(entry.document())
        except DatabaseFault as fault:
            log.error("ledger_not_written", call_id=self.id, reason=str(fault))


def _session(leg: LiveLeg) -> Session:
    if leg.session is None:
        raise SessionBusyError("the leg has no dialog")
    return leg.session
