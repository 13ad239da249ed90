"""Where to send a request: RFC 3263 (NAPTR, SRV, A and AAAA), as a list to try in order.

Time-to-live is honoured by dnspython's cache, negative answers included. Deviation: maddr is ignored (RFC 3261 19.1.1
allows it in received URIs; it lets a caller aim our traffic).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

TIME_LIMIT_S = 4.0  # for the whole of a resolution; a caller hears silence meanwhile
QUERY_LIMIT_S = 2.0
TARGET_LIMIT = 16  # addresses tried for one request
CACHE_LIMIT = 10_000  # names
DEFAULT_PORT = {"udp": 5060, "tcp": 5060, "tls": 5061}

# RFC 3263 4.1: NAPTR services, and the SRV prefix of each transport.
_SERVICES = {b"SIP+D2U": "udp", b"SIP+D2T": "tcp", b"SIPS+D2T": "tls"}
_SRV_PREFIX = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


class ResolveFault(Exception):
    """No address was found. The text says for what and why."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place to try. ``name`` is what a TLS certificate must carry (RFC 5922: the domain, not the SRV target)."""

    transport: str
    address: str
    port: int
    name: str


class Resolver:
    """``dns_resolver``: to ask others than the system's servers. ``random`` in [0, 1) chooses by weight."""

    def __init__(
        self,
        random: Callable[[], float],
        transports: Sequence[str] = ("udp", "tcp", "tls"),
        dns_resolver: dns.asyncresolver.Resolver | None = None,
        hosts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._random = random
        self._transports = tuple(transports)
        self._dns = dns_resolver if dns_resolver is not None else _system_resolver()
        if self._dns.cache is None:
            self._dns.cache = dns.resolver.LRUCache(CACHE_LIMIT)
        self._hosts = read_hosts(Path("/etc/hosts")) if hosts is None else dict(hosts)

    async def targets(self, host: str, port: int | None, transport: str = "", secure: bool = False) -> list[Target]:
        """In the order to try. Raises ``ResolveFault``; the list is never empty."""
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                found = await self._targets(host.strip("[]").rstrip("."), port, transport.lower(), secure)
        except TimeoutError:
            raise ResolveFault(f"DNS did not answer for {host} within {TIME_LIMIT_S:g} s") from None
        if not found:
            raise ResolveFault(f"{host} has no address that can be reached with {', '.join(self._transports)}")
        return found[:TARGET_LIMIT]

    async def _targets(self, host: str, port: int | None, transport: str, secure: bool) -> list[Target]:
        fallback = transport or ("tls" if secure else "udp")
        if _is_numeric(host):
            return [Target(fallback, host, port or DEFAULT_PORT[fallback], host)]
        if port is not None or host.lower() in self._hosts:
            return await self._by_address(host, host, port or DEFAULT_PORT[fallback], fallback)
        if transport:
            found = await self._by_service(f"{_SRV_PREFIX[transport]}.{host}", transport, host)
        else:
            found = await self._by_naptr(host, secure)
        return found or await self._by_address(host, host, DEFAULT_PORT[fallback], fallback)

    async def _by_naptr(self, host: str, secure: bool) -> list[Target]:
        usable = ("tls",) if secure else self._transports
        services = [
            (record.order, record.preference, record.replacement.to_text(), _SERVICES[record.service.upper()])
            for record in await self._ask(host, dns.rdatatype.NAPTR)
            if record.flags.lower() == b"s" and _SERVICES.get(record.service.upper()) in usable
        ]
        services.sort(key=lambda service: service[:2])
        if not services:
            services = [(0, 0, f"{_SRV_PREFIX[transport]}.{host}", transport) for transport in usable]
        found: list[Target] = []
        for _, _, name, transport in services:
            found += await self._by_service(name, transport, host)
        return found

    async def _by_service(self, service: str, transport: str, domain: str) -> list[Target]:
        records = [
            (record.priority, record.weight, record.port, record.target.to_text(omit_final_dot=True))
            for record in await self._ask(service, dns.rdatatype.SRV)
        ]
        found: list[Target] = []
        for _, _, port, name in order_by_weight([record for record in records if record[3]], self._random):
            found += await self._by_address(domain, name, port, transport)
        return found

    async def _by_address(self, domain: str, host: str, port: int, transport: str) -> list[Target]:
        addresses = list(self._hosts.get(host.lower(), ()))
        if not addresses:
            v4, v6 = await asyncio.gather(self._ask(host, dns.rdatatype.A), self._ask(host, dns.rdatatype.AAAA))
            addresses = [record.address for record in (*v4, *v6)]
        return [Target(transport, address, port, domain) for address in addresses]

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> list[Any]:
        """The records; none when there are none or nobody answers (RFC 3263 4.3 goes on with what is left)."""
        try:
            return list(await self._dns.resolve(name, kind, raise_on_no_answer=False, search=False) or ())
        except dns.exception.DNSException:
            return []


def order_by_weight(
    records: Iterable[tuple[int, int, int, str]], random: Callable[[], float]
) -> list[tuple[int, int, int, str]]:
    """(priority, weight, ...) in the order of RFC 2782: by priority, within one drawn by weight, zero weights first."""
    ordered: list[tuple[int, int, int, str]] = []
    waiting = sorted(records, key=lambda record: record[:2])
    while waiting:
        group = [record for record in waiting if record[0] == waiting[0][0]]
        threshold = random() * sum(record[1] for record in group)
        passed = 0
        for record in group:
            passed += record[1]
            if passed >= threshold:
                break
        ordered.append(record)
        waiting.remove(record)
    return ordered


def read_hosts(path: Path) -> dict[str, list[str]]:
    """Names of a hosts file, lower-cased; localhost is always there (RFC 6761 6.3)."""
    names: dict[str, list[str]] = {}
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        address, *aliases = line.partition("#")[0].split() or [""]
        if _is_numeric(address):
            for alias in aliases:
                names.setdefault(alias.lower(), []).append(address)
    names.setdefault("localhost", ["127.0.0.1", "::1"])
    return names


def _system_resolver() -> dns.asyncresolver.Resolver:
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.lifetime = QUERY_LIMIT_S
    return resolver


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
