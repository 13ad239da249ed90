"""The product's SIP core on a socket: one UDP socket, or one TCP or TLS connection to a server. One ``Endpoint`` each.

The core is shared with the product, so it is not what proves the daemon's SIP: baresip, PJSIP and SIPp do that.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from mediaserverd.protocol.sip.endpoint import Endpoint, Flow, Output, Transmit
from mediaserverd.protocol.sip.framing import KeepAlive, StreamFramer, is_keep_alive
from mediaserverd.protocol.sip.grammar import SipError
from tests.kit.account import Account

_SINGLE: Final = 1  # the name of the only connection


class SipSocket(asyncio.DatagramProtocol, asyncio.Protocol):
    """``take`` is given everything that the endpoint hands out, but for what is to be sent."""

    def __init__(self, account: Account, take: Callable[[Output], None]) -> None:
        self._account = account
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._framer = StreamFramer()
        self._transport: Any = None  # asyncio's own UDP transport is no DatagramTransport before Python 3.12
        self._local = ("127.0.0.1", 0)
        self.endpoint = Endpoint({}, _token)

    @classmethod
    async def open(
        cls, account: Account, take: Callable[[Output], None], *, local: tuple[str, int] = ("127.0.0.1", 0)
    ) -> Self:
        made = cls(account, take)
        if account.transport == "udp":
            await made._loop.create_datagram_endpoint(lambda: made, local_addr=local)
        else:
            await made._connect(local)
        return made

    async def reconnect(self) -> None:
        """After the server has closed the connection: another one, for all that runs."""
        assert self._transport is None
        await self._connect((self._local[0], 0))

    async def _connect(self, local: tuple[str, int]) -> None:
        to = self._account
        context = trusting(to.authority) if to.transport == "tls" else None
        await self._loop.create_connection(lambda: self, to.host, to.port, ssl=context, local_addr=local)

    @property
    def flow(self) -> Flow:
        """The way to the server."""
        connection = None if self._account.transport == "udp" else _SINGLE
        return Flow(self._account.transport, self._local, (self._account.host, self._account.port), connection)

    @property
    def now(self) -> float:
        return self._loop.time()

    def settle(self) -> None:
        """Send what is to be sent, tell what has happened, and come back when the endpoint wants it."""
        while outputs := self.endpoint.drain():
            for output in outputs:
                if isinstance(output, Transmit):
                    self._send(output)
                else:
                    self._take(output)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.endpoint.deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._advance)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        first = self._local[1] == 0
        self._local = transport.get_extra_info("sockname")[:2]
        self._framer = StreamFramer()
        if first:
            self.endpoint = Endpoint({self._account.transport: self._local}, _token, user=self._account.user)

    def datagram_received(self, data: bytes, source: tuple[str | int, ...]) -> None:
        if not is_keep_alive(data):
            self.endpoint.receive_bytes(data, Flow("udp", self._local, (str(source[0]), int(source[1]))), self.now)
            self.settle()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._framer.feed(data):
                if isinstance(frame, KeepAlive):
                    self._write(frame.pong)
                else:
                    self.endpoint.receive_bytes(frame, self.flow, self.now)
        except SipError as error:
            self.endpoint.refuse_broken(error, self.flow)
        self.settle()

    def connection_lost(self, _: Exception | None) -> None:
        if self._transport is not None and self._account.transport != "udp":
            self._transport = None
            self.endpoint.transport_failed(self.flow, self.now)
            self.settle()

    def _advance(self) -> None:
        self.endpoint.advance(self.now)
        self.settle()

    def _send(self, output: Transmit) -> None:
        if self._account.transport == "udp" and self._transport is not None:
            self._transport.sendto(output.data, output.flow.remote)
        else:
            self._write(output.data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def trusting(authority: Path | None) -> ssl.SSLContext:
    """A client's TLS that accepts only what ``authority`` has signed, for the name that was asked for."""
    return ssl.create_default_context(cafile=authority)


def _token() -> str:
    return secrets.token_hex(8)
