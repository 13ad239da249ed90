"""What passes between two legs that are up: re-INVITE and UPDATE one at a time, be it a phone's or our own move of the
audio; INFO end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mediaserverd.call.audio import AudioPath, Purpose, Relayed, readable
from mediaserverd.call.commands import Acknowledge, AnswerInfo, AnswerOffer, Command, SendInfo
from mediaserverd.call.events import Informed, LegId, Method
from mediaserverd.call.legs import Leg
from mediaserverd.call.move import Move
from mediaserverd.call.renegotiation import Renegotiation
from mediaserverd.call.responses import PHRASES
from mediaserverd.protocol.negotiation import Side, changes

RENEGOTIATION_LIMIT_S: Final = 40.0  # above 64 * T1 = 32 s, in which every SIP transaction ends (RFC 3261 17)
SAME_LEG_RETRY_S: Final = 5  # RFC 3261 14.2 wants 0 to 10
MAX_PENDING_INFOS: Final = 16  # DTMF by INFO sends one at a time; more is a flood


class Conversation:
    def __init__(self, audio: AudioPath, emit: Callable[[Command], None], tell: Callable[[str], None]) -> None:
        self._audio = audio
        self._emit = emit
        self._tell = tell
        self._renegotiation: Renegotiation | None = None
        self._until = 0.0  # it is given up then
        self._move: Move | None = None
        self._infos: dict[int, LegId] = {}

    @property
    def is_busy(self) -> bool:
        """An offer is on its way somewhere, or soon will be again."""
        return self._renegotiation is not None or self._move is not None

    @property
    def is_unsettled(self) -> bool:
        """The phones may have different views of the call."""
        return self._move is not None or (self._renegotiation is not None and not self._renegotiation.is_agreed)

    @property
    def is_moving(self) -> bool:
        return self._move is not None

    @property
    def until(self) -> float | None:
        if self._renegotiation:
            return self._until
        return self._move.deadline if self._move else None

    def begin_move(self, move: Move, now: float) -> None:
        self._move = move
        move.begin(now)
        self._settle(now)

    def offered(self, leg: Leg, peer: Leg | None, method: Method, body: bytes, now: float) -> None:
        """``peer`` None: the call is not far enough for a new offer."""
        running = self._renegotiation
        if running and running.asking is leg:
            self._emit(AnswerOffer(leg.id, 500, PHRASES[500], retry_after_s=SAME_LEG_RETRY_S))  # RFC 3261 14.2
        elif running or peer is None or (self._move and not self._move.is_resting):
            self._emit(AnswerOffer(leg.id, 491, PHRASES[491]))
        elif method is Method.UPDATE and not body:
            self._emit(AnswerOffer(leg.id, 200, "OK"))
        elif body and not readable(body):
            self._emit(AnswerOffer(leg.id, 400, PHRASES[400]))
        else:
            self._tell(f"{leg.side.value} side: {method.value}{self._meaning(leg.side, body)}")
            self._renegotiation = Renegotiation(leg, peer, method, self._audio, self._emit)
            self._until = now + RENEGOTIATION_LIMIT_S
            self._renegotiation.begin(body)

    def offer_answered(self, leg: Leg, body: bytes, now: float) -> None:
        if self._renegotiation and self._renegotiation.asked is leg:
            self._renegotiation.peer_answered(body)
        elif self._move and self._move.asks(leg):
            self._move.answered(leg, body, now)
        else:
            self._emit(Acknowledge(leg.id))  # of something that was given up
        self._settle(now)

    def offer_refused(self, leg: Leg, status: int, phrase: str, now: float) -> None:
        self._tell(f"{leg.side.value} side refuses the offer: {status} {phrase}")
        if self._renegotiation and self._renegotiation.asked is leg:
            self._renegotiation.peer_refused(status, phrase)
        elif self._move and self._move.asks(leg):
            self._move.refused(leg, status, phrase, now)
        self._settle(now)

    def acknowledged(self, leg: Leg, body: bytes, now: float) -> None:
        if self._renegotiation and self._renegotiation.asking is leg:
            self._renegotiation.acknowledged(body)
            self._settle(now)

    def relayed(self, relayed: Relayed, now: float) -> None:
        if relayed.purpose is Purpose.PREPARE:
            if self._move:
                self._move.server_replied(relayed.side, relayed.body, now)
        elif self._renegotiation:
            self._renegotiation.relayed(relayed.purpose, relayed.body)
        self._settle(now)

    def media_failed(self, purpose: Purpose, reason: str, now: float) -> None:
        if purpose is Purpose.PREPARE:
            if self._move:
                self._move.server_failed(reason, now)
                self._settle(now)
        else:
            self._tell(f"the media server refuses the change: {reason}")
            self._give_up(488, now)

    def media_lost(self, server: str, reason: str, now: float) -> None:
        """What the loss means for a move that runs."""
        if self._move:
            self._move.server_lost(server, reason, now)
            self._settle(now)

    def woken(self, now: float) -> None:
        if self.until is None or now < self.until:
            return
        if self._renegotiation:
            self._tell("the change takes too long: given up")
            self._give_up(504, now)
        elif self._move:
            self._move.woken(now)
            self._settle(now)

    def abort(self) -> None:
        """The call ends: whoever asked for something still gets a response (RFC 3261 15.1.2)."""
        if self._renegotiation:
            self._renegotiation.abort()
        self._renegotiation = self._move = None
        for info, leg in self._infos.items():
            self._emit(AnswerInfo(leg, info, 487, PHRASES[487]))
        self._infos.clear()

    def informed(self, leg: Leg, peer: Leg | None, event: Informed) -> None:
        if peer is None or len(self._infos) >= MAX_PENDING_INFOS:
            status = 480 if peer is None else 503
            self._emit(AnswerInfo(leg.id, event.info, status, PHRASES[status]))
            return
        self._infos[event.info] = leg.id
        self._emit(SendInfo(peer.id, event.info, event.content_type, event.body, event.headers))

    def info_answered(self, info: int, status: int, phrase: str) -> None:
        if info in self._infos:
            self._emit(AnswerInfo(self._infos.pop(info), info, status, phrase))

    def _give_up(self, status: int, now: float) -> None:
        if self._renegotiation:
            self._renegotiation.fail(status)
            self._settle(now)

    def _settle(self, now: float) -> None:
        if self._renegotiation and self._renegotiation.over:
            self._renegotiation = None
            if self._move:
                self._move.offer_served(now)
        if self._move and self._move.over:
            self._move = None

    def _meaning(self, side: Side, body: bytes) -> str:
        """What the new offer is about, for the story."""
        agreed = self._audio.agreed
        if not body:
            return " asks for an offer"
        if not agreed:
            return ""
        old, new = readable(agreed.offer if side is agreed.offering else agreed.answer), readable(body)
        found = sorted(change.value for change in changes(old, new)) if old and new else []
        return f" ({', '.join(found)})" if found else " (no change)"
