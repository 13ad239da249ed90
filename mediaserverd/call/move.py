"""One move of a call's audio to another carrier: a media server, or none (the phones talk directly).

::

    onto a server:  MediaOffer + MediaAnswer of what is agreed -> SendOffer to both phones at once -> both have answered
    to direct:                                                    SendOffer to both phones at once -> both have answered

The server has both legs ready before any phone hears of it, and the phones keep their ports: so while one has moved
and the other has not, audio flows both ways. What the phones are offered is narrowed to the codec that they use, so
that their answers agree. A phone that answers with another port or codec all the same: whoever sends to it is told.

491 is waited out as RFC 3261 14.1 says, and a phone's own offer may be served meanwhile, through the new carrier: that
moves both phones too. Any other refusal brings a phone that has moved back to where it was.

Knows nothing of why the audio moves, nor what becomes of the carrier that is left (``anchoring``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mediaserverd.call.audio import AudioPath, readable
from mediaserverd.call.commands import Acknowledge, Command, SendOffer
from mediaserverd.call.events import CALLER
from mediaserverd.call.legs import Leg
from mediaserverd.protocol.negotiation import Side, beside, changes, is_still_true
from mediaserverd.protocol.sdp import SessionDescription

MOVE_LIMIT_S: Final = 40.0  # above 64 * T1 = 32 s, in which every SIP transaction ends (RFC 3261 17)
MAX_TRIES: Final = 6  # of one phone that says 491: with the waits between them, up to 20 s
MAX_CORRECTIONS: Final = 3  # rounds in which a phone is told of what the other one's answer has changed
_GOLDEN: Final = 0.618034  # steps that spread the waits over their range, whatever the first one was


class Progress(Enum):
    """What is on the way to a phone."""

    IDLE = "nothing"
    ASKED = "an offer"
    RESTING = "nothing: one of its own was on the way, and it is asked again later"
    ANSWERED = "nothing any more: it took the offer"


@dataclass(slots=True)
class _Phone:
    """Descriptions: what it was told ``before`` and is ``told`` now, what it ``said`` then and says now, and what the
    carrier (or, direct, the other phone) knows of that."""

    leg: Leg
    before: SessionDescription
    original: SessionDescription
    said: SessionDescription
    known: SessionDescription
    told: SessionDescription
    progress: Progress = Progress.IDLE
    moved: bool = False  # it took an offer of the new carrier
    tries: int = 0
    retry_at: float = 0.0


class Move:
    """``dice`` is from 0 up to 1. ``dead``: the old carrier is; nobody goes back to it.

    Once ``over``: without ``fault`` the audio runs through ``target``, with it through ``origin`` as before. ``split``:
    a phone is perhaps left on the target all the same, which so must live as long as the call. Not ``prepared``: the
    server was not ready, and no phone has heard of it. ``by_server``: it was the target that failed, not a phone.
    """

    def __init__(
        self,
        target: str,
        legs: tuple[Leg, Leg],
        audio: AudioPath,
        emit: Callable[[Command], None],
        dice: float,
        *,
        dead: bool = False,
    ) -> None:
        self.target, self.origin = target, audio.server
        self.over = self.prepared = self.split = self.by_server = False
        self.fault = ""
        self._audio = audio
        self._emit = emit
        self._dice = dice
        self.dead = dead
        self._returning = False
        self._until = 0.0
        self._corrections = 0
        self._views: dict[Side, SessionDescription] = {}  # what each side is to be told
        self._views_owed = 0
        self._agreed = audio.agreed
        self._phones = self._standing(legs)

    def _standing(self, legs: tuple[Leg, Leg]) -> dict[Side, _Phone]:
        said, known = self._audio.descriptions(), self._audio.narrowed()
        return {
            leg.side: _Phone(leg, before, said[leg.side], said[leg.side], known[leg.side], before)
            for leg in legs
            for before in (self._audio.told(leg.side) or said[leg.side.other],)
        }

    @property
    def is_resting(self) -> bool:
        """Nothing is on the way to a phone: an offer of its own may be served."""
        stands = [phone.progress for phone in self._phones.values()]
        return Progress.RESTING in stands and Progress.ASKED not in stands and not self._views_owed

    @property
    def leads_to_server(self) -> bool:
        """A server is ready for the phones, which are on their way to it or there."""
        return bool(self.target) and self.prepared and not self.fault and not self._returning

    def asks(self, leg: Leg) -> bool:
        return not self.over and self._phones[leg.side].progress is Progress.ASKED

    @property
    def deadline(self) -> float | None:
        if self.over:
            return None
        rests = [phone.retry_at for phone in self._phones.values() if phone.progress is Progress.RESTING]
        return min((self._until, *rests))

    def begin(self, now: float) -> None:
        self._until = now + MOVE_LIMIT_S
        if self.target:
            self._tell_server()
        else:
            self._views = {side: self._phones[side.other].known for side in Side}
            self._ask_both(now)

    # --- the media server

    def server_replied(self, side: Side, body: bytes, now: float) -> None:
        """What the other side is to be told of ``side``."""
        view = readable(body)
        if view is None:
            self.server_failed("it returned no readable description", now)
            return
        self._views[side.other] = beside(view, self._phones[side].known)
        self._views_owed -= 1
        if self._views_owed == 0 and self.prepared:
            self._advance(now)
        elif self._views_owed == 0:
            self._ask_both(now)

    def server_failed(self, reason: str, now: float) -> None:
        self.by_server = self.by_server or not (self.fault or self._returning)
        self._audio.forget_preparations()
        self._views_owed = 0
        if self.prepared:
            self._spoil(f"media server {self._carrier}: {reason}", now)
        else:
            self._finish(f"media server {self.target}: {reason}")

    def server_lost(self, server: str, reason: str, now: float) -> None:
        if server == self._carrier:
            self.server_failed(f"lost: {reason}", now)
        elif server == self.origin:
            self.dead = True

    # --- the phones

    def answered(self, leg: Leg, body: bytes, now: float) -> None:
        phone = self._phones[leg.side]
        self._emit(Acknowledge(leg.id))
        phone.progress, phone.moved = Progress.ANSWERED, not self._returning
        said = readable(body)
        if said is None or (said.audio is None and phone.told.audio):
            self._spoil(f"the {leg.side.value} side gave no usable answer", now)
            return
        phone.said = said
        if changes(phone.known, said):
            phone.known = said
            self._spread(leg.side)
        self._advance(now)

    def refused(self, leg: Leg, status: int, phrase: str, now: float) -> None:
        phone = self._phones[leg.side]
        hopeless = self.fault and not self._returning
        if status == 491 and phone.tries < MAX_TRIES and not hopeless:
            phone.progress, phone.retry_at = Progress.RESTING, now + self._wait_s(phone)
            self._advance(now)
        else:
            phone.progress = Progress.IDLE
            self._spoil(f"the {leg.side.value} side refuses: {status} {phrase}", now)

    def offer_served(self, now: float) -> None:
        """A phone's own offer had its turn while the move was resting. If it was taken, both phones are there."""
        if self._audio.agreed is self._agreed:
            self.woken(now)
        else:
            self._finish(self.fault)

    def woken(self, now: float) -> None:
        if now >= self._until:
            self._out_of_time(now)
            return
        for phone in self._phones.values():
            if phone.progress is Progress.RESTING and now >= phone.retry_at:
                self._ask(phone)

    # --- inside

    @property
    def _carrier(self) -> str:
        return self.origin if self._returning else self.target

    def _tell_server(self) -> None:
        self._views_owed = 2
        self._audio.forget_preparations()  # the replies to an earlier telling are out of date
        self._audio.prepare(self._carrier, {side: phone.known for side, phone in self._phones.items()})

    def _spread(self, side: Side) -> None:
        """This phone has changed something in its answer."""
        if self._carrier:
            self._tell_server()
        else:
            self._views[side.other] = self._phones[side].known

    def _ask_both(self, now: float) -> None:
        self.prepared = True
        self._audio.carry(self.target)
        for phone in self._phones.values():
            self._ask(phone)

    def _ask(self, phone: _Phone) -> None:
        phone.told = self._views[phone.leg.side]
        phone.progress = Progress.ASKED
        phone.tries += 1
        self._emit(SendOffer(phone.leg.id, self._audio.stamp(phone.leg.side, phone.told)))

    def _advance(self, now: float) -> None:
        stands = [phone.progress for phone in self._phones.values()]
        if self.over or self._views_owed or Progress.ASKED in stands:
            return
        if self.fault and not self._returning:
            self._go_back(now)
            return
        if Progress.RESTING in stands:
            return
        wrong = [phone for phone in self._phones.values() if not is_still_true(phone.told, self._views[phone.leg.side])]
        if not wrong:
            self._finish(self.fault)
        elif self._corrections < MAX_CORRECTIONS:
            self._corrections += 1
            for phone in wrong:
                self._ask(phone)
        else:
            self._spoil("the phones do not come to agree", now)

    def _spoil(self, reason: str, now: float) -> None:
        self.fault = self.fault or reason
        if self._returning:
            self._finish(self.fault, split=True)
        else:
            self._advance(now)

    def _go_back(self, now: float) -> None:
        moved = [phone for phone in self._phones.values() if phone.moved]
        if self.dead or not moved:
            self._finish(self.fault, split=bool(moved))
            return
        self._returning, self._until, self._corrections = True, now + MOVE_LIMIT_S, 0
        self._audio.forget_preparations()
        self._audio.carry(self.origin)
        for side, phone in self._phones.items():
            phone.progress, phone.tries = Progress.IDLE, 0
            phone.known, phone.told, self._views[side] = phone.original, phone.before, phone.before
        for phone in moved:
            self._ask(phone)

    def _out_of_time(self, now: float) -> None:
        for phone in self._phones.values():
            if phone.progress is Progress.ASKED:
                phone.progress, self.split = Progress.IDLE, True  # it may still take the offer
        self._views_owed = 0
        self._spoil("it takes too long", now)

    def _finish(self, fault: str, *, split: bool = False) -> None:
        self.over, self.fault, self.split = True, fault, self.split or split
        self._audio.forget_preparations()
        phones = self._phones.values()
        if fault and self.prepared:
            self._audio.carry(self.origin)
        served = self._audio.agreed is not self._agreed
        if self._agreed and not served and not self.split and any(phone.said is not phone.original for phone in phones):
            offering = self._agreed.offering
            offer, answer = self._phones[offering].said, self._phones[offering.other].said
            self._audio.agree(offering, offer.encode(), answer.encode())

    def _wait_s(self, phone: _Phone) -> float:
        """RFC 3261 14.1: whose Call-ID it is waits longer, so that the two do not meet again. Ours is the called
        leg's. Never not at all, which would only ask the same once more."""
        fraction = (self._dice + phone.tries * _GOLDEN) % 1
        return round(0.01 + 1.99 * fraction, 2) if phone.leg.id == CALLER else round(2.1 + 1.9 * fraction, 2)
