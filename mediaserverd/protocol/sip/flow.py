"""Where a message goes and comes from, and what the top Via has to do with it (RFC 3261 section 18, RFC 3581).

Responsible for: flows, our own Via, branch and Contact, the way back of a response, and how we recognise ourselves.
Not for: finding the address of a host name (RFC 3263), sockets, connections.

Deviations from RFC 3261:

- ``maddr`` in a Via is ignored: nobody sends SIP by multicast any more, and it would let a stranger aim our responses.
- A request over UDP is not moved to TCP because it is long (18.1.1): whoever chooses the flow knows its path better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from zlib import crc32

from mediaserverd.protocol.sip.grammar import Parameters
from mediaserverd.protocol.sip.headers import Via
from mediaserverd.protocol.sip.message import Request
from mediaserverd.protocol.sip.uri import Uri

__all__ = [
    "MAGIC_COOKIE",
    "Address",
    "Flow",
    "Identity",
    "is_behind_nat",
    "is_numeric",
    "next_flow",
    "response_flow",
    "stamped",
]

Address = tuple[str, int]

MAGIC_COOKIE = "z9hG4bK"
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


@dataclass(frozen=True, slots=True)
class Flow:
    """One way between this host and another. ``connection`` is the name that the owner of the sockets gave it.

    A TCP or TLS flow without ``connection`` asks the owner to use, or to open, any connection to ``remote``.
    """

    transport: str  # udp, tcp, tls
    local: Address  # the listener it came to, or should leave from
    remote: Address
    connection: int | None = None

    @property
    def reliable(self) -> bool:
        return self.transport != "udp"


class Identity:
    """What we call ourselves on each transport (Via, Contact), and the mark by which we know our own branches."""

    __slots__ = ("_addresses", "_mark", "_tokens", "_user")

    def __init__(self, addresses: Mapping[str, Address], tokens: Callable[[], str], user: str | None = None) -> None:
        self._addresses = addresses
        self._tokens = tokens
        self._user = user
        self._mark = f"{MAGIC_COOKIE}{tokens()}."

    def via(self, request: Request, flow: Flow) -> Via:
        host, port = self._sent_by(flow)
        branch = f"{self._mark}{_digest(request.uri)}.{self._tokens()}"
        return Via(flow.transport.upper(), host, port, Parameters([("branch", branch), ("rport", None)]))

    def contact(self, flow: Flow) -> str:
        host, port = self._sent_by(flow)
        parameters = Parameters() if flow.transport == "udp" else Parameters([("transport", flow.transport)])
        return f"<{Uri('sip', self._user, None, host, port, parameters)}>"

    def has_passed(self, request: Request) -> bool:
        """Did we send this request to the same user before? Then it would go round for ever."""
        start = f"{self._mark}{_digest(request.uri)}."
        return any((via.branch or "").startswith(start) for via in request.via)

    def _sent_by(self, flow: Flow) -> Address:
        return self._addresses.get(flow.transport, flow.local)


def stamped(request: Request, source: Flow) -> Request:
    """The request with ``received`` and ``rport`` in its top Via, where they are due."""
    via = request.top_via
    address, port = source.remote
    if not via.wants_rport and via.host == address:
        return request
    rest = request.headers.elements("Via")[1:]
    return replace(request, headers=request.headers.with_("Via", via.with_source(address, port), *rest))


def response_flow(request: Request, source: Flow, *, lost: bool = False) -> Flow:
    """Where responses to a stamped request go (18.2.2). ``lost``: its connection is gone, so the sender is called back.

    The address is always the one that the request came from: that is what ``received`` says when the Via does not.
    """
    if source.reliable and not lost:
        return source
    via = request.top_via
    port = (None if source.reliable else via.rport) or via.port or _DEFAULT_PORTS[source.transport]
    return replace(source, remote=(source.remote[0], port), connection=None)


def next_flow(flow: Flow, hop: Uri, *, behind_nat: bool) -> Flow:
    """The way to the next hop of a dialog, whose last message came or went over ``flow``.

    A connection is kept (a phone can rarely be called back, RFC 5626); so is the flow to a phone behind a NAT, whose
    own address is of no use. A host name is for the owner to resolve, who then sets the session's flow.
    """
    address = _numeric(hop.host)
    if flow.connection is not None or behind_nat or address is None:
        return flow
    known = _numeric(flow.remote[0])
    if known is None or address.version != known.version or (address.is_private and not known.is_private):
        return flow  # not to be reached from the listener, or from this side of a NAT
    transport = "tls" if hop.scheme == "sips" else hop.transport or flow.transport
    if transport not in _DEFAULT_PORTS:
        return flow
    remote = (str(address), hop.port or _DEFAULT_PORTS[transport])
    return flow if (transport, remote) == (flow.transport, flow.remote) else Flow(transport, flow.local, remote)


def is_behind_nat(request: Request, source: Flow) -> bool:
    """The sender named an address in its Via that is not where the request came from."""
    host = request.top_via.host
    return is_numeric(host) and host != source.remote[0]


def is_numeric(host: str) -> bool:
    """An address, not a name."""
    return _numeric(host) is not None


def _numeric(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _digest(uri: Uri) -> str:
    return f"{crc32(uri.user_text.encode('utf-8', 'surrogateescape')):08x}"
