"""One call between a caller and whoever answers: set-up, talk, end. Two legs, one audio path, perhaps a recording.

Decides what happens next, no more: the legs know how they end (``legs``), everything up to the first word is in
``set_up``, the audio path knows media servers and o= lines (``audio``), what passes between phones that talk is a
``conversation``, ``anchoring`` brings a media server in while they do, ``recordings`` keep the ledger's promise, and
``control`` is for those who start, stop and pause them. Longer than 400 lines because every event comes in here.

::

    NEW -> SELECTING -> DIALLING -> ANSWERING -> CONFIRMING ---------------> TALKING -> CLOSING -> ENDED
     |                     ^                         |                          ^
     +--- offer comes late +                         +-> COMPLETING (late) -----+      CLOSING from anywhere
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import assert_never

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.call.account import Account
from mediaserverd.call.anchoring import Anchoring
from mediaserverd.call.audio import AudioPath, Purpose, Relayed
from mediaserverd.call.control import RecordingControl, Situation
from mediaserverd.call.conversation import Conversation
from mediaserverd.call.fork import Fork
from mediaserverd.call.hearing import Hearing
from mediaserverd.call.holds import Holds
from mediaserverd.call.ledger import EndReason
from mediaserverd.call.legs import Leg, LegState
from mediaserverd.call.phase import Phase, Stage
from mediaserverd.call.phone_keys import PhoneKeys
from mediaserverd.call.recordings import Recordings
from mediaserverd.call.responses import PHRASES
from mediaserverd.call.set_up import SYSTEM, SetUp
from mediaserverd.call.setup import CallSetup
from mediaserverd.call.snapshot import CallSnapshot
from mediaserverd.call.story import CallSummary, Story
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.negotiation import Side


class Call:
    """See the package for how it is used."""

    def __init__(self, setup: CallSetup) -> None:
        self.setup = setup
        self._setup_kept = replace(setup, targets=())
        self._kept: CallSnapshot | None = None  # what an earlier process left, until it is taken over
        self.story = Story()
        self._stage = Stage(setup.ring_timeout_s)
        self._out: list[do.Command] = []
        self._caller = Leg(on.CALLER, setup.calling, LegState.INVITED)
        self._fork = Fork(self._emit)
        self._audio = AudioPath(setup.media_servers, setup.origin, self._emit, setup.look_back_ms)
        self.recordings = Recordings(setup, self._emit, self._tell)
        self.control = RecordingControl(setup, self.recordings, self._emit, self._tell)
        self._account = Account()
        self._set_up = SetUp(
            setup,
            self._stage,
            self._caller,
            self._fork,
            self._audio,
            self.recordings,
            self._account,
            self._end,
            self._emit,
            self._tell,
        )
        self._holds = Holds()
        self._conversation = Conversation(self._audio, self._emit, self._tell)
        self._anchoring = Anchoring(
            setup,
            self._audio,
            self._conversation,
            self.recordings,
            self._both_talking,
            self._let_recording_go_on,
            self._emit,
            self._tell,
        )
        self._keys = PhoneKeys(
            setup, self.control, self.recordings, self._control_requested, self._note, self._emit, self._tell
        )
        self.hearing = Hearing(setup, self._tell)

    @classmethod
    def restored(cls, kept: CallSnapshot) -> Call:
        """A call of an earlier process, which had been answered. ``TakenOver`` is to be the first event."""
        call = cls(kept.setup)
        call._caller.state = LegState.UP
        call._set_up.winner = call._fork.take_over(kept.winner, kept.called)
        call._audio.take_over(kept.audio)
        call.recordings.take_over(kept.recordings)
        call.control.take_over(kept.control)
        call._account = replace(kept.account)
        call.story = Story([*kept.story], kept.story_left_out)
        call._stage.phase = Phase.TALKING
        call._kept = kept
        deque(call._holds.changes(kept.audio.agreed), maxlen=0)  # the recording knows of them
        return call

    def snapshot(self) -> CallSnapshot | None:
        """None: it is not answered yet, or ends. An answer whose ACK has not come counts."""
        late = self.phase is Phase.CONFIRMING and self._winner is not None and self._winner.owes_ack
        audio = self._audio.snapshot()
        if self.phase not in (Phase.CONFIRMING, Phase.TALKING) or late or self._winner is None or audio is None:
            return None
        return CallSnapshot(
            setup=self._setup_kept,
            winner=self._winner.id,
            called=self._winner.party,
            audio=audio,
            left=self._anchoring.left if self._kept is None else self._kept.left,
            lost=self._anchoring.lost if self._kept is None else self._kept.lost,
            unsettled=self._conversation.is_unsettled if self._kept is None else self._kept.unsettled,
            recordings=self.recordings.snapshot(),
            control=self.control.snapshot(),
            account=replace(self._account),
            story=tuple(self.story.lines),
            story_left_out=self.story.left_out,
        )

    @property
    def phase(self) -> Phase:
        return self._stage.phase

    @property
    def _now(self) -> float:
        return self._stage.now

    @property
    def _winner(self) -> Leg | None:
        return self._set_up.winner

    @property
    def media_server(self) -> str:
        """The one that carries the audio, or is asked to; empty: none does."""
        return self._audio.server

    @property
    def deadline(self) -> float | None:
        """When ``Woken`` is due, on the clock of ``now``."""
        if self.phase is Phase.ENDED:
            return None
        parts = self._conversation, self._anchoring, self.control, self._keys, self.hearing
        dates = self._stage.until, *(part.until for part in parts)
        return min((at for at in dates if at is not None), default=None)

    def handle(self, event: on.Event, now: float) -> list[do.Command]:
        if self.phase is Phase.ENDED:
            return []
        self._stage.now = now
        self._dispatch(event)
        while self._audio.ready or self._anchoring.settle(now):
            if self._audio.ready:
                self._relayed(self._audio.ready.popleft())
        if self._anchoring.stranded:
            self._end(SYSTEM, self._anchoring.stranded, 503)
        for side, hold in self._holds.changes(self._audio.agreed):
            self._note(side, {"event": hold})
        self.hearing.follow(self._audio.server)
        if self.phase is Phase.TALKING and self._audio.server:
            self._account.media_server = self._audio.server
        self._settle()
        out, self._out = self._out, []
        return [*self._keys.settle(out)]

    def summary(self) -> CallSummary:
        """As far as it is known; final in ``Finished``."""
        return self._account.summary(self.setup, self._winner, self.recordings, self._now)

    # --- dispatch

    def _dispatch(self, event: on.Event) -> None:
        match event:
            case on.Invited(body):
                self._set_up.invited(body)
            case on.Cancelled():
                self._set_up.cancelled()
            case on.MediaReplied(request, body):
                self._audio.replied(request, body)
            case on.MediaFailed(request, reason, silent):
                self._media_failed(self._audio.failed(request), reason, silent=silent)
            case on.MediaServersFound(search, servers, why_none):
                self._anchoring.found(search, servers, why_none)
            case on.MediaTimedOut(server, reason):
                if server == self._audio.server:
                    self._end(SYSTEM, f"media-timeout: {reason}", 408)
            case on.MediaLost(server, reason):
                self._media_lost(server, reason)
            case on.RecordingStarted() | on.RecordingRefused() | on.RecordingBroken():
                self._recording_event(event)
            case on.ChangeDone(change):
                self.control.done(change, self._now)
            case on.ChangeFailed(change, reason):
                self.control.failed(change, reason, self._now)
            case on.SideSilent() | on.SideHeard():
                self.hearing.take(event, self._now)
            case on.DigitsDialled(side, digits, fresh_id):
                if self.phase is not Phase.CLOSING:
                    self._keys.dialled(side, self._party(side), digits, fresh_id, self._now)
            case on.StartRequested() | on.StopRequested() | on.PauseRequested() | on.ResumeRequested():
                self._control_requested(event)
            case on.Woken():
                self._woken()
            case on.TakenOver():
                self._taken_over()
            case on.MediaUsable(server):
                self._anchoring.server_usable(server, self._now)
            case on.EndRequested(reason, status):
                self._end(SYSTEM, reason, status)
            case _:
                self._leg_event(event)

    def _leg_event(self, event: on.LegEvent) -> None:
        leg = self._caller if event.leg == on.CALLER else self._fork.legs.get(event.leg)
        if leg is None:
            self._tell(f"{type(event).__name__} for unknown leg {event.leg}")
            return
        match event:
            case on.Progressed(_, status, phrase, body):
                self._set_up.progressed(leg, status, phrase, body)
            case on.Answered(_, body):
                self._set_up.answered(leg, body)
            case on.Refused(_, status, phrase):
                self._set_up.refused(leg, status, phrase)
            case on.Acknowledged(_, body) if self.phase is Phase.TALKING:
                self._conversation.acknowledged(leg, body, self._now)
            case on.Acknowledged(_, body):
                self._set_up.acknowledged(leg, body)
            case on.AckMissing():
                if leg.is_up:
                    self._end(SYSTEM, "no ACK came", 408)
            case on.Offered(_, method, body):
                self._offered(leg, method, body)
            case on.OfferAnswered(_, body):
                if leg.is_up:
                    self._conversation.offer_answered(leg, body, self._now)
            case on.OfferRefused(_, status, phrase):
                self._offer_refused(leg, status, phrase)
            case on.Informed():
                self._informed(leg, event)
            case on.InfoAnswered(_, info, status, phrase):
                self._conversation.info_answered(info, status, phrase)
            case on.HungUp(_, reason):
                self._hung_up(leg, reason)
            case on.LegLost(_, reason):
                self._leg_lost(leg, reason)
            case _:
                assert_never(event)

    def _relayed(self, relayed: Relayed) -> None:
        if self.phase is Phase.CLOSING:
            return
        if relayed.fault:
            self._media_failed(relayed.purpose, relayed.fault, silent=True)
        elif self.phase is Phase.TALKING:
            self._conversation.relayed(relayed, self._now)
        else:
            self._set_up.relayed(relayed)

    # --- within the call

    def _offered(self, leg: Leg, method: on.Method, body: bytes) -> None:
        if self.phase is Phase.CLOSING or leg.is_gone:
            self._emit(do.AnswerOffer(leg.id, 481, PHRASES[481]))
        else:
            talking = self.phase is Phase.TALKING
            self._conversation.offered(leg, self._peer(leg) if talking else None, method, body, self._now)

    def _offer_refused(self, leg: Leg, status: int, phrase: str) -> None:
        if status in (408, 481) and leg.is_up:
            self._leg_lost(leg, f"{status} {phrase}")  # RFC 3261 12.2.1.2: the dialog is gone with that
        else:
            self._conversation.offer_refused(leg, status, phrase, self._now)

    def _informed(self, leg: Leg, event: on.Informed) -> None:
        if self.phase is Phase.CLOSING or leg.is_gone:
            self._emit(do.AnswerInfo(leg.id, event.info, 481, PHRASES[481]))
            return
        if not self._keys.informed(leg.side, leg.party, event, self._now):
            self._conversation.informed(leg, self._peer(leg), event)

    def _party(self, side: Side) -> Party:
        return self.setup.calling if side is Side.CALLER else self._situation.called

    def _note(self, side: Side, event: dict[str, str]) -> None:
        if self.phase is not Phase.CLOSING:
            self.control.note(side, event)

    def _peer(self, leg: Leg) -> Leg | None:
        """The other leg of the conversation, once both are up."""
        peer = self._winner if leg is self._caller else self._caller
        return peer if leg.is_up and peer and peer.is_up else None

    def _both_talking(self) -> tuple[Leg, Leg] | None:
        talking = self.phase is Phase.TALKING
        return (self._caller, self._winner) if talking and self._winner else None

    # --- recording and media server

    def _recording_event(self, event: on.RecordingEvent) -> None:
        """A call does not suffer from its recording, unless the policy says so."""
        gone = self.recordings.take(event, self._now)
        if isinstance(event, on.RecordingStarted):
            self.control.started(event.recording_id)
            self._set_up.accept_if_recorded()
        else:
            self.control.refused(event.recording_id, event.reason)
            if gone and self.recordings.required and self.phase is not Phase.TALKING:
                self._end(SYSTEM, f"the required recording failed: {event.reason}", 503)

    def _let_recording_go_on(self, server: str) -> None:
        recording = self.recordings.interrupted
        if recording and self._winner:
            self._tell(f"the recording goes on on {server}")
            recording.start(server, self._winner.party, self._now, paused=self.control.begun_paused)

    def _control_requested(self, event: on.ControlEvent) -> None:
        if self.phase is Phase.CLOSING:
            self._emit(do.Deny(event.request, "the call has ended"))
        elif not isinstance(event, on.StartRequested) or self._anchoring.carries:
            self.control.requested(event, self._situation, self._now)
        elif refusal := self._anchoring.busy or self.control.refusal(event, self._situation):
            self._emit(do.Deny(event.request, refusal))
        else:
            self._anchoring.bring_in("record", lambda fault: self._start_brought_in(event, fault))

    def _start_brought_in(self, event: on.StartRequested, fault: str) -> None:
        if fault:
            self._emit(do.Deny(event.request, f"the audio cannot be recorded: {fault}"))
        else:
            self.control.requested(event, self._situation, self._now)

    def _taken_over(self) -> None:
        kept, self._kept = self._kept, None
        if kept is None:
            return
        self._tell("another process of the controller goes on with the call")
        self._anchoring.take_over(kept.left, kept.lost, self._now, unsettled=kept.unsettled)
        self.control.ask_again()

    @property
    def _situation(self) -> Situation:
        talking = self.phase is Phase.TALKING
        called = self._winner.party if self._winner else self.setup.called
        return Situation(self._audio.server, called, self._account.answered_at if talking else None)

    def _media_failed(self, purpose: Purpose | None, reason: str, *, silent: bool) -> None:
        match purpose:
            case None:
                pass  # nobody waits for it any more
            case Purpose.OFFER | Purpose.EARLY_ANSWER | Purpose.ANSWER:
                self._set_up.media_failed(purpose, reason, silent=silent)
            case Purpose.NEW_OFFER | Purpose.NEW_ANSWER | Purpose.PREPARE:
                self._conversation.media_failed(purpose, reason, self._now)
            case Purpose.RESTORE:
                self._tell(f"the media server did not go back: {reason}")

    def _media_lost(self, server: str, reason: str) -> None:
        """Before any phone knows of it, another one is tried; after that what is under way goes on without it, and
        another one takes the audio as soon as both sides talk (``anchoring``)."""
        self.recordings.lose_server(server, self._now)
        self._anchoring.media_lost(server, reason, self._now)
        if not server or server != self._audio.server or self._conversation.is_moving:
            return
        if self._audio.offer_pending:
            self._media_failed(self._audio.abandon_offer(), reason, silent=True)
            return
        if self.recordings.required and self._caller.state is LegState.INVITED:
            self._end(SYSTEM, f"media-server-lost: {reason}", 503)
            return
        self._tell(f"media server {server} is lost: {reason}")
        self._anchoring.carrier_lost(server, self._now)
        for purpose in self._audio.lose_server():
            if purpose is Purpose.ANSWER and self._audio.agreed:
                answering = self._audio.agreed.offering.other
                self._audio.answer(Purpose.ANSWER, answering, self._audio.agreed.answer)
            else:
                self._media_failed(purpose, reason, silent=True)

    # --- the end

    def _hung_up(self, leg: Leg, reason: str) -> None:
        if leg.state in (LegState.UP, LegState.INVITED):
            if leg.is_up:
                self._emit(*leg.left())
            self._end(leg.side.value, f"hung up ({reason})" if reason else "hung up", 487, told="")

    def _leg_lost(self, leg: Leg, reason: str) -> None:
        if leg.state is LegState.DIALLED:
            self._set_up.refused(leg, 503, PHRASES[503])
        elif not leg.is_gone:
            ended = leg.state is LegState.UP
            if leg.state is not LegState.INVITED:
                leg.state = LegState.GONE
            self._end(leg.side.value, f"lost: {reason}", 487, told=f"other side lost: {reason}" if ended else "")

    def _woken(self) -> None:
        self._conversation.woken(self._now)
        self._anchoring.woken(self._now)
        self._keys.woken(self._now)
        if self.hearing.until is not None and self._now >= self.hearing.until:
            self._end(SYSTEM, f"{self.hearing.fault}: a side has not been heard for too long", 408)
        if self.control.until is not None and self._now >= self.control.until:
            self.control.out_of_time(self._now)
        if self._stage.until is None or self._now < self._stage.until:
            return
        if self.phase is Phase.CLOSING:
            self._close_by_force()
        else:
            self._set_up.out_of_time()

    def _end(self, by: str, reason: str, status: int, *, phrase: str = "", told: str | None = None) -> None:
        """``status`` and ``phrase`` go to a caller who was not answered yet, ``told`` (empty: nothing) into the Reason
        of every BYE."""
        if self.phase is Phase.CLOSING:
            return
        self._account.close(self._now, by, reason, status)
        self._tell(f"the call ends ({by}): {reason}")
        self._conversation.abort()
        self._keys.end()
        self.control.abort()
        self._anchoring.end()
        for leg in (self._caller, *self._fork.legs.values()):
            self._emit(*leg.end(status, phrase or PHRASES.get(status, "Refused"), reason if told is None else told))
        discard = self.recordings.current is not None and self._account.talked_ms(self._now) < self.setup.shortest_ms
        why, answered = EndReason.TOO_SHORT if discard else EndReason.CALL_ENDED, self._account.answered_at is not None
        self.recordings.end(why, self._now, answered=answered)
        self._audio.drop_server(delete=True, discard=discard)
        self._stage.enter(Phase.CLOSING)

    def _close_by_force(self) -> None:
        """The outcome of a CANCEL or the reply about a recording never came."""
        for leg in self._fork.legs.values():
            leg.state = LegState.GONE
        self.recordings.give_up()

    def _settle(self) -> None:
        """Over, once nobody owes us the outcome of anything."""
        waiting = [leg for leg in self._fork.legs.values() if not leg.is_gone]
        if self.phase is Phase.CLOSING and not waiting and not self.recordings.pending:
            self._stage.enter(Phase.ENDED)
            self._emit(do.Finished(self.summary()))

    # --- bookkeeping

    def _emit(self, *commands: do.Command) -> None:
        self._out.extend(commands)

    def _tell(self, text: str) -> None:
        self.story.tell(self._now, text)
