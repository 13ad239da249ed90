"""The SIP sockets against real clients, good and bad."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mediaserverd.controller.connection import ConnectionTimes
from mediaserverd.controller.settings import SipListeners
from mediaserverd.controller.sip import SipLimits, SipSockets
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import client_context
from mediaserverd.protocol.sip.flow import Flow
from tests.controller.site import Site, make_site
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(30)

OPTIONS = (
    b"OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\n"
    b"To: <sip:b@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 4\r\n\r\nbody"
)


class Heard:
    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.unreachable: list[tuple[Flow, str]] = []

    def sip_received(self, data: bytes, flow: Flow) -> None:
        self.messages.append((data, flow))

    def sip_unreachable(self, flow: Flow, reason: str) -> None:
        self.unreachable.append((flow, reason))


def _settings(site: Site, **given: object) -> SipListeners:
    tls = site.server_tls
    files = {"certificate": tls.certificate, "private_key": tls.private_key, "certificate_authority": site.authority}
    return SipListeners.model_validate({"address": "127.0.0.1", **files, **given})


@asynccontextmanager
async def _sockets(site: Site, limits: SipLimits | None = None) -> AsyncIterator[tuple[SipSockets, Heard]]:
    heard = Heard()
    sockets = SipSockets(_settings(site), heard, limits)
    await sockets.start()
    try:
        yield sockets, heard
    finally:
        await sockets.stop()


async def test_a_datagram_arrives_with_its_source_and_an_answer_finds_back(site: Site) -> None:
    async with _sockets(site) as (sockets, heard):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(5)
        client.connect(("127.0.0.1", 5060))
        client.send(OPTIONS)
        await until(lambda: heard.messages)
        data, flow = heard.messages[0]
        assert data == OPTIONS
        assert flow == Flow("udp", ("127.0.0.1", 5060), client.getsockname())
        sockets.send(b"answer", flow)
        assert await asyncio.to_thread(client.recv, 100) == b"answer"
        client.send(b"\r\n\r\n")
        client.send(b"\0")
        client.send(OPTIONS)
        await until(lambda: len(heard.messages) == 2)
        client.close()


async def test_messages_are_cut_from_a_stream_however_the_bytes_arrive(site: Site) -> None:
    async with _sockets(site) as (_, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", 5060)
        writer.write(OPTIONS + OPTIONS[:50])
        await until(lambda: len(heard.messages) == 1)
        writer.write(OPTIONS[50:] + b"\r\n\r\n")
        await until(lambda: len(heard.messages) == 2)
        assert await reader.readexactly(2) == b"\r\n"
        assert [data for data, _ in heard.messages] == [OPTIONS, OPTIONS]
        writer.close()
        await until(lambda: heard.unreachable)
        assert heard.unreachable[0][0] == heard.messages[0][1]


async def test_tls_carries_both_ways_and_refuses_old_versions(site: Site) -> None:
    async with _sockets(site) as (sockets, heard):
        reader, writer = await asyncio.open_connection("localhost", 5061, ssl=client_context(site.authority))
        writer.write(OPTIONS)
        await until(lambda: heard.messages)
        sockets.send(b"answer", heard.messages[0][1])
        assert await reader.readexactly(6) == b"answer"
        writer.close()
        old = client_context(site.authority)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", 5061, ssl=old)


async def test_a_source_gets_so_many_connections_and_no_more(site: Site) -> None:
    async with _sockets(site, SipLimits(connections_per_source=3)) as (_, heard):
        opened = [await asyncio.open_connection("127.0.0.1", 5060) for _ in range(5)]
        for _, writer in opened:
            writer.write(OPTIONS)
        await until(lambda: len(heard.messages) == 3)
        closed = [reader for reader, _ in opened if reader.at_eof() or await _ends(reader)]
        assert len(closed) == 2
        for _, writer in opened:
            writer.close()
        await until(lambda: len(heard.unreachable) == 3)
        _, again = await asyncio.open_connection("127.0.0.1", 5060)
        again.write(OPTIONS)
        await until(lambda: len(heard.messages) == 4)
        again.close()


async def _ends(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.3):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def test_an_endless_header_and_a_silent_peer_are_let_go(site: Site) -> None:
    limits = SipLimits(times=ConnectionTimes(message_s=0.3, silent_s=0.8))
    async with _sockets(site, limits) as (_, heard):
        slow, slow_writer = await asyncio.open_connection("127.0.0.1", 5060)
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", 5060)
        for _ in range(4):
            slow_writer.write(b"OPTIONS ")
            await asyncio.sleep(0.05)
        async with asyncio.timeout(3):
            assert await slow.read() == b""
            assert len(heard.unreachable) == 1
            assert await silent.read() == b""
        assert ["complete" in reason or "silent" in reason for _, reason in heard.unreachable] == [True, True]
        slow_writer.close()
        silent_writer.close()


async def test_a_lone_line_end_is_a_keep_alive_and_not_the_start_of_a_slow_message(site: Site) -> None:
    async with _sockets(site, SipLimits(times=ConnectionTimes(message_s=0.1))) as (_, heard):
        _, writer = await asyncio.open_connection("127.0.0.1", 5060)
        writer.write(OPTIONS + b"\r\n")
        await asyncio.sleep(0.4)
        writer.write(OPTIONS)
        await until(lambda: len(heard.messages) == 2)
        writer.close()


async def test_a_stream_that_is_not_sip_is_answered_if_it_can_be_and_closed(site: Site) -> None:
    async with _sockets(site) as (_, heard):
        for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", OPTIONS.replace(b"Content-Length: 4", b"X: y")):
            reader, writer = await asyncio.open_connection("127.0.0.1", 5060)
            writer.write(garbage)
            async with asyncio.timeout(3):
                answer = await reader.read()
            assert answer == b"" or answer.startswith(b"SIP/2.0 400 ")
            writer.close()
        assert answer.startswith(b"SIP/2.0 400 ")
        assert heard.messages == []


async def test_a_peer_that_does_not_read_is_let_go_and_holds_no_memory(site: Site) -> None:
    async with _sockets(site) as (sockets, heard):
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", 5060))
        stuck.send(OPTIONS)
        await until(lambda: heard.messages)
        flow = heard.messages[0][1]
        for _ in range(2000):
            sockets.send(b"x" * 10_000, flow)
            if heard.unreachable:
                break
            await asyncio.sleep(0)
        assert heard.unreachable[0][0] == flow
        stuck.close()


async def test_the_connection_that_a_phone_opened_is_used_for_calling_it(site: Site) -> None:
    async with _sockets(site) as (sockets, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", 5060)
        writer.write(OPTIONS)
        await until(lambda: heard.messages)
        flow = heard.messages[0][1]
        assert await sockets.connect("tcp", flow.remote, "localhost") == flow
        sockets.send(b"by address", Flow("tcp", flow.local, flow.remote))
        assert await reader.readexactly(10) == b"by address"
        writer.close()


async def test_a_flow_without_connection_is_opened_once_and_everything_waiting_goes_over_it(site: Site) -> None:
    async with _sockets(site) as (sockets, heard):
        arrived: list[bytes] = []
        opened = 0

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            arrived.append(await reader.readexactly(6))
            writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 5090)
        for text in (b"one", b"two"):
            sockets.send(text, Flow("tcp", sockets.local("tcp"), ("127.0.0.1", 5090)))
        await until(lambda: arrived)
        assert (arrived, opened) == ([b"onetwo"], 1)
        server.close()
        nowhere = Flow("tcp", sockets.local("tcp"), ("127.0.0.1", 5091))
        sockets.send(b"lost", nowhere)
        await until(lambda: any(flow == nowhere for flow, _ in heard.unreachable))


async def test_a_line_over_tls_must_show_a_certificate_that_is_trusted_and_its_own(site: Site, tmp_path: Path) -> None:
    stranger = make_site(tmp_path / "stranger")
    async with _sockets(site) as (sockets, _):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(stranger.server_tls.certificate, stranger.server_tls.private_key)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 5095, ssl=context)
        with pytest.raises(ssl.SSLCertVerificationError):
            await sockets.connect("tls", ("127.0.0.1", 5095), "localhost")
        with pytest.raises(ssl.SSLCertVerificationError):
            await sockets.connect("tls", ("127.0.0.1", 5061), "elsewhere.example")
        flow = await sockets.connect("tls", ("127.0.0.1", 5061), "localhost")
        assert flow.connection is not None
        server.close()


async def test_a_port_in_use_is_a_sentence_with_address_and_port(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 5060))
        taken.listen()
        sockets = SipSockets(_settings(site), Heard())
        with pytest.raises(StartFault, match=r"127\.0\.0\.1 port 5060 \(TCP\).*tcp_port"):
            await sockets.start()


async def test_a_key_that_is_not_the_certificates_is_a_sentence(site: Site, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    sockets = SipSockets(_settings(site, private_key=other.server_tls.private_key), Heard())
    with pytest.raises(StartFault, match="cannot be used together"):
        await sockets.start()


async def test_a_transport_with_port_0_is_off(site: Site) -> None:
    sockets = SipSockets(_settings(site, tcp_port=0, tls_port=0), Heard())
    await sockets.start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", 5060)
    assert sockets.addresses() == {"udp": ("127.0.0.1", 5060)}
    await sockets.stop()
