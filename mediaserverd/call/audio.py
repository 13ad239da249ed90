"""The path of a call's audio: which media server carries it, what was asked of that server, and what each phone
sees of it.

Direct, descriptions pass from phone to phone; anchored, each goes through the media server first. Either way the call
takes the result from ``ready``, so that nothing else needs to know which of the two it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from mediaserverd.call.commands import Command, MediaAnswer, MediaDelete, MediaOffer
from mediaserverd.call.events import MediaRequest
from mediaserverd.call.setup import OwnOrigin
from mediaserverd.protocol import sdp
from mediaserverd.protocol.negotiation import OwnedSession, Side
from mediaserverd.protocol.sdp import Origin, SdpError, SessionDescription


class Purpose(Enum):
    """What a request to the media server is for."""

    OFFER = "offer"  # the first one of the call
    EARLY_ANSWER = "early answer"
    ANSWER = "answer"
    NEW_OFFER = "new offer"  # of a renegotiation
    NEW_ANSWER = "new answer"
    RESTORE = "restore"  # of what was agreed before a renegotiation that failed


@dataclass(frozen=True, slots=True)
class Relayed:
    """A description that went through the audio path. ``fault`` not empty: it did not, and ``body`` is empty."""

    purpose: Purpose
    body: bytes = b""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """The descriptions in force, as the phones wrote them."""

    offering: Side
    offer: bytes
    answer: bytes


class AudioPath:
    def __init__(
        self, candidates: Sequence[str], origin: OwnOrigin, emit: Callable[[Command], None], look_back_ms: int = 0
    ) -> None:
        self.server = ""  # the one that carries the audio or is asked to; empty: none
        self.ready: deque[Relayed] = deque()
        self.agreed: Agreed | None = None
        self._emit = emit
        self._look_back_ms = look_back_ms
        self._candidates = deque(candidates)
        self._asked = 0
        self._pending: dict[MediaRequest, tuple[Purpose, Side]] = {}
        self._sessions = {
            side: OwnedSession(_origin(origin, origin.session_id + offset)) for offset, side in enumerate(Side)
        }

    def take_next_server(self) -> bool:
        """Whether there was another candidate; its first request is to follow."""
        if self._candidates:
            self.server = self._candidates.popleft()
            return True
        return False

    def drop_server(self, *, delete: bool, discard: bool = False) -> None:
        """This server does not carry the call any more; ``delete`` where it may hold a session, ``discard`` what it
        records."""
        if delete and self.server:
            self._emit(MediaDelete(self.server, discard))
        self.server = ""
        self._pending.clear()

    def offer(self, purpose: Purpose, side: Side, body: bytes) -> None:
        """``body`` is what the phone on ``side`` offers."""
        if self.server:
            self._emit(MediaOffer(self._request(purpose, side), self.server, side, body, self._look_back_ms))
        else:
            self._pass(purpose, side, body)

    def answer(self, purpose: Purpose, side: Side, body: bytes) -> None:
        """``body`` is what the phone on ``side`` answers."""
        if self.server:
            self._emit(MediaAnswer(self._request(purpose, side), self.server, side, body, self._look_back_ms))
        else:
            self._pass(purpose, side, body)

    def replied(self, request: MediaRequest, body: bytes) -> None:
        """A reply nobody waits for any more (the server was dropped) is left alone."""
        if request in self._pending:
            self._pass(*self._pending.pop(request), body)

    def failed(self, request: MediaRequest) -> Purpose | None:
        """What the request was for."""
        return self._pending.pop(request, (None, None))[0]

    @property
    def offer_pending(self) -> bool:
        """The first offer is on its way: no phone knows of the server yet."""
        return any(purpose is Purpose.OFFER for purpose, _ in self._pending.values())

    def abandon_offer(self) -> Purpose:
        self._pending.clear()
        return Purpose.OFFER

    def agree(self, offering: Side, offer: bytes, answer: bytes) -> None:
        self.agreed = Agreed(offering, offer, answer)

    def restore(self) -> None:
        """Takes a refused offer back: the media server hears once more what the phones agreed on."""
        if self.server and self.agreed:
            self.offer(Purpose.RESTORE, self.agreed.offering, self.agreed.offer)
            self.answer(Purpose.RESTORE, self.agreed.offering.other, self.agreed.answer)

    def last_towards(self, side: Side) -> bytes:
        """What the phone on this side heard from us last."""
        last = self._sessions[side].last
        return last.encode() if last else b""

    def _request(self, purpose: Purpose, side: Side) -> MediaRequest:
        self._asked += 1
        request = MediaRequest(self._asked)
        self._pending[request] = purpose, side
        return request

    def _pass(self, purpose: Purpose, side: Side, body: bytes) -> None:
        """Under our own o= line towards the other side."""
        if purpose is Purpose.RESTORE:
            return
        try:
            self._sessions[side.other], description = self._sessions[side.other].stamped(sdp.parse(body))
        except SdpError as error:
            self.ready.append(Relayed(purpose, fault=f"unreadable description: {error}"))
        else:
            self.ready.append(Relayed(purpose, description.encode()))


def readable(body: bytes) -> SessionDescription | None:
    try:
        return sdp.parse(body)
    except SdpError:
        return None


def _origin(own: OwnOrigin, session_id: int) -> Origin:
    kind = "IP6" if ":" in own.address else "IP4"
    return Origin(own.username, session_id, 1, own.address, address_type=kind)
