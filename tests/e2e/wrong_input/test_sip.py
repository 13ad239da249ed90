"""SIP from strangers: malformed, too much, without credentials. Told once, counted, and calls go on meanwhile."""

from __future__ import annotations

import secrets

import pytest

from mediaserverd.protocol.sip.digest import authorize
from mediaserverd.protocol.sip.message import Headers, Request, Response, parse_message
from mediaserverd.protocol.sip.uri import Uri
from tests.e2e.undisturbed import Site, Stranger
from tests.kit.daemon import HOST
from tests.protocol.sip.rfc4475 import TORTURE, Refused

pytestmark = pytest.mark.asyncio(loop_scope="package")

FLOOD = 2000
MEMORY_KIB = 20_000  # more than this a flood may not leave behind
SIP = 5060


def request(method: str, stranger: Stranger, number: int, *headers: tuple[str, object], body: bytes = b"") -> Request:
    """A request of its own each time: nothing of it is a retransmission."""
    user = "alice" if number % 2 else f"user{number}"
    made: list[tuple[str, object]] = [
        ("Via", f"SIP/2.0/UDP {stranger.address}:{stranger.port};branch=z9hG4bK{secrets.token_hex(8)}"),
        ("Max-Forwards", 70),
        ("From", f"<sip:{user}@{HOST}>;tag={secrets.token_hex(4)}"),
        ("To", f"<sip:{user if method == 'REGISTER' else '101'}@{HOST}>"),
        ("Call-ID", secrets.token_hex(8)),
        ("CSeq", f"1 {method}"),
        ("Contact", f"<sip:{user}@{stranger.address}:{stranger.port}>"),
        *headers,
    ]
    return Request(method, Uri("sip", None if method == "REGISTER" else "101", None, HOST, None), Headers(made), body)


def malformed(number: int) -> bytes:
    """One of many ways to be wrong; nothing of it is a SIP message that can be taken."""
    torture = [case.wire for case in TORTURE if isinstance(case.outcome, Refused)]
    match number % 5:
        case 0:
            return torture[number // 5 % len(torture)]
        case 1:
            return secrets.token_bytes(1 + number % 1400)
        case 2:
            return b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nX: " + b"y" * (20_000 + number) + b"\r\n\r\n"
        case 3:
            contacts = b",".join(b"<sip:a@192.0.2.1:%d>" % port for port in range(1000))
            return b"REGISTER sip:127.0.0.1 SIP/2.0\r\nContact: " + contacts + b"\r\n\r\n"
        case _:
            return b"INVITE sip:101@127.0.0.1 SIP/2.0\r\n" + b"\r\n".join([b"Via: " + b"\0" * 30] * 200) + b"\r\n\r\n"


async def test_a_flood_of_malformed_datagrams_is_counted_told_once_and_disturbs_no_call(site: Site) -> None:
    before, memory = await site.count("controller", "mediaserverd_sip_malformed_total"), site.memory_kib("controller")
    with Stranger("127.0.0.21") as stranger:
        async with site.call():
            for number in range(FLOOD):
                await stranger.send(malformed(number), SIP)
            await site.counted("controller", "mediaserverd_sip_malformed_total", before + FLOOD)
        assert len(await stranger.answers()) <= FLOOD
    (told,) = site.told("sip_malformed", source="127.0.0.21")
    assert told["transport"] == "udp"
    assert told["reason"]
    assert site.memory_kib("controller") < memory + MEMORY_KIB


async def test_a_flood_of_wrong_passwords_is_answered_one_for_one_and_the_right_one_still_works(site: Site) -> None:
    before = await site.count("controller", "mediaserverd_authentication_failures_total")
    memory = site.memory_kib("controller")
    with Stranger("127.0.0.22") as stranger:
        await stranger.send(request("REGISTER", stranger, 1).encode(), SIP)
        (first,) = await stranger.answers(1)
        asked = parse_message(first)
        assert isinstance(asked, Response)
        async with site.call():
            for number in range(FLOOD):
                guess = authorize(asked.challenges, "REGISTER", f"sip:{HOST}", "alice", f"guess{number}", cnonce="c")
                await stranger.send(request("REGISTER", stranger, number, ("Authorization", guess)).encode(), SIP)
            answers = await stranger.answers(FLOOD)
        await site.alice.register()
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"SIP/2.0 401 Unauthorized"}
    assert len(answers) == FLOOD
    await site.counted("controller", "mediaserverd_authentication_failures_total", before + FLOOD)
    (told,) = site.told("authentication_failed", source="127.0.0.22")
    assert told["reason"].startswith("REGISTER: ")
    assert site.memory_kib("controller") < memory + MEMORY_KIB


async def test_a_flood_of_calls_from_a_stranger_gets_no_more_answers_than_it_has_requests(site: Site) -> None:
    memory = site.memory_kib("controller")
    with Stranger("127.0.0.23") as stranger:
        async with site.call():
            for number in range(FLOOD):
                await stranger.send(request("INVITE", stranger, number).encode(), SIP)
            answers = await stranger.answers(FLOOD)
            answers += await stranger.answers(1, timeout_s=1.2)  # when a repetition would come (T1 is 0.5 s)
            assert await site.count("controller", "mediaserverd_calls_active") == 1
    assert len(answers) == FLOOD
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"SIP/2.0 407 Proxy Authentication Required"}
    assert site.memory_kib("controller") < memory + MEMORY_KIB
