"""A media server with everything real around it: a controller on the WebSocket, phones that send RTP, a fetcher."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from mediaserverd.audio.codec import Samples
from mediaserverd.audio.render import Rendering
from mediaserverd.media.parameters import Parameters
from mediaserverd.media.server import MediaServer
from mediaserverd.media.settings import MediaSettings
from mediaserverd.process.tls import client_context, ensure_site_certificates
from mediaserverd.process.tokens import ensure_token
from mediaserverd.protocol import ng, sdp
from mediaserverd.protocol.sasf.reader import SasfReader

FRAME_SAMPLES = 160
FRAME_S = 0.02
# Of the recorder; the media server gets its public key, also one in a process of its own.
RECIPIENT = X25519PrivateKey.from_private_bytes(bytes(range(32)))


def with_recipient(directory: Path) -> Path:
    """The directory, with the recorder's public key in it."""
    directory.mkdir(parents=True, exist_ok=True)
    pem = RECIPIENT.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "recorder.pem").write_bytes(pem)
    return directory


def settings(directory: Path, **changes: Any) -> MediaSettings:
    """Ports are taken where they are free, so that servers of one test do not meet; files lie in ``directory``.

    ``changes`` are settings, and parameters of the server's own file.
    """
    parameters = {"rtp_address": "127.0.0.1", "rtp_advertised": "127.0.0.1", "disk_floor_mib": 0}
    parameters |= {name: changes.pop(name) for name in set(changes) & set(Parameters.model_fields)}
    tls, secrets = directory / "tls", directory / "secrets"
    ensure_site_certificates(tls, ["127.0.0.1"])
    values = {
        "own": {"parameters": parameters},
        "spool_directory": directory / "spool",
        "ng_port": 0,
        "ng_token_file": secrets / "ng.token",
        "retrieval_address": "127.0.0.1",
        "retrieval_port": 0,
        "retrieval_token_file": secrets / "retrieval.token",
        "certificate": tls / "server.pem",
        "private_key": tls / "server.key",
        "certificate_authority": tls / "ca.pem",
        "control_token_file": secrets / "control.token",
        "status_port": 0,
        "drain_file": directory / "drained.json",
        "identity_file": secrets / "media-identity.pem",
        "recipients_directory": with_recipient(directory / "keys" / "recipients"),
    }
    return MediaSettings.model_validate(values | changes)


@asynccontextmanager
async def running(chosen: MediaSettings) -> AsyncIterator[MediaServer]:
    server = MediaServer(chosen)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@dataclass(slots=True)
class Controller:
    """The controller's end of the WebSocket."""

    link: ClientConnection
    notifications: list[dict[str, Any]] = field(default_factory=list)
    _cookies: itertools.count[int] = field(default_factory=itertools.count)

    async def ask(self, command: str, **keys: Any) -> dict[str, Any]:
        cookie = f"c{next(self._cookies)}"
        body = {name.replace("_", "-"): value for name, value in keys.items()}
        await self.link.send(f"{cookie} {json.dumps({'command': command, **body})}")
        while True:
            message = await self._receive()
            if message.cookie == cookie:
                return dict(message.body)
            self.notifications.append(dict(message.body))

    async def ok(self, command: str, **keys: Any) -> dict[str, Any]:
        reply = await self.ask(command, **keys)
        assert reply["result"] == "ok", reply
        return reply

    async def notification(self, timeout_s: float = 10) -> dict[str, Any]:
        if not self.notifications:
            self.notifications.append(dict((await self._receive(timeout_s)).body))
        return self.notifications.pop(0)

    async def _receive(self, timeout_s: float = 10) -> ng.Message:
        data = await asyncio.wait_for(self.link.recv(), timeout_s)
        return ng.decode(data.encode() if isinstance(data, str) else data)


@asynccontextmanager
async def controller(chosen: MediaSettings, port: int) -> AsyncIterator[Controller]:
    async with connect(
        f"wss://127.0.0.1:{port}/",
        ssl=client_context(chosen.certificate_authority),
        subprotocols=[Subprotocol(ng.SUBPROTOCOL)],
        additional_headers={"Authorization": f"Bearer {ensure_token(chosen.ng_token_file)}"},
    ) as link:
        yield Controller(link)


@asynccontextmanager
async def fetcher(chosen: MediaSettings, port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{port}",
        verify=client_context(chosen.certificate_authority),
        headers={"Authorization": f"Bearer {ensure_token(chosen.retrieval_token_file)}"},
    ) as client:
        yield client


async def finished(client: httpx.AsyncClient, file: str, timeout_s: float = 10) -> dict[str, Any]:
    """The report of a recording once it is neither running nor being sealed."""
    deadline = time.monotonic() + timeout_s
    while True:
        report: dict[str, Any] = (await client.get(f"/recordings/{file}/report")).json()
        if report.get("state") in ("finished", "failed"):
            return report
        assert time.monotonic() < deadline, report
        await asyncio.sleep(0.05)


async def recorded(store: httpx.AsyncClient, file: str) -> SasfReader:
    """A finished recording, opened with the recorder's key. Its report and its signatures hold."""
    answer = await store.get(f"/recordings/{file}")
    assert answer.status_code == 200, answer.text
    return SasfReader(answer.content, [RECIPIENT])


def heard(recording: SasfReader) -> tuple[Samples, Samples]:
    """Left and right, as a listener hears them, at 8 kHz."""
    rendering = Rendering(recording.contents(), sample_rate=8000)
    block = rendering.block(0, rendering.frames)
    return block[:, 0], block[:, 1]


class Phone(asyncio.DatagramProtocol):
    """Sends G.711 at the pace of speech, and keeps the payload that it hears by sequence number."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.heard: dict[int, bytes] = {}
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._sequence = 1000

    async def open(self) -> Phone:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (self.host, 0))
        return self

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, _: object) -> None:
        self.heard[struct.unpack_from(">H", data, 2)[0]] = data[12:]

    def sdp(self, *, direction: str = "sendrecv", extra: str = "", address: str | None = None) -> str:
        family = "IP6" if ":" in self.host else "IP4"
        return (
            f"v=0\r\no=- 1 1 IN {family} {self.host}\r\ns=-\r\nc=IN {family} {address or self.host}\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n{extra}"
        )

    async def speak(self, described: str, payload: bytes, *, payload_type: int = 0, ssrc: int = 0) -> None:
        """To the address in a description, in real time."""
        host, port = endpoint(described)
        assert self._transport is not None
        began = time.monotonic()
        for index, at in enumerate(range(0, len(payload), FRAME_SAMPLES)):
            await asyncio.sleep(max(0.0, began + index * FRAME_S - time.monotonic()))
            self._sequence += 1
            timestamp = self._sequence * FRAME_SAMPLES & 0xFFFFFFFF
            header = struct.pack(">BBHII", 0x80, payload_type, self._sequence & 0xFFFF, timestamp, ssrc or self.port)
            self._transport.sendto(header + payload[at : at + FRAME_SAMPLES], (host, port))
        await asyncio.sleep(5 * FRAME_S)  # for the last packet to be relayed

    async def press(self, described: str, digits: str, *, payload_type: int = 101) -> None:
        """Keys, as RFC 4733 has it: packets of one timestamp, the last one three times."""
        assert self._transport is not None
        for digit in digits:
            timestamp = self._sequence * FRAME_SAMPLES & 0xFFFFFFFF
            for duration, end in ((160, 0), (320, 0), (480, 0x80), (480, 0x80), (480, 0x80)):
                self._sequence += 1
                header = struct.pack(">BBHII", 0x80, payload_type, self._sequence & 0xFFFF, timestamp, self.port)
                event = struct.pack(">BBH", "0123456789*#ABCD".index(digit), end | 10, duration)
                self._transport.sendto(header + event, endpoint(described))
                await asyncio.sleep(FRAME_S / 2)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def endpoint(described: str) -> tuple[str, int]:
    description = sdp.parse(described)
    audio = description.audio
    assert audio is not None, described
    connection = description.connection_of(audio)
    assert connection is not None
    return connection.address, audio.port


@asynccontextmanager
async def phones(host: str = "127.0.0.1") -> AsyncIterator[tuple[Phone, Phone]]:
    pair = await Phone(host).open(), await Phone(host).open()
    try:
        yield pair
    finally:
        for phone in pair:
            phone.close()


async def set_up(link: Controller, call_id: str, caller: Phone, called: Phone) -> tuple[str, str]:
    """Offer and answer; returns what the caller and the called party are told."""
    offer = await link.ok("offer", call_id=call_id, from_tag="caller", sdp=caller.sdp())
    answer = await link.ok("answer", call_id=call_id, from_tag="caller", to_tag="called", sdp=called.sdp())
    return answer["sdp"], offer["sdp"]
