"""One SIP connection over TCP or TLS, and the limits that keep a hostile peer from holding it for nothing.

Not responsible for who may connect (``sip``), nor for what messages mean.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from dataclasses import dataclass
from typing import Protocol, cast

from mediaserverd.protocol.sip.flow import Address, Flow
from mediaserverd.protocol.sip.framing import KeepAlive, StreamFramer
from mediaserverd.protocol.sip.grammar import SipError

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ConnectionTimes:
    """How long a peer may take. The defaults suit phones on bad links."""

    message_s: float = 10.0  # from the first byte of a message to its last: an endless header ends here
    silent_s: float = 30.0  # to the first whole message: nobody connects to say nothing
    idle_s: float = 7500.0  # more than the longest registration (7200 s), whose phone may say nothing in between


WRITE_LIMIT = 256 * 1024  # bytes that the peer has not taken: it does not read, and is let go
CLOSE_TIMEOUT_S = 1.0  # for the last bytes to leave


class ConnectionOwner(Protocol):
    def connection_opened(self, connection: Connection) -> None: ...
    def connection_closed(self, connection: Connection, reason: str) -> None: ...
    def sip_received(self, data: bytes, flow: Flow) -> None: ...
    def sip_malformed(self, flow: Flow, error: SipError) -> None: ...


class Connection(asyncio.Protocol):
    """``flow`` is its name to everybody else."""

    def __init__(
        self, transport_name: str, local: Address, remote: Address, owner: ConnectionOwner, times: ConnectionTimes
    ) -> None:
        self.flow = Flow(transport_name, local, remote, next(_numbers))
        self._owner = owner
        self._framer = StreamFramer()
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_message = self._loop.time()
        self._message_began: float | None = None
        self._spoke = False
        self.was_opened = False
        self._reason = "closed by the peer"
        self.fault = ""  # in one word, when the peer is to blame for the end

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.was_opened = True
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)
        _keep_alive(self._transport.get_extra_info("socket"))
        self._owner.connection_opened(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._framer.feed(data):
                if not self.is_open:
                    return
                self._take(frame)
        except SipError as error:
            self._owner.sip_malformed(self.flow, error)
            if error.request is not None:
                self.send(error.request.response(error.status, error.reason, headers=error.headers).encode())
            self.fault = "malformed"
            self.close(f"not SIP: {error}")
            return
        if not self._framer.is_mid_message:
            self._message_began = None
        elif self._message_began is None:
            self._message_began = self._loop.time()
            self._watch()

    def _take(self, frame: bytes | KeepAlive) -> None:
        self._last_message = self._loop.time()
        self._message_began = None
        if isinstance(frame, KeepAlive):
            self.send(frame.pong)
            return
        self._spoke = True
        self._owner.sip_received(frame, self.flow)

    def send(self, data: bytes) -> bool:
        """False: the connection is of no use any more."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > WRITE_LIMIT:
            self.fault, self._reason = "unread", f"the peer leaves {WRITE_LIMIT} bytes unread"
            self._transport.abort()
            return False
        return True

    def close(self, reason: str) -> None:
        """What was written still goes out, for a moment."""
        if self._transport is None or self._transport.is_closing():
            return
        self._reason = reason
        self._transport.close()
        self._loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._owner.connection_closed(self, self._reason if exc is None else str(exc) or type(exc).__name__)

    def _watch(self) -> None:
        """Closes what is overdue, or looks again when something can be."""
        if self._timer is not None:
            self._timer.cancel()
        quiet_s = self._times.idle_s if self._spoke else self._times.silent_s
        deadline, reason = self._last_message + quiet_s, f"silent for {quiet_s:g} s"
        fault = "" if self._spoke else "silent"
        if self._message_began is not None and self._message_began + self._times.message_s < deadline:
            deadline = self._message_began + self._times.message_s
            fault, reason = "slow", f"a message was not complete within {self._times.message_s:g} s"
        if deadline <= self._loop.time():
            self.fault = fault
            self.close(reason)
        else:
            self._timer = self._loop.call_at(deadline, self._watch)


def _keep_alive(sock: socket.socket | None) -> None:
    """A phone that lost its power is noticed in about two minutes, not in two hours."""
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
