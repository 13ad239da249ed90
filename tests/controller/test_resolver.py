"""RFC 3263 against a real DNS server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset
import pytest

from mediaserverd.controller.resolver import ResolveFault, Resolver, Target, order_by_weight, read_hosts

pytestmark = pytest.mark.timeout(30)

Zone = Mapping[tuple[str, str], tuple[int, list[str]]]  # (name, type) -> ttl, records


class DnsServer(asyncio.DatagramProtocol):
    """Answers from a zone; counts what it is asked."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[tuple[str, str]] = []
        self.mute = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if self.mute:
            return
        query = dns.message.from_wire(data)
        [question] = query.question
        key = (question.name.to_text().rstrip("."), question.rdtype.name)
        self.asked.append(key)
        answer = dns.message.make_response(query)
        if key in self.zone:
            ttl, records = self.zone[key]
            answer.answer.append(dns.rrset.from_text_list(question.name, ttl, "IN", key[1], records))
        elif all(name != key[0] for name, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), address)


@asynccontextmanager
async def _dns(zone: Zone, random: float = 0.0) -> AsyncIterator[tuple[Resolver, DnsServer]]:
    server = DnsServer(zone)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    client = dns.asyncresolver.Resolver(configure=False)
    client.nameservers = ["127.0.0.1"]
    client.port = transport.get_extra_info("sockname")[1]
    client.lifetime = 1.0
    yield Resolver(lambda: random, dns_resolver=client, hosts={"localhost": ["127.0.0.1", "::1"]}), server
    transport.close()


FULL: Zone = {
    ("example.com", "NAPTR"): (60, [
        '50 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.',
        '90 50 "s" "SIP+D2T" "" _sip._tcp.example.com.',
        '100 50 "s" "SIP+D2U" "" _sip._udp.example.com.',
        '10 50 "s" "SIP+D2W" "" _sip._ws.example.com.',
    ]),
    ("_sips._tcp.example.com", "SRV"): (60, ["1 0 5061 s.example.com."]),
    ("_sip._tcp.example.com", "SRV"): (60, ["2 0 5070 b.example.com.", "1 0 5060 a.example.com."]),
    ("_sip._udp.example.com", "SRV"): (60, ["1 0 5060 a.example.com."]),
    ("s.example.com", "A"): (60, ["127.0.0.9"]),
    ("a.example.com", "A"): (60, ["127.0.0.1"]),
    ("a.example.com", "AAAA"): (60, ["::1"]),
    ("b.example.com", "A"): (60, ["127.0.0.3"]),
}  # fmt: skip


async def test_naptr_order_then_srv_priority_then_addresses_make_the_list() -> None:
    async with _dns(FULL) as (resolver, _):
        found = await resolver.targets("example.com", None)
    assert found == [
        Target("tls", "127.0.0.9", 5061, "example.com"),
        Target("tcp", "127.0.0.1", 5060, "example.com"),
        Target("tcp", "::1", 5060, "example.com"),
        Target("tcp", "127.0.0.3", 5070, "example.com"),
        Target("udp", "127.0.0.1", 5060, "example.com"),
        Target("udp", "::1", 5060, "example.com"),
    ]


async def test_a_sips_uri_only_uses_tls() -> None:
    async with _dns(FULL) as (resolver, _):
        found = await resolver.targets("example.com", None, secure=True)
    assert {target.transport for target in found} == {"tls"}


async def test_an_explicit_transport_skips_naptr() -> None:
    async with _dns(FULL) as (resolver, server):
        found = await resolver.targets("example.com", None, "tcp")
        assert [target.port for target in found] == [5060, 5060, 5070]
        assert ("example.com", "NAPTR") not in server.asked


async def test_an_explicit_port_goes_straight_to_addresses() -> None:
    async with _dns(FULL) as (resolver, server):
        found = await resolver.targets("b.example.com", 5099)
        assert found == [Target("udp", "127.0.0.3", 5099, "b.example.com")]
        assert {kind for _, kind in server.asked} == {"A", "AAAA"}


async def test_a_numeric_host_asks_nobody() -> None:
    async with _dns({}) as (resolver, server):
        assert await resolver.targets("127.0.0.5", None) == [Target("udp", "127.0.0.5", 5060, "127.0.0.5")]
        assert await resolver.targets("[::1]", 5070, "tls") == [Target("tls", "::1", 5070, "::1")]
        assert await resolver.targets("127.0.0.5", None, secure=True) == [Target("tls", "127.0.0.5", 5061, "127.0.0.5")]
        assert server.asked == []


async def test_a_name_without_naptr_or_srv_falls_back_to_its_addresses_over_udp() -> None:
    async with _dns(FULL) as (resolver, _):
        assert await resolver.targets("b.example.com", None) == [
            Target("udp", "127.0.0.3", 5060, "b.example.com"),
        ]


async def test_localhost_needs_no_dns() -> None:
    async with _dns({}) as (resolver, server):
        found = await resolver.targets("localhost", None)
        assert found[0] == Target("udp", "127.0.0.1", 5060, "localhost")
        assert server.asked == []


async def test_answers_are_kept_for_their_time_to_live() -> None:
    zone: Zone = {("one.example", "A"): (1, ["127.0.0.1"]), ("one.example", "AAAA"): (1, ["::1"])}
    async with _dns(zone) as (resolver, server):
        for _ in range(5):
            await resolver.targets("one.example", 5060)
        assert len(server.asked) == 2
        await asyncio.sleep(1.1)
        await resolver.targets("one.example", 5060)
        assert len(server.asked) == 4


async def test_a_name_that_does_not_exist_is_a_fault_with_the_name() -> None:
    async with _dns({}) as (resolver, _):
        with pytest.raises(ResolveFault, match=r"nobody\.example"):
            await resolver.targets("nobody.example", None)


async def test_a_dead_dns_server_is_a_fault_within_the_limit() -> None:
    async with _dns({}) as (resolver, server):
        server.mute = True
        async with asyncio.timeout(8):
            with pytest.raises(ResolveFault):
                await resolver.targets("nobody.example", None)


def test_weights_decide_within_a_priority_only() -> None:
    records = [(1, 0, 1, "zero"), (1, 10, 1, "ten"), (1, 30, 1, "thirty"), (2, 100, 1, "later")]
    assert [name for *_, name in order_by_weight(records, lambda: 0.0)] == ["zero", "ten", "thirty", "later"]
    assert [name for *_, name in order_by_weight(records, lambda: 0.99)] == ["thirty", "ten", "zero", "later"]


def test_a_hosts_file_gives_names_and_ignores_comments(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# nothing\n127.0.0.7 Phone phone.local # desk\nbroken line\n")
    names = read_hosts(path)
    assert names["phone"] == ["127.0.0.7"]
    assert names["phone.local"] == ["127.0.0.7"]
    assert names["localhost"] == ["127.0.0.1", "::1"]
