"""Asks a media server's ng door on loopback: as a proxy would, JSON over UDP, written by hand; or as a controller."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from mediaserverd.process.tls import client_context
from tests.controller.site import Site


async def ask_media(command: str, **keys: object) -> Any:
    """Asks the media server's door on loopback, as a proxy would."""
    return await (await RawNg.open()).ask({"command": command, **keys})


async def ask_as_controller(site: Site, command: str, **keys: object) -> Any:
    """As the site's controller, while that one is down."""
    async with connect(
        "wss://127.0.0.1:2223/",
        ssl=client_context(site.authority),
        subprotocols=[Subprotocol("ng.rtpengine.com")],
        additional_headers={"Authorization": f"Bearer {site.token('ng')}"},
    ) as link:
        instance = (site.directory / "state" / "instance").read_text().strip()
        for asked in (
            {"command": "configure", "controller": "ctl", "instance": instance},
            {"command": command, **keys},
        ):
            await link.send(f"1 {json.dumps(asked)}")
            reply = str(await link.recv())
        return json.loads(reply.partition(" ")[2])


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
