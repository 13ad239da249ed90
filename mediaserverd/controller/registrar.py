"""REGISTER (RFC 3261 section 10): what a phone asks for, checked, as a change of its locations and an answer.

Not responsible for proving who it is (``authentication``), nor for keeping contacts (``locations``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from mediaserverd.controller.locations import Binding, Locations
from mediaserverd.controller.settings import Station
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.message import Request
from mediaserverd.protocol.sip.uri import NameAddress

log = structlog.get_logger()

EXPIRES_MIN_S = 60  # below, the phones of a site keep the registrar busy; 423 names it
EXPIRES_DEFAULT_S = 3600
EXPIRES_MAX_S = 7200  # longer is shortened, as RFC 3261 10.2.4 allows
CONTACT_LIMIT = 10  # per station. Above it the one that expires first goes: a phone that reboots leaves dead ones
USER_AGENT_LIMIT = 100  # characters kept of what a phone says it is


@dataclass(frozen=True, slots=True)
class RegisterAnswer:
    status: int
    reason: str = ""
    headers: tuple[tuple[str, object], ...] = ()


class Registrar:
    def __init__(self, locations: Locations, clock: Callable[[], float] = time.time) -> None:
        self._locations = locations
        self._clock = clock

    def register(self, request: Request, source: Flow, station: Station) -> RegisterAnswer:
        """Raises SipError when a header is malformed. ``station`` is who has proven to be the sender."""
        if request.to.uri.user_text not in (station.name, station.extension):
            return RegisterAnswer(403, "This user name may not register that address")
        if request.uri.scheme not in ("sip", "sips"):
            return RegisterAnswer(416)
        if request.has_star_contact or "*" in request.headers.elements("Contact"):
            return self._remove_all(request, station)
        if any(contact.uri.scheme not in ("sip", "sips") for contact in request.contacts):
            return RegisterAnswer(400, "Contact must be a SIP URI")
        brief = [expires for each in request.contacts if 0 < (expires := _expires(request, each)) < EXPIRES_MIN_S]
        if brief:
            return RegisterAnswer(423, headers=(("Min-Expires", EXPIRES_MIN_S),))
        return self._change(request, source, station)

    def _remove_all(self, request: Request, station: Station) -> RegisterAnswer:
        if not request.has_star_contact or request.expires != 0:
            return RegisterAnswer(400, "Contact: * must be alone and with Expires: 0")
        if any(_is_late(request, binding) for binding in self._locations.of(station.name)):
            return RegisterAnswer(500, "CSeq is out of order")
        self._locations.replace(station.name, ())
        log.debug("registration_removed", station=station.name)
        return self._listing(station)

    def _change(self, request: Request, source: Flow, station: Station) -> RegisterAnswer:
        """All contacts of the request or none (RFC 3261 10.3 step 7)."""
        now = self._clock()
        bindings = {str(binding.contact): binding for binding in reversed(self._locations.of(station.name))}
        for contact in request.contacts:
            same = next((key for key, binding in bindings.items() if binding.contact.matches(contact.uri)), None)
            if same is not None and _is_late(request, bindings.pop(same)):
                return RegisterAnswer(500, "CSeq is out of order")
            expires_s = _expires(request, contact)
            if expires_s:
                bindings[str(contact.uri)] = _binding(request, source, station, contact, now + expires_s)
        while len(bindings) > CONTACT_LIMIT:
            del bindings[min(bindings, key=lambda key: bindings[key].expires_at)]
        if request.contacts:
            self._locations.replace(station.name, bindings.values())
            log.debug("registered", station=station.name, contacts=list(bindings))
        return self._listing(station)

    def _listing(self, station: Station) -> RegisterAnswer:
        now = self._clock()
        contacts = (
            ("Contact", f"<{binding.contact}>;q={binding.q:g};expires={max(1, round(binding.expires_at - now))}")
            for binding in self._locations.of(station.name)
        )
        return RegisterAnswer(200, headers=tuple(contacts))


def _expires(request: Request, contact: NameAddress) -> int:
    """The contact's own time, else the request's, else ours. A malformed one counts as ours (RFC 3261 10.2.1.1)."""
    text = contact.parameters.get("expires")
    if text is not None:
        given = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else EXPIRES_DEFAULT_S
    else:
        given = EXPIRES_DEFAULT_S if request.expires is None else request.expires
    return min(given, EXPIRES_MAX_S)


def _is_late(request: Request, binding: Binding) -> bool:
    """RFC 3261 10.3 step 7: the same Call-ID with a number that is not higher is an older request."""
    return binding.call_id == request.call_id and request.cseq.number <= binding.cseq


def _binding(request: Request, source: Flow, station: Station, contact: NameAddress, expires_at: float) -> Binding:
    return Binding(
        station.name,
        contact.uri,
        _way_to(contact, source),
        expires_at,
        request.call_id,
        request.cseq.number,
        _q(contact),
        (request.headers.get("User-Agent") or "")[:USER_AGENT_LIMIT],
    )


def _way_to(contact: NameAddress, source: Flow) -> Flow:
    """The connection that the phone opened (RFC 5626); over UDP the address it came from, unless its contact names
    another port of the same address: then it listens there."""
    if source.transport != "udp" or contact.uri.host != source.remote[0]:
        return source
    return Flow("udp", source.local, (contact.uri.host, contact.uri.port or 5060))


def _q(contact: NameAddress) -> float:
    try:
        return min(1.0, max(0.0, float(contact.parameters.get("q") or 1.0)))
    except ValueError:
        return 1.0
