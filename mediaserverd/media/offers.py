"""The commands ``offer`` and ``answer``: who speaks, where they can be reached, and what the other side is told.

Not responsible for the rest of the commands (``commands``), nor for how a description is rewritten (``relay_sdp``).
"""

from __future__ import annotations

import time
from typing import Final

import structlog

from mediaserverd.media.engine import Endpoint, Engine, Latching
from mediaserverd.media.relay_sdp import Audio, address_type, audio_of, relayed
from mediaserverd.media.sessions import SIDES, Owner, Party, Session, Sessions, Side
from mediaserverd.media.terms import Terms
from mediaserverd.protocol.ng import Reason, Request
from mediaserverd.protocol.sdp import SdpError, SessionDescription, parse

# Of the protocol's keys those that are acted on; the others are taken and logged, as proxies send many out of habit.
_KNOWN: Final = frozenset({
    "sdp", "call-id", "from-tag", "to-tag", "via-branch", "label", "from-label", "received-from", "media-address",
    "address-family", "replace", "rtcp-mux", "record-call", "metadata", "supports", "sip-message-type", "sip-code",
    "recording-id", "segment", "recording-format", "encrypt", "recording-mime-type", "pre-record-ms", "look-back-ms",
})  # fmt: skip
_SIDE_NAMES: Final[dict[str, Side]] = {"caller": 0, "called": 1}

log = structlog.get_logger()


class CommandFault(Exception):
    """The answer is an error with this text."""


def required(request: Request, name: str, missing: Reason) -> str:
    value = request.text(name)
    if value is None:
        raise CommandFault(missing)
    return value


class Offers:
    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions

    def session_for_offer(
        self, request: Request, owner: Owner | None, terms: Terms
    ) -> tuple[Session, SessionDescription]:
        """The call of an offer, opened on these terms if it is new. Raises CommandFault or NoRoom."""
        call_id = required(request, "call-id", Reason.NO_CALL_ID)
        required(request, "from-tag", Reason.NO_FROM_TAG)
        description, audio = _described(request)
        session = self._sessions.find(terms.controller, call_id)
        if session is None:
            side = _side_of_new(request)
            theirs = address_type_or_ip4(audio.address)
            towards_them, towards_other = terms.local(theirs), terms.local(request.text("address-family") or theirs)
            locals_ = (towards_them, towards_other) if side == 0 else (towards_other, towards_them)
            session = self._sessions.open(call_id, terms, locals_, owner)
            session.parties[side].tag = request.text("from-tag") or ""
        session.owner = owner or session.owner
        return session, description

    def session_for_answer(
        self, request: Request, owner: Owner | None, controller: str
    ) -> tuple[Session, SessionDescription]:
        call_id = required(request, "call-id", Reason.NO_CALL_ID)
        required(request, "from-tag", Reason.NO_FROM_TAG)
        required(request, "to-tag", Reason.NO_TO_TAG)
        description, _ = _described(request)
        session = self._sessions.find(controller, call_id)
        if session is None:
            raise CommandFault(Reason.UNKNOWN_CALL)
        session.owner = owner or session.owner
        return session, description

    def apply(self, request: Request, session: Session, description: SessionDescription) -> str:
        """Takes what one side says of itself and returns what the other side is told."""
        answering = request.command == "answer"
        side = side_of(session, request, answering=answering)
        audio = audio_of(description)
        assert audio is not None
        party, other = session.parties[side], session.parties[1 - side]
        self._agree_on_mux(request, audio, party, other, answering=answering)
        self._set_remote(request, session, side, audio, party)
        self._remember(request, session, audio, party, answering=answering)
        replace = request.words("replace")
        try:
            rewritten = relayed(
                description,
                request.text("media-address") or session.advertised[1 - side],
                session.ports[1 - side],
                mux=other.mux if answering else other.mux_offered,
                replace_origin="origin" in replace or "origin-full" in replace,
                replace_zero_address="zero-address" in replace,
            )
        except ValueError as fault:  # a media address that is none
            raise CommandFault(Reason.REWRITING) from fault
        return str(rewritten)

    @staticmethod
    def _agree_on_mux(request: Request, audio: Audio, party: Party, other: Party, *, answering: bool) -> None:
        """RFC 5761: each leg for itself. What a side offers is accepted; we offer it only when told to."""
        modes = request.words("rtcp-mux")
        if answering:
            party.mux = party.mux_offered and audio.mux
        else:
            party.mux = audio.mux and "reject" not in modes
            other.mux_offered = "offer" in modes or "require" in modes

    def _set_remote(self, request: Request, session: Session, side: Side, audio: Audio, party: Party) -> None:
        rtp: Endpoint | None = None
        if audio.address is not None:
            rtp = (_source_address(request) or audio.address, audio.port)
        rtcp = (rtp[0], audio.rtcp_port) if rtp and audio.rtcp_port else None
        try:
            self._engine.set_remote(
                session.number, side, rtp, rtcp,
                rtcp_mux=party.mux, latching=_latching(request), clock_rates=audio.clock_rates,
            )  # fmt: skip
        except (ValueError, OSError) as fault:  # a host name, or an address of the other family
            log.warning("remote_address_unusable", call_id=session.call_id, address=rtp, fault=str(fault))
            raise CommandFault(Reason.BAD_SDP) from fault

    @staticmethod
    def _remember(request: Request, session: Session, audio: Audio, party: Party, *, answering: bool) -> None:
        party.label = request.text("label", "from-label") or party.label
        party.via_branch = request.text("via-branch") or party.via_branch
        party.protocol = audio.protocol
        party.codecs = dict(audio.codecs)
        party.two_way = audio.two_way
        provisional = 100 <= request.number("sip-code", 200) < 200  # early media is no answer yet
        session.answered = session.answered or (answering and not provisional)
        session.signalled = time.monotonic()
        if ignored := sorted(request.fields.keys() - _KNOWN):
            log.debug("ng_keys_ignored", call_id=session.call_id, keys=ignored)


def _described(request: Request) -> tuple[SessionDescription, Audio]:
    body = required(request, "sdp", Reason.NO_SDP)
    try:
        description = parse(body)
    except SdpError as fault:
        log.warning("sdp_refused", call_id=request.text("call-id"), fault=str(fault))
        raise CommandFault(Reason.BAD_SDP) from fault
    audio = audio_of(description)
    if audio is None:
        raise CommandFault(Reason.INCOMPLETE_SDP)
    return description, audio


def address_type_or_ip4(address: str | None) -> str:
    try:
        return address_type(address or "0.0.0.0")  # noqa: S104 - held, so its family does not matter yet
    except ValueError:
        return "IP4"


def _side_of_new(request: Request) -> Side:
    """The one who offers first is the caller, unless tag or label say otherwise."""
    for name in (request.text("label", "from-label"), request.text("from-tag")):
        if name in _SIDE_NAMES:
            return _SIDE_NAMES[name]
    return 0


def side_of(session: Session, request: Request, *, answering: bool) -> Side:
    """Whose description this is. A new tag of the answering side (a fork that answered) takes its place."""
    speaker, listener = request.text("from-tag") or "", request.text("to-tag") or ""
    if answering:
        speaker, listener = listener, speaker
    tags = [party.tag for party in session.parties]
    for side in SIDES:
        if tags[side] == speaker:
            return side
    for side in SIDES:
        known_listener = tags[1 - side] == listener and listener
        if known_listener or (not tags[side] and not listener):
            session.parties[side].tag = speaker
            return side
    raise CommandFault(Reason.BAD_DIALOGUE)


def _source_address(request: Request) -> str | None:
    """Where the SIP message came from, for phones behind a NAT whose descriptions tell a private address."""
    received = request.fields.get("received-from")
    if "sip-source-address" not in request.flags or not isinstance(received, list) or len(received) != 2:
        return None
    return str(received[1])


def _latching(request: Request) -> Latching:
    if "strict-source" in request.flags:
        return "strict"
    return "asymmetric" if "asymmetric" in request.flags else "symmetric"
