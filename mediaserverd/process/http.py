"""An HTTP(S) listener around an ASGI application, inside the running loop. Not responsible for what is served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, server_context

BACKLOG = 512
CONNECTION_LIMIT = 1000  # at once; above it uvicorn answers 503, so a flood cannot take all descriptors
KEEP_ALIVE_S = 15
STOP_TIMEOUT_S = 3

_PEER_NAME = "client_certificate_name"


class _TlsAwareProtocol(H11Protocol):
    """uvicorn does not tell the application who the TLS peer is; this does, through the scope's state."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, _PEER_NAME: _common_name(transport.get_extra_info("peercert"))}


def _common_name(certificate: dict[str, Any] | None) -> str | None:
    for relative_name in (certificate or {}).get("subject", ()):
        for kind, value in relative_name:
            if kind == "commonName":
                return str(value)
    return None


def client_certificate_name(scope: Scope) -> str | None:
    """The common name of the verified client certificate of a request; None when there was none."""
    name = scope.get("state", {}).get(_PEER_NAME)
    return name if isinstance(name, str) else None


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
            http=_TlsAwareProtocol,
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
