"""Connections that never get anywhere: silent ones, and ones that send a byte now and then."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, Self

from tests.e2e.undisturbed import Site
from tests.kit.daemon import HOST
from tests.kit.sip_socket import trusting

BYTE_EVERY_S: Final = 1.0
LONGEST_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class Peer:
    """``source``: the address that it comes from. ``begins``: what it sends at once; then it drips, or is silent."""

    name: str
    source: str
    port: int
    tls: bool = False
    begins: bytes = b""
    drips: bytes = b""


_LEDGER: Final = (
    b"POST /internal/ledger HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer LEDGER\r\nContent-Length: 1000\r\n\r\n{"
)
PEERS: Final = (
    Peer("silent", "127.0.0.31", 5060),
    Peer("silent after the handshake", "127.0.0.32", 5061, tls=True),
    Peer("no handshake", "127.0.0.33", 5061),
    Peer("a byte a second", "127.0.0.34", 5060, begins=b"INVITE sip:101@127.0.0.1 SIP/2.0\r\nX: ", drips=b"y"),
    Peer("a handshake byte a second", "127.0.0.35", 5061, begins=b"\x16\x03\x01\x02", drips=b"\0"),
    Peer("HTTP head, recorder", "127.0.0.36", 8443, tls=True, begins=b"GET / HTTP/1.1\r\nHost: x\r\n", drips=b"X"),
    Peer("HTTP head, media", "127.0.0.37", 8102, tls=True, begins=b"GET / HTTP/1.1\r\nHost: x\r\n", drips=b"X"),
    Peer("HTTP body", "127.0.0.40", 8443, tls=True, begins=_LEDGER, drips=b" "),
    Peer("WebSocket upgrade", "127.0.0.38", 2223, tls=True, begins=b"GET / HTTP/1.1\r\nHost: x\r\n", drips=b"X"),
    Peer("HTTP silence", "127.0.0.39", 8443, tls=True),
)


class SlowPeers:
    """``closed_after_s``: for each peer, by name, after how long the daemon let it go."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._running: dict[str, asyncio.Task[float]] = {}

    async def __aenter__(self) -> Self:
        self._running = {peer.name: asyncio.create_task(self._linger(peer)) for peer in PEERS}
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def closed_after_s(self, name: str) -> float:
        return await self._running[name]

    async def _linger(self, peer: Peer) -> float:
        context = trusting(self._site.daemon.authority) if peer.tls else None
        reader, writer = await asyncio.open_connection(HOST, peer.port, ssl=context, local_addr=(peer.source, 0))
        began = asyncio.get_running_loop().time()
        begins = peer.begins.replace(b"LEDGER", self._site.daemon.secret("ledger").encode())
        dripping = asyncio.create_task(self._drip(begins, peer.drips, writer))
        try:
            async with asyncio.timeout(LONGEST_S):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(65536):
                        pass
            return asyncio.get_running_loop().time() - began
        finally:
            dripping.cancel()
            writer.close()

    @staticmethod
    async def _drip(begins: bytes, drips: bytes, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(begins)
            while drips:
                await asyncio.sleep(BYTE_EVERY_S)
                writer.write(drips)
                await writer.drain()
