"""One running call between its state machine and the doors: SIP, ng, ledger.

Commands are carried out in order, but a ledger entry holds back what concerns the recording until it is on disk. Not
responsible for what should happen (``call.b2bua``), nor for how sessions speak to the call (``leg_events``). Over 400
lines, because every command of a call is carried out here, and their order is what this file keeps.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from mediaserverd.controller.call_record import CallRecord, Moment
from mediaserverd.controller.database import DatabaseFault
from mediaserverd.controller.dialling import Way
from mediaserverd.controller.doors import Doors
from mediaserverd.controller.keeping import Keeping
from mediaserverd.controller.leg_dialling import dial, tries_next_address
from mediaserverd.controller.leg_events import SessionEvent, call_events, has_room_for_info, sdp_of
from mediaserverd.controller.leg_speech import hang_up, is_away, say, say_when_back
from mediaserverd.controller.live_leg import LiveLeg, Said
from mediaserverd.controller.media_link import MediaFault
from mediaserverd.controller.ng_commands import Wish, fault_of, ng_command, ng_outcome
from mediaserverd.controller.selecting import MAX_CHOICES, Choice, described, for_operation
from mediaserverd.policy.selection import RELAYS_ONLY, SelectionRequest
from mediaserverd.protocol.sip.dialog import MAX_FORWARDS
from mediaserverd.protocol.sip.endpoint import (
    RequestReceived,
    ServerTransaction,
    Session,
    SessionEnded,
)
from mediaserverd.protocol.sip.message import Response
from mediaserverd.protocol.sip.session import Authorize

log = structlog.get_logger()

LEDGER_WAIT_S = 2.0  # a disk that is slower than this does not hold up the recording; the entry is written all the same


@dataclass(frozen=True, slots=True)
class _Dated:
    """A ledger entry on its way. ``at``: when the call decided on it; a busy disk does not change that."""

    entry: LedgerEntry
    at: datetime


# A recording is announced before it starts, and a call is over when its last entry is kept. SIP never waits for a disk.
_BEHIND_THE_LEDGER = (
    _Dated,
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

    def __init__(self, call: Call, reasons: tuple[str, ...], selection: SelectionRequest, doors: Doors) -> None:
        self.call = call
        self.id = call.setup.call_id
        self.reasons = reasons
        self.selection = selection  # what media servers are asked for
        self.choices: deque[Choice] = deque(maxlen=MAX_CHOICES)  # of media servers, the latest last
        self._earlier: tuple[dict[str, Any], ...] = ()  # selections of an earlier process
        self.invited_at = datetime.now(UTC)
        self.started = doors.now()
        self.over = False
        self.entry: float | None = None
        self._ways: Mapping[str, Way] = {}
        self._invite: ServerTransaction | None = None
        self._doors = doors
        self._keeping = Keeping(doors.store, doors.traces)
        self._commands: deque[do.Command | _Dated] = deque()
        self._behind: deque[do.Command | _Dated] = deque()  # wait for the entries that are held
        self._held = 0  # ledger entries on their way to the disk
        self._working = False
        self._progressed = False
        self._infos = itertools.count(1)
        self.legs: dict[LegId, LiveLeg] = {CALLER: LiveLeg(CALLER, self._infos, settled=True)}
        self.servers: set[str] = set()  # media servers that were ever asked for something
        self.holding: set[str] = set()  # those that may have something of this call
        self._recording: set[tuple[str, int]] = set()  # in the ledger as expected, not as ended
        self._wishes = itertools.count(1)
        self._wishers: dict[ControlRequest, asyncio.Future[do.Grant | do.Deny]] = {}

    @classmethod
    def admitted(cls, admitted: Admitted, invite: ServerTransaction, doors: Doors) -> LiveCall:
        live = cls(Call(admitted.setup), admitted.reasons, admitted.selection, doors)
        if admitted.choice:
            live.choices.append(admitted.choice)
        live._ways, live._invite = admitted.ways, invite
        return live

    @classmethod
    def restored(cls, record: CallRecord, credentials: Callable[[str], Authorize | None], doors: Doors) -> LiveCall:
        """Of an earlier process; ``credentials`` are those of a line. Raises SipError if it cannot be read."""
        now = Moment(doors.now(), time.time())
        kept = record.call.shifted(record.made_at.until(now))
        live = cls(Call.restored(kept), record.reasons, record.selection, doors)
        live.invited_at, live.started = record.invited_at, kept.account.invited_at or now.loop
        live.servers, live.holding, live._recording = set(record.servers), set(record.holding), set(record.running)
        live._earlier = record.told.selections
        if record.told.trace:
            doors.traces.take_over(live.id, record.told.trace)
        for each in record.legs:
            leg = live.legs[each.id] = LiveLeg(each.id, live._infos, each.station, each.line, settled=True)
            leg.session = doors.endpoint.restore(each.session, now.loop, authorize=credentials(each.line))
            doors.attach(leg.session, live, leg)
        live.keep()
        return live

    @property
    def deadline(self) -> float | None:
        return None if self.over else self.call.deadline

    @property
    def selections(self) -> list[dict[str, Any]]:
        """Of media servers, as plain values, the latest last."""
        return [*self._earlier, *(described(each) for each in self.choices)]

    @property
    def now(self) -> float:
        """On the clock that the call knows."""
        return self._doors.now()

    # Events in

    def begin(self, station: str, session: Session) -> None:
        leg = self.legs[CALLER]
        leg.session, leg.station = session, station
        self._doors.attach(session, self, leg)
        assert self._invite is not None
        self.feed(on.Invited(sdp_of(self._invite.request)))

    @property
    def is_kept(self) -> bool:
        """The next process can go on with it."""
        return self._keeping.record is not None

    def keep(self) -> None:
        """To be called whenever something may have changed."""
        self._keeping.note(self)

    def let_go(self) -> None:
        """The next process goes on with it: nothing that happens here concerns it any more."""
        self.over = True
        self._keeping.let_go()
        self._turn_away("the controller restarts; ask again")

    def feed(self, event: on.Event) -> None:
        if not self.over:
            at, commands = datetime.now(UTC), self.call.handle(event, self._doors.now())
            self._commands.extend(
                _Dated(each.entry, at) if isinstance(each, do.WriteLedger) else each for each in commands
            )
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
        if leg.unsaid and leg.session is not None and not self._doors.is_gone(leg.session.flow):
            leg.back.set()
        if isinstance(output, SessionEnded) and tries_next_address(leg, output):
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

    def _is_behind(self, command: do.Command | _Dated) -> bool:
        """A session that is opened anew does not overtake the end of the old one."""
        if isinstance(command, do.MediaOffer | do.MediaAnswer):
            return any(isinstance(each, do.MediaDelete) and each.server == command.server for each in self._behind)
        if isinstance(command, _Dated):
            return bool(self._behind)  # entries that follow each other share one write
        return bool(self._held or self._behind) and isinstance(command, _BEHIND_THE_LEDGER)

    def _let_go(self) -> None:
        """The ledger entry is on disk: what waited behind it goes on, up to the next one."""
        self._held -= 1
        while self._behind and (not self._held or isinstance(self._behind[0], _Dated)):
            self._carry_out(self._behind.popleft())

    def _carry_out(self, command: do.Command | _Dated) -> None:
        match command:
            case do.SendProgress() | do.Accept() | do.Refuse():
                self._note_set_up_time()
                self._answer_caller(command)
            case do.Dial():
                self._dial(command)
            case do.CancelDial(leg_id):
                self._hang_up(self.legs[leg_id], 487, "")
            case do.Acknowledge() | do.SendOffer() | do.SendInfo() | do.HangUp():
                self._say(self.legs[command.leg], command)
            case do.AnswerOffer() | do.AnswerInfo():
                self._answer(self.legs[command.leg], command)
            case do.Grant() | do.Deny():
                if (wisher := self._wishers.get(command.request)) is not None and not wisher.done():
                    wisher.set_result(command)
            case _Dated(entry, at):
                self._held += 1
                self._doors.spawn(self, self._write_and_go_on(entry, at))
            case do.WriteLedger():
                raise TypeError("an entry without a date")
            case do.FindMediaServers():
                self._doors.spawn(self, self._find_servers_in_turn(command))
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
        assert self._invite is not None
        status, reason = (200, "OK") if isinstance(command, do.Accept) else (command.status, command.reason)
        body = b"" if isinstance(command, do.Refuse) else command.sdp
        typed = [("Content-Type", "application/sdp")] if body else []
        answer = self._doors.endpoint.made_reply(self._invite, status, reason, typed, body)
        if isinstance(command, do.Accept) and self._keeping.note(self, answer):
            self.legs[CALLER].accepting = True
            self._doors.spawn(self, self._accept_when_kept(answer))
        else:
            self._doors.endpoint.send_reply(self._invite, answer, self._doors.now())

    async def _accept_when_kept(self, answer: Response) -> None:
        """A caller who has heard the answer finds the call again, whatever happens to this process."""
        await self._doors.store.kept()
        self.legs[CALLER].accepting = False
        assert self._invite is not None
        self._doors.endpoint.send_reply(self._invite, answer, self._doors.now())

    def _note_set_up_time(self) -> None:
        if not self._progressed:
            self._progressed = True
            metrics.call_setup_seconds.observe(self._doors.now() - self.started)

    # The called side

    def _dial(self, wanted: do.Dial) -> None:
        assert self._invite is not None
        way = self._ways[wanted.target.address]
        leg = self.legs[wanted.leg] = LiveLeg(wanted.leg, self._infos)
        hops = self._invite.request.max_forwards
        left = MAX_FORWARDS if hops is None else hops - 1
        request = self._doors.dialling.invite(way, self.call.setup.calling, left, wanted.sdp)
        dial(self, leg, way, request, self._doors)

    # Within a dialog

    def _say(self, leg: LiveLeg, said: Said) -> None:
        if leg.unsaid or is_away(leg, self._doors.is_gone):
            leg.unsaid.append(said)
            if len(leg.unsaid) == 1:
                self._doors.spawn(self, self._say_when_back(leg))
        elif (event := say(leg, said, self._doors.now())) is not None:
            self.feed(event)

    async def _say_when_back(self, leg: LiveLeg) -> None:
        for event in await say_when_back(leg, self._doors.now):
            self.feed(event)

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
        hang_up(leg, status, reason, self._doors.now())

    # Media server and ledger

    async def _find_servers_in_turn(self, wanted: do.FindMediaServers) -> None:
        await asyncio.sleep(self._doors.turnstile.wait_s(self._doors.now()))
        excluded = dict.fromkeys(wanted.lost, "lost under this call")
        asked = for_operation(self.selection, wanted.operation)
        choice = self._doors.find_servers(asked, excluded, relay_will_do=wanted.relay_will_do)
        self.choices.append(choice)
        self.feed(on.MediaServersFound(wanted.search, choice.selection.servers, choice.selection.why_none))

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
            if isinstance(wish, do.StartRecording) and self._doors.media.relays_only(wish.server):
                fault = f"media server {wish.server}: {RELAYS_ONLY}"
            else:
                reply = await self._doors.media.request(wish.server, ng_command(self.id, wish))
                fault = fault_of(wish, reply)
        except MediaFault as failed:
            fault, silent = str(failed), True
        if isinstance(wish, do.MediaOffer | do.MediaAnswer) and self.choices:
            self.choices[-1].tried(wish.server, fault)
        event = ng_outcome(wish, reply, fault, silent=silent)
        if event is not None:
            self.feed(event)
        elif fault:  # of a delete: the server hears of it when the link is back
            log.debug("media_request_failed", call_id=self.id, request=type(wish).__name__, reason=fault)

    async def _write_and_go_on(self, entry: LedgerEntry, at: datetime) -> None:
        try:
            async with asyncio.timeout(LEDGER_WAIT_S):
                await asyncio.shield(self._write(entry, at))
        except TimeoutError:
            log.error("ledger_slow", call_id=self.id, waited_s=LEDGER_WAIT_S)
        self._let_go()

    async def _write(self, entry: LedgerEntry, at: datetime | None = None) -> None:
        match entry:
            case Expected():
                self._recording.add((entry.recording_id, entry.segment))
            case Ended() | Failed():
                self._recording.discard((entry.recording_id, entry.segment))
        try:
            await self._doors.ledger.append(entry.document(), at)
        except DatabaseFault as fault:
            log.error("ledger_not_written", call_id=self.id, reason=str(fault))
