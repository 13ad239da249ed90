"""Where ng comes in: a UDP socket for local proxies, a WebSocket over TLS for controllers. Both on one port number.

Responsible for who may speak, how much, and that a retransmitted command is carried out once. Not responsible for what
a command does (``commands``).
"""

from __future__ import annotations

import asyncio
import http
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse
from websockets.protocol import State
from websockets.typing import Subprotocol

from mediaserverd.media import metrics
from mediaserverd.media.sessions import Owner
from mediaserverd.process.complaints import Complaints
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, peer_roles, server_context
from mediaserverd.process.tokens import bearer_token, same_token
from mediaserverd.protocol import ng
from mediaserverd.protocol.ng import Encoding, Message, NgError, Request, Value

REPLAY_GENERATION_S: Final = 30.0  # replies are kept for one to two of these: longer than any client tries
MAX_REPLAYED: Final = 20_000  # replies of one generation; 20 calls/s with 5 commands each need 3000
MAX_DATAGRAM_BYTES: Final = 65_000  # of a reply: what UDP over IPv4 carries, less headers
MAX_AT_ONCE: Final = 256  # commands of one controller that wait for a disk; above it, it waits for us
OPEN_TIMEOUT_S: Final = 5.0  # for TLS, and again for the WebSocket
PING_INTERVAL_S: Final = 5.0
PING_TIMEOUT_S: Final = 5.0
CONTROLLER_BACKLOG_BYTES: Final = 1 << 20  # notifications that a controller does not read

# What we close a connection with when the peer is to blame.
_OUR_REFUSALS: Final = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG)

Execute: TypeAlias = Callable[[Request, Owner | None], Awaitable[dict[str, Value]]]

log = structlog.get_logger()


def _why(fault: OSError) -> str:
    """asyncio and uvloop wrap the system's fault in words of their own, and may leave the number out."""
    inner = (fault.__cause__ or fault.__context__) if fault.errno is None else fault
    number = inner.errno if isinstance(inner, OSError) else None
    return os.strerror(number) if number else str(fault)


class UdpDoor(asyncio.DatagramProtocol):
    """No authentication, so loopback or a private address only. Speaks the encoding of the request."""

    def __init__(self, execute: Execute, clock: Callable[[], float] = time.monotonic) -> None:
        self._execute = execute
        self._clock = clock
        self._transport: asyncio.DatagramTransport | None = None
        self._replies: dict[tuple[str, str], asyncio.Task[bytes]] = {}
        self._older: dict[tuple[str, str], asyncio.Task[bytes]] = {}
        self._swapped = clock()
        self._complaints = Complaints("ng_message_broken")
        self.port = 0

    async def open(self, address: str, port: int) -> None:
        """Raises StartFault when the port is taken."""
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (address, port))
        except OSError as fault:
            raise StartFault(
                f"cannot listen on {address} port {port} (UDP, ng): {_why(fault)}; free the port or set ng_port"
            ) from fault

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, peer: tuple[Any, ...]) -> None:
        try:
            message = ng.decode(data)
        except NgError as fault:
            self._refuse(fault, peer)
            return
        key = (str(peer[0]), message.cookie)
        reply = self._remembered(key)
        if reply is None:
            reply = asyncio.create_task(self._reply(message))
            self._replies[key] = reply
        else:
            metrics.NG_REPLAYED.inc()
        reply.add_done_callback(lambda done: self._send(done, peer))

    def _refuse(self, fault: NgError, peer: tuple[Any, ...]) -> None:
        metrics.NG_ERRORS.labels("udp", "broken").inc()
        self._complaints.note(str(peer[0]), str(fault), door="udp")
        answer = ng.error_message(fault)
        if answer is not None and self._transport is not None:
            self._transport.sendto(ng.encode(answer), peer)

    def _remembered(self, key: tuple[str, str]) -> asyncio.Task[bytes] | None:
        """The reply to a command that came before; it may still be in the making."""
        now = self._clock()
        if now - self._swapped >= REPLAY_GENERATION_S or len(self._replies) >= MAX_REPLAYED:
            self._older = self._replies if now - self._swapped < 2 * REPLAY_GENERATION_S else {}
            self._replies, self._swapped = {}, now
        return self._replies.get(key) or self._older.get(key)

    async def _reply(self, message: Message) -> bytes:
        try:
            request = ng.request_of(message)
        except NgError as fault:
            metrics.NG_ERRORS.labels("udp", "broken").inc()
            return ng.encode(Message(message.cookie, ng.error(fault.reason), message.encoding))
        data = ng.encode(request.reply(await self._execute(request, None)))
        if len(data) > MAX_DATAGRAM_BYTES:
            return ng.encode(request.reply(ng.error("Reply is too long for a datagram")))
        return data

    def _send(self, reply: asyncio.Task[bytes], peer: tuple[Any, ...]) -> None:
        if self._transport is not None and not self._transport.is_closing() and not reply.cancelled():
            self._transport.sendto(reply.result(), peer)


class _Controller:
    """One connected controller, as the owner of sessions."""

    def __init__(self, connection: ServerConnection) -> None:
        self.name = ""  # as it says itself, with ``configure``
        self.connection = connection
        self.peer = str((connection.remote_address or ("",))[0])  # asked now: a closed connection does not know it

    @property
    def connected(self) -> bool:
        return not self.connection.transport.is_closing()

    def tell(self, message: Message) -> bool:
        """Sent without waiting. A controller that does not read is not connected, whatever TCP thinks."""
        if not self.connected or self.connection.transport.get_write_buffer_size() > CONTROLLER_BACKLOG_BYTES:
            return False
        task = asyncio.create_task(self._send(ng.encode(message)))
        _SENDING.add(task)
        task.add_done_callback(_SENDING.discard)
        return True

    async def _send(self, data: bytes) -> None:
        try:
            await self.connection.send(data.decode("ascii"))
        except ConnectionClosed:
            log.info("ng_notification_lost", peer=self.peer)


_SENDING: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


class _Connection(ServerConnection):
    """``refused`` is told when the opening handshake led to nothing."""

    refused: Callable[[_Connection], None]
    peer = ""  # a closed connection does not know it any more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.peer = str((self.remote_address or ("",))[0])

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        finally:
            if self.protocol.state is not State.OPEN:
                self.refused(self)


class WebSocketDoor:
    """JSON for those who show the token, or a controller's certificate of the site. Several may be connected."""

    def __init__(self, execute: Execute, token: str) -> None:
        self._execute = execute
        self._token = token
        self._controllers: set[_Controller] = set()
        self._server: Server | None = None
        self._complaints = Complaints("ng_message_broken")
        self._refusals = Complaints("ng_connection_refused")
        self.port = 0
        metrics.NG_CONTROLLERS.set_function(lambda: len(self._controllers))

    async def open(self, address: str, port: int, tls: ServerTls) -> None:
        """Raises StartFault when the port is taken or the TLS files do not serve."""
        try:
            self._server = await serve(
                self._serve,
                address,
                port,
                ssl=server_context(tls),
                subprotocols=[Subprotocol(ng.SUBPROTOCOL)],
                process_request=self._let_in,
                compression=None,  # messages are small and the link is near
                max_size=ng.MAX_MESSAGE_BYTES,
                open_timeout=OPEN_TIMEOUT_S,
                create_connection=cast(type[ServerConnection], self._connection),  # all it does with it is call it
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PING_TIMEOUT_S,
                server_header=None,
            )
        except OSError as fault:
            raise StartFault(
                f"cannot listen on {address} port {port} (TCP, ng): {_why(fault)}; free the port or set ng_port"
            ) from fault
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    def _connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        made = _Connection(*args, **kwargs)
        made.refused = self._refused
        return made

    def _refused(self, connection: _Connection) -> None:
        """No WebSocket came of a connection; wrong tokens have been told already."""
        if connection.response is not None and connection.response.status_code == http.HTTPStatus.UNAUTHORIZED:
            return
        metrics.NG_ERRORS.labels("websocket", "handshake").inc()
        fault = connection.protocol.handshake_exc
        self._refusals.note(connection.peer, f"no WebSocket came of it: {fault or 'closed, silent or slow'}")

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def broadcast(self, message: Message, name: str = "") -> None:
        """To all connections of one controller."""
        for controller in list(self._controllers):
            if controller.name == name:
                controller.tell(message)

    def _let_in(self, connection: ServerConnection, request: HttpRequest) -> HttpResponse | None:
        shown = bearer_token(request.headers.get("Authorization"))
        if same_token(shown, self._token) if shown else self._is_controller(connection):
            return None
        metrics.NG_ERRORS.labels("websocket", "token").inc()
        self._refusals.note(
            (connection.remote_address or ("",))[0], "neither a right token nor a controller's certificate"
        )
        response = connection.respond(http.HTTPStatus.UNAUTHORIZED, "A bearer token is needed.\n")
        response.headers["WWW-Authenticate"] = 'Bearer realm="ng"'
        return response

    @staticmethod
    def _is_controller(connection: ServerConnection) -> bool:
        return "controller" in peer_roles(connection.transport.get_extra_info("peercert"))

    async def _serve(self, connection: ServerConnection) -> None:
        controller = _Controller(connection)
        self._controllers.add(controller)
        log.info("controller_connected", peer=controller.peer)
        try:
            async with asyncio.TaskGroup() as commands:
                await self._take(controller, commands)
        finally:
            self._controllers.discard(controller)
            log.info("controller_gone", peer=controller.peer, code=connection.close_code)

    async def _take(self, controller: _Controller, commands: asyncio.TaskGroup) -> None:
        """Tasks begin in the order of the messages, and a call's lock is taken in that order."""
        room = asyncio.Semaphore(MAX_AT_ONCE)
        try:
            async for data in controller.connection:
                await room.acquire()
                task = commands.create_task(self._handle(controller, data))
                task.add_done_callback(lambda _: room.release())
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code in _OUR_REFUSALS:
                metrics.NG_ERRORS.labels("websocket", "protocol").inc()
                self._complaints.note(
                    controller.peer, f"closed with {closed.sent.code}: {closed.sent.reason}", door="websocket"
                )

    async def _handle(self, controller: _Controller, data: str | bytes) -> None:
        try:
            request = ng.request_of(ng.decode(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data))
        except NgError as fault:
            metrics.NG_ERRORS.labels("websocket", "broken").inc()
            self._complaints.note(controller.peer, str(fault), door="websocket")
            answer = ng.error_message(fault)
        else:
            answer = request.reply(await self._execute(request, controller))
        if answer is not None:
            await self._answer(controller, answer)

    @staticmethod
    async def _answer(controller: _Controller, answer: Message) -> None:
        data = ng.encode(answer)
        try:
            await controller.connection.send(data if answer.encoding is Encoding.BENCODE else data.decode())
        except ConnectionClosed:
            pass  # the controller asks again when it is back
