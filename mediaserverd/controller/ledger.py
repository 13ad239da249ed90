"""The durable outbox of what is expected to be recorded, and the sender to the recorder (docs/wire.md 3).

An entry is on disk before ``append`` returns; it leaves the disk when the recorder has accepted it. Calls never wait
for the recorder. What a full disk does not take is kept in memory and written as soon as there is room: until then it
is lost if the process dies, and known to nobody. Not responsible for deciding what is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import structlog

from mediaserverd.controller import metrics
from mediaserverd.controller.database import Database, DatabaseFault
from mediaserverd.controller.settings import LedgerLink
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, client_context
from mediaserverd.process.tokens import read_token

log = structlog.get_logger()

UNWRITTEN_LIMIT = 20_000  # entries in memory while the disk takes none: 10 MB, and hours of most sites' calls
BATCH_LIMIT = 200  # entries in one POST; bounds the body
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 15.0  # a recorder that is back is noticed within this
POST_TIMEOUT_S = 10.0

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS outbox (sequence INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS running (recording_id TEXT, segment INTEGER, since TEXT NOT NULL,"
    " PRIMARY KEY (recording_id, segment))",
)


def utc_text(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as everywhere on the wire."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Ledger:
    """``start`` ends what an earlier run left open and this one does not go on with; ``append`` writes; a task of its
    own sends."""

    def __init__(
        self,
        directory: Path,
        controller: str,
        link: LedgerLink,
        authority: Path,
        certificate: ServerTls | None = None,
    ) -> None:
        self._database = Database(directory / "ledger.sqlite3", _SCHEMA)
        self._controller = controller
        self._link = link
        self._authority = authority
        self._certificate = certificate  # says who we are where no token does
        self._unwritten: list[dict[str, object]] = []
        self._writing = asyncio.Lock()  # one at a time: an end must not overtake a beginning that failed to be written
        self._waiting = asyncio.Event()
        self._drained = asyncio.Event()  # nothing is unsent
        self._sender: asyncio.Task[None] | None = None
        self.unsent = 0
        self.fault = ""  # why the recorder does not take entries; empty: it does, or nothing was sent yet

    async def start(self, going_on: Collection[tuple[str, int]] = ()) -> None:
        """``going_on``: recordings, by id and segment, of calls that this process goes on with."""
        await self._database.open()
        # A lost state directory must not repeat sequences: the recorder would ignore them as known.
        first = int(datetime.now(UTC).timestamp() * 1000)
        await self._database.run(lambda connection: _seed_sequence(connection, first))
        ended = await self._database.run(lambda connection: _end_running(connection, going_on))
        self._count(await self._database.run(_count))
        if ended:
            log.warning("recordings_of_an_earlier_run_ended", recordings=ended)
        self._waiting.set()
        self._sender = asyncio.create_task(self._send_all(), name="ledger-sender")

    async def append(self, document: Mapping[str, object], at: datetime | None = None) -> int:
        """``document`` has the keys of docs/wire.md 3 but ``sequence``, and ``at``: when it came about [now]. Returns
        the sequence once on disk.

        Raises ``DatabaseFault`` if it could not be written; it is then kept, and written later.
        """
        if document["event"] == "expected":
            metrics.recordings_expected.inc()
        if len(self._unwritten) >= UNWRITTEN_LIMIT:
            metrics.ledger_faults.labels("lost").inc()
            raise DatabaseFault(f"{UNWRITTEN_LIMIT} entries wait for room on the disk; this one is lost")
        self._unwritten.append({"at": utc_text(at or datetime.now(UTC)), **document})
        return await self._write_unwritten()

    async def _write_unwritten(self) -> int:
        """All that is in memory, in its order, in one transaction. Returns the last sequence, 0 if nothing waits."""
        async with self._writing:
            entries = self._unwritten.copy()
            if not entries:
                return 0
            try:
                sequences = await self._database.run(lambda connection: [_write(connection, one) for one in entries])
            except DatabaseFault:
                metrics.ledger_faults.labels("not-written").inc()
                raise
            finally:
                self._waiting.set()
            del self._unwritten[: len(entries)]
            self._count(self.unsent + len(entries))
            return sequences[-1]

    async def reconfigure(self, link: LedgerLink, authority: Path) -> None:
        """Send to another recorder from now on; what waits goes there too."""
        self._link, self._authority = link, authority
        if self._sender is not None:
            await _cancel(self._sender)
            self._waiting.set()
            self._sender = asyncio.create_task(self._send_all(), name="ledger-sender")

    async def flush(self, limit_s: float) -> None:
        """Give the sender a moment before the process ends; what stays is sent by the next run."""
        if self.fault:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._drained.wait()

    async def stop(self) -> None:
        if self._sender is not None:
            await _cancel(self._sender)
        with contextlib.suppress(DatabaseFault):
            await self._write_unwritten()
        if self._unwritten:
            log.error("ledger_entries_lost", entries=len(self._unwritten), reason="the disk takes nothing")
        await self._database.close()

    async def _send_all(self) -> None:
        async with _client(self._authority, self._certificate) as client:
            retry_s = FIRST_RETRY_S
            while True:
                await self._waiting.wait()
                fault, sent = await self._send_oldest(client)
                self._note(fault, sent)
                if fault:
                    await asyncio.sleep(retry_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries
                    retry_s = min(retry_s * 2, LAST_RETRY_S)
                else:
                    retry_s = FIRST_RETRY_S

    async def _send_oldest(self, client: httpx.AsyncClient) -> tuple[str, int]:
        """One batch: why it is still here, and how many were sent."""
        self._waiting.clear()
        try:
            await asyncio.shield(self._write_unwritten())  # this task may be cancelled; what is in memory must stay
            entries = await self._database.run(_oldest)
            if not entries:
                return self.fault, 0
            fault = await self._post(client, entries)
            if not fault:
                await self._forget(entries[-1]["sequence"], len(entries))
        except DatabaseFault as disk:
            fault, entries = str(disk), []
        self._waiting.set()
        return fault, len(entries)

    async def _post(self, client: httpx.AsyncClient, entries: list[dict[str, Any]]) -> str:
        """Why the recorder did not take the entries; empty if it did."""
        url = f"{self._link.url.rstrip('/')}/internal/ledger"
        try:
            shown = self._link.token_file
            headers = {"Authorization": f"Bearer {read_token(shown)}"} if shown else {}
            body = {"controller": self._controller, "entries": entries}
            response = await client.post(url, json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            return f"{url}: {type(fault).__name__}: {fault}"
        except StartFault as fault:
            return str(fault)
        if response.status_code != 200:
            return f"{url} answered {response.status_code}: {response.text[:200]}"
        if '"rejected"' in response.text[:200]:
            log.error("ledger_entries_rejected", answer=response.text[:1000])
        return ""

    def _note(self, fault: str, entries: int) -> None:
        if fault and fault != self.fault:
            log.warning("ledger_not_accepted", reason=fault, unsent=self.unsent)
        if self.fault and not fault:
            log.info("ledger_accepted_again", entries=entries, unsent=self.unsent)
        self.fault = fault

    async def _forget(self, sequence: int, entries: int) -> None:
        await self._database.run(
            lambda connection: connection.execute("DELETE FROM outbox WHERE sequence <= ?", (sequence,)).rowcount
        )
        self._count(self.unsent - entries)

    def _count(self, unsent: int) -> None:
        self.unsent = unsent
        metrics.ledger_unsent.set(unsent)
        if unsent:
            self._drained.clear()
        else:
            self._drained.set()


def _client(authority: Path, certificate: ServerTls | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=client_context(authority, certificate), timeout=POST_TIMEOUT_S, trust_env=False)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _seed_sequence(connection: sqlite3.Connection, first: int) -> None:
    if connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'outbox'").fetchone() is None:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", (first,))


def _write(connection: sqlite3.Connection, entry: Mapping[str, Any]) -> int:
    key = (entry["recording_id"], entry["segment"])
    match entry["event"]:
        case "expected":
            connection.execute("INSERT OR IGNORE INTO running VALUES (?, ?, ?)", (*key, entry["at"]))
        case "ended" | "failed":
            connection.execute("DELETE FROM running WHERE recording_id = ? AND segment = ?", key)
    cursor = connection.execute("INSERT INTO outbox (document) VALUES (?)", (json.dumps(entry),))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _end_running(connection: sqlite3.Connection, going_on: Collection[tuple[str, int]]) -> int:
    """The earlier run died: nobody else says that these ended. Their true length is in the media server's report."""
    found = connection.execute("SELECT recording_id, segment FROM running ORDER BY since").fetchall()
    rows = [row for row in found if row not in going_on]
    at = utc_text(datetime.now(UTC))
    for recording_id, segment in rows:
        entry = {"at": at, "event": "ended", "recording_id": recording_id, "segment": segment}
        _write(connection, {**entry, "reason": "controller-restart", "duration_ms": None})
    return len(rows)


def _oldest(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT sequence, document FROM outbox ORDER BY sequence LIMIT ?", (BATCH_LIMIT,))
    return [{"sequence": sequence, **json.loads(document)} for sequence, document in rows]


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])
