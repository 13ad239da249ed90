"""Registration end to end: a hand-written client against the running role."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from mediaserverd.controller.server import Controller
from mediaserverd.process.tls import client_context
from tests.controller.raw_phone import RawPhone
from tests.controller.site import Site, controller_settings

pytestmark = pytest.mark.timeout(40)


@asynccontextmanager
async def _controller(site: Site, **given: object) -> AsyncIterator[Controller]:
    controller = Controller(controller_settings(site, **given))
    await controller.start()
    try:
        yield controller
    finally:
        await controller.stop()


async def _registrations(site: Site) -> list[dict[str, object]]:
    headers = {"Authorization": f"Bearer {site.token('control')}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get("http://127.0.0.1:9501/control/registrations", headers=headers)
    found: list[dict[str, object]] = response.json()["registrations"]
    return found


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_phone_registers_over_every_transport_with_either_digest(
    site: Site, transport: str, algorithm: str
) -> None:
    async with _controller(site, digest_algorithms=("SHA-256", "MD5")):
        tls = client_context(site.authority) if transport == "tls" else None
        server = ("127.0.0.1", 5061 if transport == "tls" else 5060)
        phone = await RawPhone("alice", transport=transport, server=server).open(tls)
        answer = await phone.register(algorithm=algorithm)
        assert answer.status == 200
        assert re.search(r"expires=(3599|3600)\b", answer.one("Contact"))
        [row] = await _registrations(site)
        assert (row["station"], row["transport"], row["connected"]) == ("alice", transport, transport != "udp")
        phone.close()


async def test_known_and_unknown_users_get_the_same_answers(site: Site) -> None:
    async with _controller(site):
        answers = []
        for name in ("alice", "nobody"):
            phone = await RawPhone(name, password="wrong").open()
            answer = await phone.register()
            answers.append(
                (answer.start, [re.sub(r'nonce="[^"]+"', "", text) for text in answer.all("WWW-Authenticate")])
            )
            phone.close()
        assert answers[0] == answers[1]
        assert answers[0][0].startswith("SIP/2.0 401 ")
        assert await _registrations(site) == []


async def test_a_replayed_request_is_stale_and_not_taken(site: Site) -> None:
    async with _controller(site):
        phone = await RawPhone("alice").open()
        who = "<sip:alice@127.0.0.1>"

        def send(number: int, credentials: list[str]) -> None:
            headers = [f"From: {who};tag=1", f"To: {who}", "Call-ID: replay", f"CSeq: {number} REGISTER"]
            phone.request("REGISTER", "sip:127.0.0.1", [*headers, f"Contact: {phone.contact}", *credentials])

        send(1, [])
        challenge = await phone.next(401)
        credentials = phone.credentials(challenge, "REGISTER", "sip:127.0.0.1")
        send(2, [f"Authorization: {credentials}"])
        await phone.next(200)
        send(3, [f"Authorization: {credentials}"])
        refused = await phone.next(401)
        assert "stale=true" in refused.one("WWW-Authenticate")
        nonce = re.search(r'nonce="([^"]+)"', challenge.one("WWW-Authenticate"))
        assert nonce
        send(4, [f"Authorization: {phone.answer(nonce[1], 'REGISTER', 'sip:127.0.0.1', count=2)}"])
        await phone.next(200, 401)
        phone.close()


async def test_contacts_are_fetched_removed_one_by_one_and_all_at_once(site: Site) -> None:
    async with _controller(site):
        phone = await RawPhone("alice").open()
        await phone.register(contact="<sip:alice@127.0.0.1:7001>;q=0.2, <sip:alice@127.0.0.1:7002>;q=0.9;expires=120")
        both = await phone.register(contact="<sip:alice@127.0.0.1:7003>")
        assert len(both.all("Contact")) == 3
        assert "7003" in both.all("Contact")[0]
        assert "q=0.9" in both.all("Contact")[1]
        assert re.search(r"expires=1(19|20)\b", both.all("Contact")[1])
        two = await phone.register(contact="<sip:alice@127.0.0.1:7002>;expires=0")
        assert len(two.all("Contact")) == 2
        none = await phone.register(contact="*", expires=0)
        assert (none.status, none.all("Contact")) == (200, [])
        assert (await phone.register(contact="*", expires=60)).status == 400
        phone.close()


async def test_too_brief_a_time_is_423_and_too_long_a_one_is_shortened(site: Site) -> None:
    async with _controller(site):
        phone = await RawPhone("alice").open()
        brief = await phone.register(expires=5)
        assert (brief.status, brief.one("Min-Expires")) == (423, "60")
        long = await phone.register(expires=1_000_000)
        assert re.search(r"expires=(7199|7200)\b", long.one("Contact"))
        phone.close()


async def test_a_phone_may_not_register_for_another_and_no_more_than_ten_contacts_stay(site: Site) -> None:
    async with _controller(site):
        phone = await RawPhone("alice").open()
        for port in range(7000, 7013):
            answer = await phone.register(contact=f"<sip:alice@127.0.0.1:{port}>")
        assert len(answer.all("Contact")) == 10
        assert not any("7000" in contact for contact in answer.all("Contact"))
        to = ["From: <sip:bob@127.0.0.1>;tag=1", "To: <sip:bob@127.0.0.1>", "Call-ID: other"]
        phone.request("REGISTER", "sip:127.0.0.1", [*to, "CSeq: 1 REGISTER", f"Contact: {phone.contact}"])
        answer = phone.credentials(await phone.next(401), "REGISTER", "sip:127.0.0.1")  # type: ignore[assignment]
        phone.request(
            "REGISTER",
            "sip:127.0.0.1",
            [*to, "CSeq: 2 REGISTER", f"Contact: {phone.contact}", f"Authorization: {answer}"],
        )
        await phone.next(403)
        phone.close()


async def test_an_older_request_of_the_same_phone_changes_nothing(site: Site) -> None:
    async with _controller(site):
        phone = await RawPhone("alice").open()
        who = "<sip:alice@127.0.0.1>"
        for number, status in ((10, 200), (5, 500)):
            headers = [f"From: {who};tag={number}", f"To: {who}", "Call-ID: same", f"Contact: {phone.contact}"]
            phone.request("REGISTER", "sip:127.0.0.1", [*headers, f"CSeq: {number} REGISTER"])
            answer = phone.credentials(await phone.next(401), "REGISTER", "sip:127.0.0.1")
            headers.append(f"Authorization: {answer}")
            phone.request("REGISTER", "sip:127.0.0.1", [*headers, f"CSeq: {number + 1} REGISTER"])
            assert (await phone.next(200, 500)).status == status
        phone.close()


async def test_registrations_survive_a_restart_and_those_of_closed_connections_end_with_them(site: Site) -> None:
    async with _controller(site):
        udp = await RawPhone("alice").open()
        tcp = await RawPhone("bob", transport="tcp").open()
        await udp.register()
        await tcp.register()
        assert len(await _registrations(site)) == 2
        tcp.close()
        await asyncio.sleep(0.2)
        assert [row["station"] for row in await _registrations(site)] == ["alice"]
        tcp = await RawPhone("bob", transport="tcp").open()
        await tcp.register()
    async with _controller(site):
        [row] = await _registrations(site)
        assert row["station"] == "alice"
        assert row["address"] == f"127.0.0.1:{udp.port}"
    udp.close()
    tcp.close()


async def test_options_tells_what_is_spoken_and_other_requests_are_refused_politely(site: Site) -> None:
    async with _controller(site):
        phone = await RawPhone("alice").open()
        base = ["From: <sip:alice@x>;tag=1", "To: <sip:127.0.0.1>"]
        for method, extra, status in (
            ("OPTIONS", [], 200),
            ("SUBSCRIBE", [], 405),
            ("FROBNICATE", [], 501),
            ("INVITE", ["Require: 100rel", f"Contact: {phone.contact}"], 420),
            ("INVITE", [f"Contact: {phone.contact}"], 407),
            ("BYE", [], 481),
        ):
            phone.request(method, "sip:127.0.0.1", [*base, f"Call-ID: {method}{status}", f"CSeq: 1 {method}", *extra])
            answer = await phone.next(status)
            if status in (200, 405, 501):
                assert "INVITE" in answer.one("Allow")
            if status == 420:
                assert answer.one("Unsupported") == "100rel"
        phone.close()


async def test_the_control_api_asks_for_its_token(site: Site) -> None:
    async with _controller(site), httpx.AsyncClient(trust_env=False) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            response = await client.get("http://127.0.0.1:9501/control/calls", headers=headers)
            assert response.status_code == 401


async def test_a_flood_of_garbage_is_counted_and_the_next_phone_is_served(site: Site) -> None:
    async with _controller(site):
        garbage = await RawPhone("alice").open()
        for number in range(2000):
            garbage._write(b"\x00\xff garbage \r\n" + bytes([number % 256]) * 50)
        phone = await RawPhone("alice").open()
        assert (await phone.register()).status == 200
        async with httpx.AsyncClient(trust_env=False) as client:
            metrics = (await client.get("http://127.0.0.1:9501/metrics")).text
        found = re.search(r'mediaserverd_sip_malformed_total\{transport="udp"\} (\S+)', metrics)
        assert found
        assert float(found[1]) > 1000
        garbage.close()
        phone.close()
