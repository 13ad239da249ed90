"""Where stations are registered: contacts with their flows, in memory for calls and on disk for a restart.

Not responsible for who may register (``registrar``).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from mediaserverd.controller import metrics
from mediaserverd.controller.database import Database, DatabaseFault
from mediaserverd.protocol.sip.flow import Address, Flow, is_numeric
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.uri import Uri

log = structlog.get_logger()

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS bindings (station TEXT, contact TEXT, expires_at REAL NOT NULL,"
    " document TEXT NOT NULL, PRIMARY KEY (station, contact))",
)


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of one station. ``flow`` is the way to it; ``expires_at`` is Unix time."""

    station: str
    contact: Uri
    flow: Flow
    expires_at: float
    call_id: str
    cseq: int
    q: float = 1.0
    user_agent: str = ""

    @property
    def behind_nat(self) -> bool:
        """Only the flow leads there, whatever the contact says."""
        return self.flow.connection is not None or self.contact.host != self.flow.remote[0]

    @property
    def hides_address(self) -> bool:
        """The phone names another address than the one that we see."""
        return is_numeric(self.contact.host) and self.contact.host != self.flow.remote[0]


class Locations:
    """``clock`` is Unix time: bindings outlive the process."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._database = Database(directory / "locations.sqlite3", _SCHEMA)
        self._clock = clock
        self._bindings: dict[str, list[Binding]] = {}
        self._remotes: Counter[tuple[str, Address]] = Counter()
        self._writes: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Loads what an earlier run kept. Raises ``sqlite3.Error`` or ``OSError``."""
        await self._database.open()
        now = self._clock()
        for station, document in await self._database.run(lambda connection: _load(connection, now)):
            binding = _from_document(station, document)
            if binding is not None:
                self._set(station, [*self._bindings.get(station, ()), binding])

    async def close(self) -> None:
        await asyncio.gather(*self._writes)
        await self._database.close()

    def of(self, station: str) -> tuple[Binding, ...]:
        """The live contacts, the most preferred first; among equals the newest."""
        now = self._clock()
        live = [binding for binding in self._bindings.get(station, ()) if binding.expires_at > now]
        live.reverse()
        return tuple(sorted(live, key=lambda binding: -binding.q))

    def everything(self) -> tuple[Binding, ...]:
        return tuple(binding for station in sorted(self._bindings) for binding in self.of(station))

    def is_from(self, source: Flow) -> bool:
        """A registered phone sends from there."""
        return self._remotes[source.transport, source.remote] > 0

    def replace(self, station: str, bindings: Iterable[Binding]) -> None:
        """The station's contacts are these from now on."""
        kept = list(bindings)
        self._set(station, kept)
        rows = [(b.station, str(b.contact), b.expires_at, _document(b)) for b in kept]
        self._write(lambda connection: _store(connection, station, rows))

    def forget_flow(self, flow: Flow) -> None:
        """Its connection is closed. A phone that can be connected to keeps its contact; one that cannot is gone."""
        for station, bindings in list(self._bindings.items()):
            if any(binding.flow == flow for binding in bindings):
                moved = [_without_connection(b) if b.flow == flow else b for b in bindings]
                self.replace(station, [binding for binding in moved if binding is not None])

    def forget_expired(self) -> None:
        now = self._clock()
        for station, bindings in list(self._bindings.items()):
            if any(binding.expires_at <= now for binding in bindings):
                self.replace(station, [binding for binding in bindings if binding.expires_at > now])

    def forget_others_than(self, stations: Iterable[str]) -> None:
        """Stations that are no longer in the configuration."""
        for station in set(self._bindings) - set(stations):
            self.replace(station, ())

    def _set(self, station: str, bindings: list[Binding]) -> None:
        for gone in self._bindings.pop(station, ()):
            key = gone.flow.transport, gone.flow.remote
            self._remotes[key] -= 1
            if not self._remotes[key]:
                del self._remotes[key]
        if bindings:
            self._bindings[station] = bindings
            self._remotes.update((b.flow.transport, b.flow.remote) for b in bindings)
        metrics.registrations.set(sum(len(bindings) for bindings in self._bindings.values()))

    def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """A disk that fails costs the registrations at the next restart, not those of now."""
        task = asyncio.create_task(self._write_soon(work))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write_soon(self, work: Callable[[sqlite3.Connection], None]) -> None:
        try:
            await self._database.run(work)
        except DatabaseFault as fault:
            log.error("locations_not_written", reason=str(fault))


def _load(connection: sqlite3.Connection, now: float) -> list[tuple[str, str]]:
    connection.execute("DELETE FROM bindings WHERE expires_at <= ?", (now,))
    return connection.execute("SELECT station, document FROM bindings ORDER BY rowid").fetchall()


def _store(connection: sqlite3.Connection, station: str, rows: list[tuple[str, str, float, str]]) -> None:
    connection.execute("DELETE FROM bindings WHERE station = ?", (station,))
    connection.executemany("INSERT INTO bindings VALUES (?, ?, ?, ?)", rows)


def _document(binding: Binding) -> str:
    flow = binding.flow
    return json.dumps(
        {
            "contact": str(binding.contact),
            "transport": flow.transport,
            "local": flow.local,
            "remote": flow.remote,
            "connected": flow.connection is not None,
            "expires_at": binding.expires_at,
            "call_id": binding.call_id,
            "cseq": binding.cseq,
            "q": binding.q,
            "user_agent": binding.user_agent,
        }
    )


def _from_document(station: str, document: str) -> Binding | None:
    """None: a binding of an older version of this program, or one whose connection ended with the earlier run."""
    try:
        kept = json.loads(document)
        local, remote = (str(kept["local"][0]), int(kept["local"][1])), (str(kept["remote"][0]), int(kept["remote"][1]))
        binding = Binding(
            station,
            Uri.parse(kept["contact"]),
            Flow(kept["transport"], local, remote, 0 if kept["connected"] else None),
            float(kept["expires_at"]),
            kept["call_id"],
            int(kept["cseq"]),
            float(kept["q"]),
            kept["user_agent"],
        )
    except (ValueError, KeyError, TypeError, IndexError, SipError):
        log.warning("binding_not_understood", station=station)
        return None
    return _without_connection(binding)


def _without_connection(binding: Binding) -> Binding | None:
    if binding.flow.connection is None:
        return binding
    flow = called_back(binding.contact, binding.flow)
    return None if flow is None else replace(binding, flow=flow)


def called_back(contact: Uri, gone: Flow) -> Flow | None:
    """The way to a phone whose connection is closed. RFC 3261 18: one that names the address it came from can be
    connected to; behind a NAT it cannot.

    TLS phones have no certificate, so nobody connects to them.
    """
    listens = contact.host == gone.remote[0] and (contact.port or 5060) != gone.remote[1]
    if gone.transport != "tcp" or not listens or "ob" in contact.parameters:
        return None
    return Flow("tcp", gone.local, (contact.host, contact.port or 5060))
