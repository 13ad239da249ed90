"""Asks a media server's ng door on loopback, as a proxy would: JSON over UDP, written by hand."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any


async def ask_media(command: str, **keys: object) -> Any:
    """Asks the media server's door on loopback, as a proxy would."""
    return await (await RawNg.open()).ask({"command": command, **keys})


class RawNg(asyncio.DatagramProtocol):
    _transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self._reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls) -> RawNg:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(cls, remote_addr=("127.0.0.1", 2223))
        protocol._transport = transport
        return protocol

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._reply.set_result(data)

    async def ask(self, command: dict[str, object]) -> Any:
        self._transport.sendto(f"{secrets.token_hex(8)} {json.dumps(command)}".encode())
        reply = await asyncio.wait_for(self._reply, 5)
        self._transport.close()
        return json.loads(reply.partition(b" ")[2])
