"""Ways to a phone or through a line: the INVITE to send, and the flows to try it on, one after the other.

Not responsible for what happens when it is answered (``live_call``).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from mediaserverd.controller.authentication import LineCredentials
from mediaserverd.controller.capabilities import CAPABILITIES, PRODUCT
from mediaserverd.controller.locations import Binding
from mediaserverd.controller.resolver import ResolveFault, Resolver, Target
from mediaserverd.controller.settings import Line
from mediaserverd.controller.sip import SipSockets
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.grammar import Parameters
from mediaserverd.protocol.sip.message import Headers, Request
from mediaserverd.protocol.sip.uri import NameAddress, Uri, escape_user

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ContactWay:
    """To one registered contact."""

    binding: Binding
    number: str

    def __str__(self) -> str:
        return str(self.binding.contact)


@dataclass(frozen=True, slots=True)
class LineWay:
    """To a number through a line."""

    line: Line
    number: str

    def __str__(self) -> str:
        return f"{self.number} through line {self.line.name}"


Way = ContactWay | LineWay


class Dialling:
    def __init__(self, sockets: SipSockets, resolver: Resolver) -> None:
        self._sockets = sockets
        self._resolver = resolver
        self._credentials: dict[str, LineCredentials] = {}

    def credentials(self, line: Line) -> LineCredentials:
        """One for all calls of a line, because nonce counts go on from call to call."""
        known = self._credentials.get(line.name)
        if known is None or known.line != line:
            known = self._credentials[line.name] = LineCredentials(line)
        return known

    def invite(self, way: Way, calling: Party, max_forwards: int, body: bytes) -> Request:
        """Without Via and Contact, which depend on the flow."""
        own = self._sockets.advertised
        caller = NameAddress(calling.name, Uri("sip", escape_user(calling.number or "anonymous"), host=own))
        uri = _request_uri(way)
        to = uri if isinstance(way, LineWay) else Uri("sip", escape_user(way.number), host=own)
        headers = [
            ("Max-Forwards", max_forwards),
            ("From", caller.with_tag(secrets.token_hex(8))),
            ("To", NameAddress("", replace(to, port=None, parameters=Parameters()))),
            ("Call-ID", secrets.token_hex(16)),
            ("CSeq", "1 INVITE"),
            ("User-Agent", PRODUCT),
            *CAPABILITIES.headers(),
        ]
        typed = [*headers, ("Content-Type", "application/sdp")] if body else headers
        return Request("INVITE", uri, Headers(typed), body)

    async def line_flows(self, line: Line) -> AsyncIterator[Flow]:
        """RFC 3263 4.3: what can be connected to, in order. Nothing comes when there is no way at all."""
        where = Uri.parse(f"sip:{line.address}")
        try:
            targets = await self._resolver.targets(where.host, where.port, line.transport)
        except ResolveFault as fault:
            log.warning("line_not_found", line=line.name, reason=str(fault))
            return
        for target in targets:
            flow = await self._connected(line, target)
            if flow is not None:
                yield flow

    async def _connected(self, line: Line, target: Target) -> Flow | None:
        try:
            return await self._sockets.connect(target.transport, (target.address, target.port), target.name)
        except OSError as fault:
            reason = str(fault) or type(fault).__name__
            log.warning("line_not_reached", line=line.name, address=target.address, port=target.port, reason=reason)
            return None


def _request_uri(way: Way) -> Uri:
    if isinstance(way, ContactWay):
        return replace(way.binding.contact, headers=(), parameters=way.binding.contact.parameters.without("method"))
    where = Uri.parse(f"sip:{way.line.address}")
    transport = [("transport", way.line.transport)] if way.line.transport not in ("", "udp") else []
    return replace(where, user=escape_user(way.number), parameters=Parameters(transport))
