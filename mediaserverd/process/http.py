"""An HTTP(S) listener around an ASGI application, inside the running loop. Not responsible for what is served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from prometheus_client import Counter
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from mediaserverd.process.complaints import Complaints
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, peer_roles, server_context

BACKLOG = 512
CONNECTION_LIMIT = 1000  # at once; above it uvicorn answers 503, so a flood cannot take all descriptors
KEEP_ALIVE_S = 15
STOP_TIMEOUT_S = 3
CLOSE_S = 0.5  # for a peer to answer the end of TLS; one that keeps the connection for later does not even read it

SOURCE_LIMIT = 200  # of these from one address: a browser has 6, a proxy in front of us some dozens
REQUEST_TIMEOUT_S = 15.0  # for a whole request: 4 MB of ledger at 2 Mbit/s

faulty_connections = Counter(
    "mediaserverd_http_faulty_connections", "HTTP connections closed for what the peer did or failed to do", ["fault"]
)

_complaints = Complaints("http_connection_closed")
_QUIET = logging.getLogger("mediaserverd.http")  # uvicorn's own warnings come once per request
_QUIET.setLevel(logging.ERROR)
_PEER_ROLES = "client_certificate_roles"


class _Protocol(H11Protocol):
    """What uvicorn's lacks: what the TLS peer is, through the scope's state; and an end to peers that hold a connection
    for nothing, each counted, and told once per source."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _QUIET
        self._deadline: asyncio.TimerHandle | None = None  # of the request that is coming in

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, _PEER_ROLES: peer_roles(transport.get_extra_info("peercert"))}
        if self._is_one_too_many():
            self._blame("source-limit", f"more than {SOURCE_LIMIT} connections from one address")
            transport.close()
        else:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(CLOSE_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        self._blame("malformed", "not HTTP, or a head of more than 64 KB")
        super().send_400_response(msg)

    def _watch(self) -> None:
        """A request that has begun is to be here in full by the deadline."""
        theirs = self.conn.their_state
        if theirs is not h11.SEND_BODY and not (theirs is h11.IDLE and self.conn.trailing_data[0]):
            self._disarm()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._give_up)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._blame("slow", f"a request was not complete within {REQUEST_TIMEOUT_S:g} s")
        self.transport.abort()

    def _is_one_too_many(self) -> bool:
        return (
            sum(isinstance(each, _Protocol) and each._source == self._source for each in self.connections)
            > SOURCE_LIMIT
        )

    def _blame(self, fault: str, reason: str) -> None:
        faulty_connections.labels(fault).inc()
        _complaints.note(self._source, reason, port=str(self.server[1] if self.server else ""))

    @property
    def _source(self) -> str:
        return self.client[0] if self.client else ""


def client_certificate_roles(scope: Scope) -> frozenset[str]:
    """What the verified client certificate of a request says that its host is; empty when there was none."""
    roles = scope.get("state", {}).get(_PEER_ROLES)
    return roles if isinstance(roles, frozenset) else frozenset()


class _Server(uvicorn.Server):
    """Leaves the signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """One listener. ``port`` is the real one after ``start`` when 0 was asked for."""

    def __init__(self, app: ASGIApp, address: str, port: int, tls: ServerTls | None = None) -> None:
        self.address = address
        self.port = port
        self._tls = tls
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTION_LIMIT,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises StartFault when the port is taken or the TLS files do not serve."""
        config = self._server.config
        if self._tls is not None:
            context = server_context(self._tls)
            config.ssl_context_factory = lambda _config, _default: context
        config.load()
        listener = self._listen()
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"http {self.port}")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise StartFault(f"HTTP on {self.address} port {self.port} ended at once")
            await asyncio.sleep(0.005)

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.address, self.port))
            listener.listen(BACKLOG)
        except OSError as fault:
            listener.close()
            raise StartFault(
                f"cannot listen on {self.address} port {self.port} (TCP): {fault.strerror}; "
                "free the port or set another one in the configuration"
            ) from fault
        listener.setblocking(False)
        return listener

    async def stop(self) -> None:
        """Lets running requests end for a moment, then closes."""
        if self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._task = None
