"""SIP over TCP and TLS from peers that are broken, slow, endless, silent or too many."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from tests.e2e.undisturbed import Site
from tests.e2e.wrong_input.slow_peers import SlowPeers
from tests.kit.daemon import HOST
from tests.kit.sip_socket import trusting

pytestmark = pytest.mark.asyncio(loop_scope="package")

TCP, TLS = 5060, 5061
FAULTS = 'mediaserverd_sip_faulty_connections_total{fault="%s"}'
PER_SOURCE = 2000  # what the daemon takes from one address
OPTIONS = (
    b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKo1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:x@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: o1\r\nCSeq: 1 OPTIONS\r\n"
    b"Content-Length: 0\r\n\r\n"
)


@contextlib.asynccontextmanager
async def connection(
    site: Site, port: int, source: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = trusting(site.daemon.authority) if port == TLS else None
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.close()


async def everything(reader: asyncio.StreamReader) -> bytes:
    """What comes until the daemon closes."""
    found = b""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                found += piece
    return found


@pytest.mark.parametrize(("port", "source"), [(TCP, "127.0.0.41"), (TLS, "127.0.0.42")], ids=["tcp", "tls"])
async def test_an_endless_header_is_cut_off_counted_and_told_once(site: Site, port: int, source: str) -> None:
    transport = "tcp" if port == TCP else "tls"
    counter = f'mediaserverd_sip_malformed_total{{transport="{transport}"}}'
    before = await site.count("controller", counter)
    for _ in range(3):
        async with connection(site, port, source) as (reader, writer):
            writer.write(b"INVITE sip:101@127.0.0.1 SIP/2.0\r\nX: ")
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    writer.write(b"y" * 5000)
                    await writer.drain()
            await everything(reader)
    assert await site.count("controller", counter) == before + 3
    (told,) = site.told("sip_malformed", source=source)
    assert "Headers are longer than" in told["reason"]


async def test_what_follows_a_good_message_and_is_garbage_is_told_after_the_answer(site: Site) -> None:
    before = await site.count("controller", FAULTS % "malformed")
    async with connection(site, TCP, "127.0.0.43") as (reader, writer):
        writer.write(OPTIONS + b"\x16\x03garbage\r\nnonsense\r\n\r\n")
        answer = await everything(reader)
    assert answer.startswith(b"SIP/2.0 200 OK\r\n")
    await site.counted("controller", FAULTS % "malformed", before + 1)
    (told,) = site.told("sip_malformed", source="127.0.0.43")
    assert told["transport"] == "tcp"


async def test_garbage_and_distrust_in_the_handshake_are_counted_and_told(site: Site) -> None:
    before = await site.count("controller", FAULTS % "handshake")
    reader, writer = await asyncio.open_connection(HOST, TLS, local_addr=("127.0.0.44", 0))
    writer.write(b"INVITE sip:101@127.0.0.1 SIP/2.0\r\n\r\n" * 10)
    await everything(reader)
    writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):  # a client that trusts the public authorities alone
        await asyncio.open_connection(
            HOST, TLS, ssl=ssl.create_default_context(), server_hostname=HOST, local_addr=("127.0.0.45", 0)
        )
    await site.counted("controller", FAULTS % "handshake", before + 2)
    for source in ("127.0.0.44", "127.0.0.45"):
        (told,) = site.told("sip_connection_refused", source=source)
        assert told["reason"].startswith("no connection came of it: ")
        assert told["transport"] == "tls"


async def test_thousands_of_connections_from_one_address_leave_room_for_everybody_else(site: Site) -> None:
    refused = 'mediaserverd_sip_refused_connections_total{limit="source"}'
    more, writers = 300, []
    before = await site.count("controller", refused)
    try:
        for number in range(PER_SOURCE + more):
            _, writer = await asyncio.open_connection(HOST, TCP, local_addr=("127.0.0.46", 0))
            writers.append(writer)
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        await site.counted("controller", refused, before + more)
        async with site.call(), connection(site, TCP, "127.0.0.47") as (reader, writer):
            writer.write(OPTIONS)
            assert (await asyncio.wait_for(reader.read(65536), 5)).startswith(b"SIP/2.0 200 OK\r\n")
    finally:
        for writer in writers:
            writer.close()
    (told,) = site.told("sip_connection_refused", source="127.0.0.46")
    assert told["reason"] == "too many from one address"


@pytest.mark.parametrize(
    ("name", "source", "reason", "limit_s"),
    [
        ("silent", "127.0.0.31", "silent for 30 s", 30),
        ("silent after the handshake", "127.0.0.32", "silent for 30 s", 30),
        ("no handshake", "127.0.0.33", "no connection came of it", 5),
        ("a byte a second", "127.0.0.34", "a message was not complete within 10 s", 10),
        ("a handshake byte a second", "127.0.0.35", "no connection came of it", 5),
    ],
    ids=lambda value: str(value).replace(" ", "-") if isinstance(value, str) else "",
)
async def test_a_slow_peer_is_let_go_in_time_and_told(
    site: Site, slow_peers: SlowPeers, name: str, source: str, reason: str, limit_s: float
) -> None:
    assert limit_s - 1 <= await slow_peers.closed_after_s(name) <= limit_s + 4
    await asyncio.sleep(0.1)
    (told,) = site.told("sip_connection_refused", source=source)
    assert reason in told["reason"]
    assert (
        await site.count(
            "controller", FAULTS % ("silent" if limit_s == 30 else "slow" if limit_s == 10 else "handshake")
        )
        >= 1
    )


async def test_calls_go_through_after_all_of_that(site: Site) -> None:
    async with site.call():
        pass
