"""One re-INVITE or UPDATE through the call: offer -> audio path -> other phone -> audio path -> answer.

::

    offer given:  Offered -> MediaOffer -> SendOffer -> OfferAnswered -> MediaAnswer -> AnswerOffer [-> Acknowledged]
    offer asked:  Offered -> SendOffer -> OfferAnswered -> MediaOffer -> AnswerOffer -> Acknowledged -> MediaAnswer
                  -> Acknowledge

A refusal on the way goes back to the phone that began, and the call stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from mediaserverd.call.audio import AudioPath, Purpose, readable
from mediaserverd.call.commands import Acknowledge, AnswerOffer, Command, SendOffer
from mediaserverd.call.events import Method
from mediaserverd.call.legs import Leg
from mediaserverd.call.responses import PHRASES, mapped


class Waiting(Enum):
    """What for."""

    MEDIA_OFFER = "the media server's view of the offer"
    PEER = "the other phone"
    MEDIA_ANSWER = "the media server's view of the answer"
    ACK = "the ACK"
    NOTHING = "nothing: it is over"


class Renegotiation:
    def __init__(
        self, asking: Leg, asked: Leg, method: Method, audio: AudioPath, emit: Callable[[Command], None]
    ) -> None:
        self.asking, self.asked = asking, asked
        self.waiting = Waiting.PEER
        self._method = method
        self._late = False  # the asking phone sent no offer: the other one makes it
        self._audio = audio
        self._emit = emit
        self._offer = self._answer = b""
        self._responded = False

    @property
    def over(self) -> bool:
        return self.waiting is Waiting.NOTHING

    @property
    def is_agreed(self) -> bool:
        """Both phones know; only the ACK is missing."""
        return self.waiting is Waiting.ACK and not self._late

    def begin(self, offer: bytes) -> None:
        if offer:
            self._relay_offer(self.asking, offer)
        else:
            self._late = True
            self._emit(SendOffer(self.asked.id))

    def relayed(self, purpose: Purpose, body: bytes) -> None:
        match self.waiting, purpose:
            case Waiting.MEDIA_OFFER, Purpose.NEW_OFFER if self._late:
                self._respond(200, "OK", body)
                self.waiting = Waiting.ACK
            case Waiting.MEDIA_OFFER, Purpose.NEW_OFFER:
                self._emit(SendOffer(self.asked.id, body))
                self.waiting = Waiting.PEER
            case Waiting.MEDIA_ANSWER, Purpose.NEW_ANSWER if self._late:
                self._audio.agree(self.asked.side, self._offer, self._answer)
                self._acknowledge(body)
                self.waiting = Waiting.NOTHING
            case Waiting.MEDIA_ANSWER, Purpose.NEW_ANSWER:
                self._audio.agree(self.asking.side, self._offer, self._answer)
                self._respond(200, "OK", body)
                self.waiting = Waiting.ACK if self._method is Method.INVITE else Waiting.NOTHING
            case _:
                pass  # of a step that is over

    def peer_answered(self, body: bytes) -> None:
        self.asked.owes_ack = True
        if self.waiting is not Waiting.PEER:
            self._acknowledge()
        elif self._late and readable(body):
            self._relay_offer(self.asked, body)
        elif self._late:
            self.fail(502)
        else:
            self._acknowledge()
            self._relay_answer(self.asked, body)

    def peer_refused(self, status: int, phrase: str) -> None:
        if self.waiting is Waiting.PEER:
            self.fail(*mapped(status, phrase))

    def acknowledged(self, body: bytes) -> None:
        if self.waiting is not Waiting.ACK:
            return
        if self._late:
            self._relay_answer(self.asking, body)
        else:
            self.waiting = Waiting.NOTHING

    def fail(self, status: int, phrase: str = "") -> None:
        """Back to where the call was, on every side that has moved."""
        self._respond(status, phrase or PHRASES[status])
        if self.asked.owes_ack:
            # Its 2xx made an offer that nobody answers; what it heard last from us is an answer that changes nothing.
            self._acknowledge(self._audio.last_towards(self.asked.side))
        if self._offer:
            self._audio.restore()
        self.waiting = Waiting.NOTHING

    def abort(self) -> None:
        """The call ends: the asking phone still gets its response (RFC 3261 15.1.2)."""
        self._respond(487, PHRASES[487])
        self.waiting = Waiting.NOTHING

    def _relay_offer(self, leg: Leg, body: bytes) -> None:
        self._offer = body
        self._audio.offer(Purpose.NEW_OFFER, leg.side, body)
        self.waiting = Waiting.MEDIA_OFFER

    def _relay_answer(self, leg: Leg, body: bytes) -> None:
        if not readable(body):
            self.fail(502)
            return
        self._answer = body
        self._audio.answer(Purpose.NEW_ANSWER, leg.side, body)
        self.waiting = Waiting.MEDIA_ANSWER

    def _respond(self, status: int, phrase: str, body: bytes = b"") -> None:
        if not self._responded:
            self._responded = True
            self._emit(AnswerOffer(self.asking.id, status, phrase, body))

    def _acknowledge(self, body: bytes = b"") -> None:
        self.asked.owes_ack = False
        self._emit(Acknowledge(self.asked.id, body))
