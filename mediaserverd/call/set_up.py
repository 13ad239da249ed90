"""From the INVITE to the first word: media server, ringing, answer, and the offer that comes late.

Every change of phase up to TALKING is here. Not responsible for how a call ends (``b2bua``), nor for what passes
between phones that talk (``conversation``).
"""

from __future__ import annotations

from typing import Final, Protocol

from mediaserverd.call import commands as do
from mediaserverd.call.account import Account
from mediaserverd.call.audio import AudioPath, Purpose, Relayed, readable
from mediaserverd.call.fork import Fork
from mediaserverd.call.legs import Leg, LegState
from mediaserverd.call.phase import Phase, Stage
from mediaserverd.call.recordings import Recordings
from mediaserverd.call.ringback import Ringback
from mediaserverd.call.setup import CallSetup
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.negotiation import Side, voice_codec

SYSTEM: Final = "system"  # who ends a call that neither phone has ended


class _End(Protocol):
    def __call__(self, by: str, reason: str, status: int, *, phrase: str = "") -> None: ...


class _Emit(Protocol):
    def __call__(self, *commands: do.Command) -> None: ...


class _Tell(Protocol):
    def __call__(self, text: str) -> None: ...


class SetUp:
    def __init__(
        self,
        setup: CallSetup,
        stage: Stage,
        caller: Leg,
        fork: Fork,
        audio: AudioPath,
        recordings: Recordings,
        account: Account,
        end: _End,
        emit: _Emit,
        tell: _Tell,
    ) -> None:
        self.winner: Leg | None = None  # who answered
        self._setup = setup
        self._stage = stage
        self._caller = caller
        self._fork = fork
        self._audio = audio
        self._recordings = recordings
        self._account = account
        self._end = end
        self._emit = emit
        self._tell = tell
        self._ringback = Ringback(audio, emit)
        self._offer = b""  # the first one, from whichever side
        self._accept_body = b""

    # --- the caller's offer

    def invited(self, body: bytes) -> None:
        if self._stage.phase is not Phase.NEW:
            return
        self._account.invited_at = self._stage.now
        self._tell(f"{_name(self._setup.calling)} calls {_name(self._setup.called)}")
        if not self._setup.targets:
            self._end(SYSTEM, "nobody to dial", 480)
        elif not body:
            self._dial(b"")
        elif not readable(body):
            self._end(SYSTEM, "unreadable session description", 400)
        else:
            self._offer = body
            self._stage.enter(Phase.SELECTING)
            self._offer_to_next_server(Side.CALLER)

    def _offer_to_next_server(self, side: Side) -> None:
        setup = self._setup
        if not setup.wants_audio_at_once:
            self._tell("nothing needs the audio: the phones talk directly")
        elif self._audio.take_next_server():
            self._tell(f"media server {self._audio.server} is asked")
        elif (setup.audio_path == "dynamic" or setup.fail_open) and not self._recordings.required:
            self._tell("no media server: the phones talk directly, unrecorded")
        else:
            self._end(SYSTEM, "no media server took the call", 503)
            return
        self._stage.enter(self._stage.phase)
        self._account.media_server = self._audio.server
        self._audio.offer(Purpose.OFFER, side, self._offer)

    def cancelled(self) -> None:
        if self._caller.state is LegState.INVITED:
            self._end("caller", "cancelled", 487)

    # --- the called side

    def _dial(self, body: bytes) -> None:
        self._stage.enter(Phase.DIALLING)
        left_out = self._fork.dial(self._setup.targets, body)
        for leg in self._fork.legs.values():
            self._tell(f"{_name(leg.party)} is called")
        if left_out:
            self._tell(f"{left_out} more are not called: too many")

    def progressed(self, leg: Leg, status: int, phrase: str, body: bytes) -> None:
        if self._stage.phase is Phase.DIALLING and leg.state is LegState.DIALLED and 180 <= status < 190:
            leg.rang = True
            self._tell(f"{_name(leg.party)}: {status} {phrase}" + (" with early media" if body else ""))
            clear = bool(self._offer) and self._fork.has_one_branch
            self._ringback.progressed(status, phrase, body, may_be_heard=clear)

    def refused(self, leg: Leg, status: int, phrase: str) -> None:
        if leg.state not in (LegState.DIALLED, LegState.CANCELLED):
            return
        self._tell(f"{_name(leg.party)}: {status} {phrase}")
        self._fork.refused(leg, status, phrase)
        if self._stage.phase is Phase.DIALLING and not self._fork.ringing:
            best_status, best_phrase = self._fork.verdict()
            self._end("called", f"{best_status} {best_phrase}", best_status, phrase=best_phrase)

    def answered(self, leg: Leg, body: bytes) -> None:
        if self._stage.phase is not Phase.DIALLING or leg.state is not LegState.DIALLED:
            if not leg.is_up and not leg.is_gone:
                self._tell(f"{_name(leg.party)} answered too late")
                self._emit(*leg.answered_in_vain())
            return
        self._tell(f"{_name(leg.party)} answers")
        self.winner = leg
        self._stage.enter(Phase.ANSWERING)
        if self._offer:
            self._emit(do.Acknowledge(leg.id))
            self._fork.won_by(leg)
            self._relay_answer(Side.CALLED, body or self._ringback.early)
        else:
            leg.owes_ack = True
            self._fork.won_by(leg)
            self._late_offer(body)

    def _late_offer(self, body: bytes) -> None:
        if readable(body):
            self._offer = body
            self._offer_to_next_server(Side.CALLED)
        else:
            self._end(SYSTEM, "the called phone made no readable offer", 502)

    # --- the answer

    def _relay_answer(self, side: Side, body: bytes) -> None:
        """The start of the recording goes right behind the answer, without waiting for the reply to it."""
        description = readable(body)
        if description is None:
            self._end(SYSTEM, f"no readable answer from the {side.value} side", 502)
            return
        self._account.codec = str(voice_codec(description) or "")
        self._audio.agree(side.other, self._offer, body)
        self._audio.answer(Purpose.ANSWER, side, body)
        recording = self._recordings.of_policy
        if recording and self.winner:
            self._tell(f"policy {recording.order.policy!r} records")
            recording.start(self._audio.server, self.winner.party, self._stage.now)

    def relayed(self, relayed: Relayed) -> None:
        match self._stage.phase, relayed.purpose:
            case Phase.SELECTING, Purpose.OFFER:
                self._dial(relayed.body)
            case Phase.DIALLING, Purpose.EARLY_ANSWER:
                self._ringback.relayed(relayed.body)
            case Phase.ANSWERING, (Purpose.OFFER | Purpose.ANSWER):
                self._accept_body = relayed.body
                self.accept_if_recorded()
            case Phase.COMPLETING, Purpose.ANSWER if self.winner:
                self.winner.owes_ack = False
                self._emit(do.Acknowledge(self.winner.id, relayed.body))
                self._stage.enter(Phase.TALKING)
            case _:
                pass  # the step that asked for it is over

    def accept_if_recorded(self) -> None:
        """200 to the caller, which waits for the recording only where the policy requires one."""
        waits = self._recordings.required and self._recordings.pending
        if self._stage.phase is Phase.ANSWERING and self._accept_body and not waits:
            self._caller.state = LegState.UP
            self._account.answered_at = self._stage.now
            self._tell("the caller is answered")
            self._emit(do.Accept(self._accept_body))
            self._stage.enter(Phase.CONFIRMING)

    def acknowledged(self, leg: Leg, body: bytes) -> None:
        if self._stage.phase is Phase.CONFIRMING and leg is self._caller:
            late = self.winner is not None and self.winner.owes_ack
            self._stage.enter(Phase.COMPLETING if late else Phase.TALKING)
            if late:
                self._relay_answer(Side.CALLER, body)

    # --- what goes wrong

    def media_failed(self, purpose: Purpose, reason: str, *, silent: bool) -> None:
        match purpose:
            case Purpose.OFFER:
                self._tell(f"media server {self._audio.server}: {reason}")
                self._audio.drop_server(delete=silent)
                self._offer_to_next_server(Side.CALLER if self._stage.phase is Phase.SELECTING else Side.CALLED)
            case Purpose.EARLY_ANSWER:
                self._tell(f"no early media: {reason}")
                if self._stage.phase is Phase.DIALLING:
                    self._ringback.relayed()
            case _:
                self._end(SYSTEM, f"the media server refused the answer: {reason}", 503)

    def out_of_time(self) -> None:
        """The phase has lasted too long."""
        match self._stage.phase:
            case Phase.SELECTING:
                self.media_failed(self._audio.abandon_offer(), "silent", silent=True)
            case Phase.DIALLING:
                status, phrase = self._fork.no_answer()
                self._end(SYSTEM, "no answer", status, phrase=phrase)
            case Phase.ANSWERING | Phase.COMPLETING:
                self._end(SYSTEM, "the media server took too long", 504)
            case Phase.CONFIRMING:
                self._end(SYSTEM, "no ACK came", 408)
            case _:
                pass  # the others last as long as they like


def _name(party: Party) -> str:
    return party.station or party.number or party.line or "unknown"
