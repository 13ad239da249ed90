"""The path of a call's audio: which carrier it has (a media server, or none), what was asked of media servers, and what
each phone sees of it.

Direct, descriptions pass from phone to phone; anchored, each goes through the media server first. Either way the call
takes the result from ``ready``, so that nothing else needs to know which of the two it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from mediaserverd.call.commands import Command, MediaAnswer, MediaDelete, MediaOffer
from mediaserverd.call.events import MediaRequest
from mediaserverd.call.setup import OwnOrigin
from mediaserverd.protocol import sdp
from mediaserverd.protocol.negotiation import OwnedSession, Side, narrowed
from mediaserverd.protocol.sdp import Origin, SdpError, SessionDescription

SKIPPED_VERSIONS: Final = 100  # of our o= lines after a restart: a phone ignores what it takes for an old one


class Purpose(Enum):
    """What a request to the media server is for."""

    OFFER = "offer"  # the first one of the call
    EARLY_ANSWER = "early answer"
    ANSWER = "answer"
    NEW_OFFER = "new offer"  # of a renegotiation
    NEW_ANSWER = "new answer"
    RESTORE = "restore"  # of what was agreed before a renegotiation that failed
    PREPARE = "prepare"  # a server that the audio moves to


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the phone on ``side`` describes, after it went through the audio path. ``fault`` not empty: it did not, and
    ``body`` is empty."""

    purpose: Purpose
    side: Side
    body: bytes = b""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """The descriptions in force, as the phones wrote them."""

    offering: Side
    offer: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    """What a reply of a media server will be about."""

    purpose: Purpose
    side: Side
    server: str


@dataclass(frozen=True, slots=True)
class AudioSnapshot:
    """The path as it was last settled, for another process: what each side was told last, and how often before."""

    server: str
    agreed: Agreed
    told: dict[Side, bytes]
    versions: dict[Side, int]


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
        self._pending: dict[MediaRequest, _Request] = {}
        self._sessions = {
            side: OwnedSession(_origin(origin, origin.session_id + offset)) for offset, side in enumerate(Side)
        }

    def snapshot(self) -> AudioSnapshot | None:
        """None: nothing is agreed."""
        if self.agreed is None:
            return None
        told = {side: self.last_towards(side) for side in Side}
        versions = {side: self._sessions[side].origin.version for side in Side}
        return AudioSnapshot(self.server, self.agreed, told, versions)

    def take_over(self, kept: AudioSnapshot) -> None:
        """The path of an earlier process, which may have told the phones more than was written down."""
        self.server, self.agreed = kept.server, kept.agreed
        for side in Side:
            session = self._sessions[side]
            origin = replace(session.origin, version=kept.versions[side] + SKIPPED_VERSIONS)
            told = readable(kept.told[side])
            self._sessions[side] = OwnedSession(origin, told and told.with_origin(origin))

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
        self._keep(lambda asked: asked.server != self.server)
        self.server = ""

    def lose_server(self) -> list[Purpose]:
        """It is dead; direct from now on. What was asked of it and gets no reply."""
        lost = [each.purpose for each in self._pending.values() if each.server == self.server]
        self.drop_server(delete=True)
        return lost

    def carry(self, server: str) -> None:
        """From now on, what the phones offer each other goes through this server (empty: direct)."""
        self.server = server

    def prepare(self, server: str, descriptions: Mapping[Side, SessionDescription]) -> None:
        """The server hears what both phones have agreed on. Its replies are for nobody yet: see ``stamp``."""
        offering = self.agreed.offering if self.agreed else Side.CALLER
        for side, wish in ((offering, MediaOffer), (offering.other, MediaAnswer)):
            request = self._request(Purpose.PREPARE, side, server)
            self._emit(wish(request, server, side, descriptions[side].encode(), self._look_back_ms))

    def forget_preparations(self) -> None:
        """Nobody waits for them any more."""
        self._keep(lambda asked: asked.purpose is not Purpose.PREPARE)

    def offer(self, purpose: Purpose, side: Side, body: bytes) -> None:
        """``body`` is what the phone on ``side`` offers."""
        if self.server:
            request = self._request(purpose, side, self.server)
            self._emit(MediaOffer(request, self.server, side, body, self._look_back_ms))
        else:
            self._pass(purpose, side, body)

    def answer(self, purpose: Purpose, side: Side, body: bytes) -> None:
        """``body`` is what the phone on ``side`` answers."""
        if self.server:
            request = self._request(purpose, side, self.server)
            self._emit(MediaAnswer(request, self.server, side, body, self._look_back_ms))
        else:
            self._pass(purpose, side, body)

    def replied(self, request: MediaRequest, body: bytes) -> None:
        """A reply nobody waits for any more (the server was dropped) is left alone."""
        if request in self._pending:
            asked = self._pending.pop(request)
            self._pass(asked.purpose, asked.side, body)

    def failed(self, request: MediaRequest) -> Purpose | None:
        """What the request was for."""
        asked = self._pending.pop(request, None)
        return asked.purpose if asked else None

    @property
    def offer_pending(self) -> bool:
        """The first offer is on its way: no phone knows of the server yet."""
        return any(asked.purpose is Purpose.OFFER for asked in self._pending.values())

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

    def descriptions(self) -> dict[Side, SessionDescription]:
        """What is agreed, by who wrote it."""
        assert self.agreed is not None
        offering = self.agreed.offering
        return {offering: sdp.parse(self.agreed.offer), offering.other: sdp.parse(self.agreed.answer)}

    def narrowed(self) -> dict[Side, SessionDescription]:
        """The same, reduced to what is in use."""
        assert self.agreed is not None
        said, offering = self.descriptions(), self.agreed.offering
        offer, answer = narrowed(said[offering], said[offering.other])
        return {offering: offer, offering.other: answer}

    def told(self, side: Side) -> SessionDescription | None:
        """What the phone on this side heard from us last."""
        return self._sessions[side].last

    def last_towards(self, side: Side) -> bytes:
        last = self.told(side)
        return last.encode() if last else b""

    def stamp(self, side: Side, description: SessionDescription) -> bytes:
        """The description under our o= line towards this side, to be sent now."""
        self._sessions[side], stamped = self._sessions[side].stamped(description)
        return stamped.encode()

    def _keep(self, wanted: Callable[[_Request], bool]) -> None:
        self._pending = {request: asked for request, asked in self._pending.items() if wanted(asked)}

    def _request(self, purpose: Purpose, side: Side, server: str) -> MediaRequest:
        self._asked += 1
        request = MediaRequest(self._asked)
        self._pending[request] = _Request(purpose, side, server)
        return request

    def _pass(self, purpose: Purpose, side: Side, body: bytes) -> None:
        """Under our own o= line towards the other side, which is told at once; what is only prepared, as it is."""
        if purpose is Purpose.PREPARE:
            self.ready.append(Relayed(purpose, side, body))
        elif purpose is not Purpose.RESTORE:
            self.ready.append(self._relayed(purpose, side, body))

    def _relayed(self, purpose: Purpose, side: Side, body: bytes) -> Relayed:
        try:
            return Relayed(purpose, side, self.stamp(side.other, sdp.parse(body)))
        except SdpError as error:
            return Relayed(purpose, side, fault=f"unreadable description: {error}")


def readable(body: bytes) -> SessionDescription | None:
    try:
        return sdp.parse(body)
    except SdpError:
        return None


def _origin(own: OwnOrigin, session_id: int) -> Origin:
    kind = "IP6" if ":" in own.address else "IP4"
    return Origin(own.username, session_id, 1, own.address, address_type=kind)
