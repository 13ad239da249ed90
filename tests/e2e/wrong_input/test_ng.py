"""The ng doors: garbage, wrong tokens, another protocol, too long. The controller stays connected and calls go on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.e2e.undisturbed import Site, Stranger
from tests.e2e.wrong_input.slow_peers import SlowPeers
from tests.kit.daemon import HOST
from tests.kit.sip_socket import trusting

pytestmark = pytest.mark.asyncio(loop_scope="package")

NG = 2223
FLOOD = 2000
ERRORS = 'mediaserverd_media_ng_errors_total{door="%s",kind="%s"}'
BROKEN = [
    b"x d7:command4:pinge trailing",
    b"x d7:command99999999999:pinge",
    b"x " + b"l" * 3000 + b"e" * 3000,
    b"x " + b"[" * 1200 + b"]" * 1200,
    b"x i" + b"9" * 5000 + b"e",
    b"x",
]


def door(site: Site, source: str, token: str | None, protocol: str = "ng.rtpengine.com") -> connect:
    context: ssl.SSLContext = trusting(site.daemon.authority)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return connect(
        f"wss://{HOST}:{NG}/",
        ssl=context,
        subprotocols=[Subprotocol(protocol)],
        additional_headers=headers,
        local_addr=(source, 0),
        proxy=None,
    )


async def test_garbage_on_the_udp_door_is_counted_told_once_and_disturbs_no_call(site: Site) -> None:
    before = await site.count("media", ERRORS % ("udp", "broken"))
    with Stranger("127.0.0.61") as stranger:
        async with site.call():
            for number in range(FLOOD):
                junk = BROKEN[number // 2 % len(BROKEN)] if number % 2 else secrets.token_bytes(1 + number % 1400)
                await stranger.send(junk, NG)
            await site.counted("media", ERRORS % ("udp", "broken"), before + FLOOD)
        assert len(await stranger.answers()) <= FLOOD
    (told,) = site.told("ng_message_broken", source="127.0.0.61")
    assert told["door"] == "udp"


async def test_who_shows_no_token_or_a_wrong_one_is_refused_counted_and_told_once(site: Site) -> None:
    before = await site.count("media", ERRORS % ("websocket", "token"))
    tokens = [None, "", "wrong", site.daemon.secret("retrieval"), "x" * 4000]
    for token in tokens:
        with pytest.raises(InvalidStatus) as refused:
            await door(site, "127.0.0.62", token)
        assert refused.value.response.status_code == 401
        assert b"bearer token" in (refused.value.response.body or b"")
    assert await site.count("media", ERRORS % ("websocket", "token")) == before + len(tokens)
    (told,) = site.told("ng_connection_refused", source="127.0.0.62")
    assert told["reason"] == "neither a right token nor a controller's certificate"


async def test_another_sub_protocol_and_what_is_no_websocket_are_refused_counted_and_told(site: Site) -> None:
    before = await site.count("media", ERRORS % ("websocket", "handshake"))
    with pytest.raises(InvalidStatus) as refused:
        await door(site, "127.0.0.63", site.daemon.secret("ng"), "chat")
    assert refused.value.response.status_code == 400
    authorization = f"Authorization: Bearer {site.daemon.secret('ng')}"
    plain = f"GET / HTTP/1.1\r\nHost: x\r\n{authorization}\r\n\r\n".encode()
    for number, junk in enumerate((secrets.token_bytes(300) + b"\r\n\r\n", plain)):
        reader, writer = await asyncio.open_connection(
            HOST, NG, ssl=trusting(site.daemon.authority), local_addr=(f"127.0.0.{64 + number}", 0)
        )
        writer.write(junk)
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
    await site.counted("media", ERRORS % ("websocket", "handshake"), before + 3)
    for source in ("127.0.0.63", "127.0.0.64", "127.0.0.65"):
        assert len(site.told("ng_connection_refused", source=source)) == 1


async def test_a_message_that_is_too_long_ends_its_connection_and_no_other(site: Site) -> None:
    before = await site.count("media", ERRORS % ("websocket", "protocol"))
    async with site.call(), door(site, "127.0.0.66", site.daemon.secret("ng")) as stranger:
        await stranger.send('1 {"command": "ping"}')
        assert '"pong"' in str(await stranger.recv())
        with contextlib.suppress(ConnectionClosed):
            await stranger.send("2 " + "x" * (4 << 20))
        with pytest.raises(ConnectionClosed):
            await stranger.recv()
        assert stranger.close_code == 1009
    await site.counted("media", ERRORS % ("websocket", "protocol"), before + 1)
    (told,) = site.told("ng_message_broken", source="127.0.0.66")
    assert "1009" in told["reason"]


async def test_broken_messages_of_one_who_has_the_token_are_answered_counted_and_told_once(site: Site) -> None:
    before = await site.count("media", ERRORS % ("websocket", "broken"))
    async with door(site, "127.0.0.67", site.daemon.secret("ng")) as stranger:
        for number in range(50):
            await stranger.send(f'{number} {{"command": ')
        await stranger.send('last {"command": "offer", "call-id": "c", "from-tag": "f", "sdp": "v=0"}')
        async with asyncio.timeout(5):
            while not (answer := str(await stranger.recv())).startswith("last "):
                pass
        assert '"error"' in answer
    assert await site.count("media", ERRORS % ("websocket", "broken")) == before + 50
    (told,) = site.told("ng_message_broken", source="127.0.0.67")
    assert told["door"] == "websocket"


async def test_an_upgrade_that_never_ends_is_cut_off_and_told(site: Site, slow_peers: SlowPeers) -> None:
    assert 4 <= await slow_peers.closed_after_s("WebSocket upgrade") <= 8
    (told,) = site.told("ng_connection_refused", source="127.0.0.38")
    assert "slow" in told["reason"]
