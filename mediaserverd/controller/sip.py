"""The SIP sockets: UDP, TCP and TLS listeners, connections in and out, and who may have how many of them.

Not responsible for what messages mean (``protocol.sip.endpoint``), nor for one connection's limits (``connection``).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import structlog

from mediaserverd.controller import metrics
from mediaserverd.controller.connection import Connection, ConnectionTimes
from mediaserverd.controller.settings import SipListeners
from mediaserverd.process.complaints import Complaints
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, client_context, server_context
from mediaserverd.protocol.sip.flow import Address, Flow
from mediaserverd.protocol.sip.framing import is_keep_alive
from mediaserverd.protocol.sip.grammar import SipError

log = structlog.get_logger()

BACKLOG = 512
RECEIVE_BUFFER = 4 << 20  # bytes of the kernel's: a second of 2,000 messages while the loop is busy elsewhere
SEND_BUFFER_LIMIT = 4 << 20  # bytes of datagrams that the kernel does not take; more is dropped, as UDP may
DATAGRAM_LIMIT = 65_507  # the longest payload of UDP over IPv4
HANDSHAKE_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
WAITING_LIMIT = 64  # messages for one connection that is being opened
ACCEPT_PAUSE_S = 0.5  # after the system had no descriptor left
STOP_TIMEOUT_S = 1.5


_LIMITS = {"all": "this controller has as many connections as it takes", "source": "too many from one address"}


@dataclass(frozen=True, slots=True)
class SipLimits:
    connections: int = 20_000  # in all; each costs a descriptor and about 20 KB
    connections_per_source: int = 2_000  # a site behind one NAT address has so many phones; one host needs no more
    times: ConnectionTimes = field(default_factory=ConnectionTimes)


class SipEvents(Protocol):
    """Who hears what comes in."""

    def sip_received(self, data: bytes, flow: Flow) -> None: ...
    def sip_unreachable(self, flow: Flow, reason: str) -> None:
        """A connection broke, or could not be opened, or a datagram could not be sent."""


class SipSockets:
    """``start`` opens all listeners or raises StartFault."""

    def __init__(self, settings: SipListeners, events: SipEvents, limits: SipLimits | None = None) -> None:
        self._settings = settings
        self._events = events
        self._limits = limits or SipLimits()
        self._complaints = Complaints("sip_malformed")
        self._refusals = Complaints("sip_connection_refused")
        self._udp: asyncio.DatagramTransport | None = None
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[int, Connection] = {}
        self._by_remote: dict[tuple[str, Address], Connection] = {}
        self._opening: dict[tuple[str, Address], list[tuple[bytes, Flow]]] = {}
        self._sources: Counter[str] = Counter()
        self._admitted = 0  # connections that are open or shake hands
        self._server_context: ssl.SSLContext | None = None
        self._client_context: ssl.SSLContext | None = None
        self.advertised = settings.advertised or own_address(settings.address)

    # Listening

    async def start(self) -> None:
        self.renew_tls(self._settings)
        try:
            if self._settings.udp_port:
                await self._listen_udp(self._settings.udp_port)
            for transport, port in (("tcp", self._settings.tcp_port), ("tls", self._settings.tls_port)):
                if port:
                    self._listen_stream(transport, port)
        except StartFault:
            await self.stop()
            raise

    def renew_tls(self, settings: SipListeners) -> None:
        """New certificates serve new connections. Raises StartFault, and keeps the old ones then."""
        server = server_context(ServerTls(settings.certificate, settings.private_key)) if settings.tls_port else None
        client = client_context(settings.certificate_authority)
        self._server_context, self._client_context = server, client

    def addresses(self) -> dict[str, Address]:
        """What Via and Contact say on each transport."""
        ports = {"udp": self._settings.udp_port, "tcp": self._settings.tcp_port, "tls": self._settings.tls_port}
        return {transport: (self.advertised, port) for transport, port in ports.items() if port}

    def local(self, transport: str) -> Address:
        """The listener's own address, as flows carry it."""
        ports = {"udp": self._settings.udp_port, "tcp": self._settings.tcp_port, "tls": self._settings.tls_port}
        return self._settings.address, ports[transport]

    async def stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._connections.values()):
            connection.close("this controller stops")
        if self._udp is not None:
            self._udp.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while self._connections:  # noqa: ASYNC110 - the last bytes of many sockets have no one event
                    await asyncio.sleep(0.01)

    async def _listen_udp(self, port: int) -> None:
        sock = self._bind(socket.SOCK_DGRAM, port, "UDP")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        receiver = _Datagrams(self._datagram)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: receiver, sock=sock)
        self._udp = transport

    def _listen_stream(self, transport: str, port: int) -> None:
        listener = self._bind(socket.SOCK_STREAM, port, transport.upper())
        listener.listen(BACKLOG)
        self._listeners.append(listener)
        self._spawn(self._accept_all(transport, listener))

    def _bind(self, kind: socket.SocketKind, port: int, name: str) -> socket.socket:
        address = self._settings.address
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError as fault:
            sock.close()
            raise StartFault(
                f"cannot listen for SIP on {address} port {port} ({name}): {fault.strerror}; "
                f"free the port or set another {name.lower()}_port"
            ) from fault
        return sock

    # Connections in

    async def _accept_all(self, transport: str, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, remote = await loop.sock_accept(listener)
            except OSError as fault:
                log.error("sip_accept_failed", transport=transport, reason=str(fault))
                metrics.sip_refused_connections.labels("descriptors").inc()
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            if limit := self._over_limit(remote[0]):
                metrics.sip_refused_connections.labels(limit).inc()
                self._refusals.note(remote[0], _LIMITS[limit], transport=transport)
                accepted.close()
                continue
            self._count(remote[0], 1)  # from here to its end, TLS handshake included
            self._spawn(self._welcome(transport, accepted, (remote[0], remote[1])))

    def _over_limit(self, source: str) -> str:
        if self._admitted >= self._limits.connections:
            return "all"
        return "source" if self._sources[source] >= self._limits.connections_per_source else ""

    async def _welcome(self, transport: str, accepted: socket.socket, remote: Address) -> None:
        connection = self._connection(transport, remote)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._server_context if transport == "tls" else None,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if transport == "tls" else None,
            )
        except (OSError, ssl.SSLError, TimeoutError) as fault:
            accepted.close()
            metrics.sip_faulty_connections.labels("handshake").inc()
            self._refusals.note(
                remote[0], f"no connection came of it: {fault or type(fault).__name__}", transport=transport
            )
        finally:
            if not connection.was_opened:
                self._count(remote[0], -1)

    # Connections out

    async def connect(self, transport: str, remote: Address, name: str) -> Flow:
        """A flow to ``remote``: a connection that is open, or a new one whose certificate is for ``name``.

        Raises OSError (TLS and timeouts included).
        """
        if transport == "udp":
            return Flow("udp", self.local("udp"), remote)
        known = self._by_remote.get((transport, remote))
        if known is not None and known.is_open:
            return known.flow
        connection = self._connection(transport, remote)
        self._count(remote[0], 1)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    *remote,
                    ssl=self._client_context if transport == "tls" else None,
                    server_hostname=name if transport == "tls" else None,
                )
        finally:
            if not connection.was_opened:
                self._count(remote[0], -1)
        return connection.flow

    async def _open_for_waiting(self, transport: str, remote: Address) -> None:
        """Somebody sent over a flow that names no connection."""
        try:
            flow = await self.connect(transport, remote, remote[0])
            reason = ""
        except (OSError, TimeoutError) as fault:
            reason = str(fault) or type(fault).__name__
        waiting = self._opening.pop((transport, remote), [])
        for data, asked in waiting:
            if reason or not self._connections[flow.connection or 0].send(data):
                self._events.sip_unreachable(asked, reason or "closed at once")

    # Both ways

    def is_gone(self, flow: Flow) -> bool:
        """It named a connection that is closed."""
        return flow.connection is not None and flow.connection not in self._connections

    def send(self, data: bytes, flow: Flow) -> None:
        """Never raises; what cannot be sent is told by ``sip_unreachable``, later."""
        if flow.transport == "udp":
            self._send_datagram(data, flow)
            return
        connection = self._connections.get(flow.connection) if flow.connection is not None else None
        if flow.connection is None:
            connection = self._by_remote.get((flow.transport, flow.remote))
            if connection is None:
                self._send_when_open(data, flow)
                return
        if connection is None or not connection.send(data):
            self._unreachable_soon(flow, "the connection is closed")

    def _send_when_open(self, data: bytes, flow: Flow) -> None:
        key = (flow.transport, flow.remote)
        waiting = self._opening.get(key)
        if waiting is None:
            self._opening[key] = [(data, flow)]
            self._spawn(self._open_for_waiting(*key))
        elif len(waiting) < WAITING_LIMIT:
            waiting.append((data, flow))
        else:
            metrics.sip_dropped.labels("waiting").inc()
            self._unreachable_soon(flow, "too many messages wait for the connection")

    def _send_datagram(self, data: bytes, flow: Flow) -> None:
        if self._udp is None or self._udp.is_closing():
            self._unreachable_soon(flow, "UDP is turned off")
        elif len(data) > DATAGRAM_LIMIT:
            metrics.sip_dropped.labels("too-long").inc()
            self._unreachable_soon(flow, f"{len(data)} bytes do not fit a datagram")
        elif cast(Any, self._udp).get_write_buffer_size() > SEND_BUFFER_LIMIT:
            metrics.sip_dropped.labels("buffer").inc()  # a retransmission will bring it
        else:
            try:
                self._udp.sendto(data, flow.remote)
            except (OSError, ValueError, TypeError) as fault:
                self._unreachable_soon(flow, str(fault))

    def _unreachable_soon(self, flow: Flow, reason: str) -> None:
        """Not within ``send``: its caller is in the middle of something."""
        asyncio.get_running_loop().call_soon(self._events.sip_unreachable, flow, reason)

    def _datagram(self, data: bytes, remote: Address) -> None:
        if not is_keep_alive(data):
            self._events.sip_received(data, Flow("udp", self.local("udp"), remote))

    def sip_received(self, data: bytes, flow: Flow) -> None:
        self._events.sip_received(data, flow)

    def sip_malformed(self, flow: Flow, error: SipError) -> None:
        """Counted always, logged once per source and minute."""
        metrics.sip_malformed.labels(flow.transport).inc()
        self._complaints.note(flow.remote[0], str(error), transport=flow.transport)

    def connection_opened(self, connection: Connection) -> None:
        flow = connection.flow
        assert flow.connection is not None
        self._connections[flow.connection] = connection
        self._by_remote[flow.transport, flow.remote] = connection
        metrics.sip_connections.labels(flow.transport).inc()

    def connection_closed(self, connection: Connection, reason: str) -> None:
        flow = connection.flow
        assert flow.connection is not None
        self._count(flow.remote[0], -1)
        del self._connections[flow.connection]
        if self._by_remote.get((flow.transport, flow.remote)) is connection:
            del self._by_remote[flow.transport, flow.remote]
        metrics.sip_connections.labels(flow.transport).dec()
        if connection.fault:
            metrics.sip_faulty_connections.labels(connection.fault).inc()
            if connection.fault != "malformed":  # that has been told already, with what was wrong
                self._refusals.note(flow.remote[0], reason, transport=flow.transport)
        log.debug("sip_connection_closed", remote=flow.remote, transport=flow.transport, reason=reason)
        self._events.sip_unreachable(flow, reason)

    def _connection(self, transport: str, remote: Address) -> Connection:
        return Connection(transport, self.local(transport), remote, self, self._limits.times)

    def _count(self, source: str, change: int) -> None:
        self._admitted += change
        self._sources[source] += change
        if not self._sources[source]:
            del self._sources[source]

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._take(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """An ICMP error does not say whose; the transaction's timer will tell."""
        metrics.sip_dropped.labels("icmp").inc()


def own_address(address: str) -> str:
    """The address that others can reach: as given, or the one towards the default route for a wildcard."""
    if address not in ("0.0.0.0", "::"):  # noqa: S104 - asks what was configured
        return address
    six = ":" in address
    # Connecting a UDP socket sends nothing; it only makes the system choose a source address (documentation prefixes).
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if six else "192.0.2.1", 9))
        except OSError:
            return "::1" if six else "127.0.0.1"
        return cast(str, probe.getsockname()[0])
