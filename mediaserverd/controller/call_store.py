"""The calls that are up, on disk, so that another process can go on with them.

A call's newest state replaces what still waits to be written of it, and everything that waits when the disk is free
shares one transaction. What the disk does not take stays in memory and is tried again; a call never suffers from it.
Not responsible for what the state of a call is (``call_record``).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from mediaserverd.controller import metrics
from mediaserverd.controller.database import Database, DatabaseFault

log = structlog.get_logger()

WAIT_LIMIT_S: Final = 0.25  # a caller notices no more; a disk takes some ms
RETRY_S: Final = 2.0  # after the disk took nothing
CLOSE_LIMIT_S: Final = 3.0  # for the last states at a stop

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS calls (id TEXT PRIMARY KEY, version INTEGER NOT NULL, document BLOB NOT NULL)",
)

Document = Callable[[], bytes]  # the state as it is to be written; asked for when its turn has come


@dataclass(frozen=True, slots=True)
class StoredCall:
    id: str
    version: int
    document: bytes


class CallStore:
    """``version`` is that of the documents."""

    def __init__(self, directory: Path, version: int) -> None:
        self._database = Database(directory / "calls.sqlite3", _SCHEMA)
        self._version = version
        self._waiting: dict[str, Document | None] = {}  # None: the call is over
        self._waiters: list[asyncio.Future[bool]] = []  # for all that waits
        self._writer: asyncio.Task[None] | None = None
        self._behind = False  # the disk was too slow, or took nothing; nobody waits for it until it has caught up

    async def open(self) -> list[StoredCall]:
        """What an earlier process left. Raises ``sqlite3.Error`` or ``OSError``."""
        await self._database.open()
        return await self._database.run(_load)

    def keep(self, call_id: str, document: Document) -> None:
        """Soon."""
        self._write_soon(call_id, document)

    def forget(self, call_id: str) -> None:
        """Soon. Harmless if nothing is kept of it."""
        self._write_soon(call_id, None)

    async def kept(self, limit_s: float = WAIT_LIMIT_S) -> bool:
        """Whether all that was given so far is on disk; waits for that, if the disk has been quick so far."""
        if self._writer is None:
            return True
        if self._behind:
            metrics.call_state_faults.labels("not-waited").inc()
            return False
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(written)
        try:
            async with asyncio.timeout(limit_s):
                return await written
        except TimeoutError:
            metrics.call_state_faults.labels("slow").inc()
            self._fall_behind(f"nothing was written within {limit_s:g} s")
            return False

    async def close(self) -> None:
        """Writes what waits."""
        self._behind = False
        await self.kept(CLOSE_LIMIT_S)
        if lost := sum(document is not None for document in self._waiting.values()):
            log.error("call_states_lost", calls=lost)
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self._database.close()

    def _write_soon(self, call_id: str, document: Document | None) -> None:
        self._waiting[call_id] = document
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="call-store")

    async def _write_all(self) -> None:
        """One transaction after the other, until nothing waits."""
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            waiters, self._waiters = self._waiters, []
            began = time.monotonic()
            try:
                await self._database.run(partial(_store, rows=_documents(batch), version=self._version))
            except DatabaseFault as fault:
                self._waiting = {**batch, **self._waiting}
                metrics.call_state_faults.labels("not-written").inc(len(batch))
                self._fall_behind(str(fault))
                _resolve(waiters + self._waiters, written=False)
                self._waiters.clear()
                await asyncio.sleep(RETRY_S)
            else:
                metrics.call_state_write_seconds.observe(time.monotonic() - began)
                _resolve(waiters, written=True)
        if self._behind:
            self._behind = False
            log.info("call_states_written_again")
        self._writer = None
        _resolve(self._waiters, written=True)
        self._waiters.clear()

    def _fall_behind(self, reason: str) -> None:
        if not self._behind:
            self._behind = True
            log.warning("call_states_not_written", reason=reason, effect="a restart now would lose the newest calls")


def _resolve(waiters: list[asyncio.Future[bool]], *, written: bool) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(written)


def _documents(batch: Mapping[str, Document | None]) -> dict[str, bytes | None]:
    """A call whose state cannot be written down is as good as over, for the next process."""
    made: dict[str, bytes | None] = {}
    for call_id, document in batch.items():
        try:
            made[call_id] = document and document()
        except Exception:
            log.exception("call_state_fault", call_id=call_id)
            metrics.call_state_faults.labels("not-written").inc()
            made[call_id] = None
    return made


def _load(connection: sqlite3.Connection) -> list[StoredCall]:
    rows = connection.execute("SELECT id, version, document FROM calls ORDER BY rowid")
    return [StoredCall(call_id, version, bytes(document)) for call_id, version, document in rows]


def _store(connection: sqlite3.Connection, rows: Mapping[str, bytes | None], version: int) -> None:
    over = [(call_id,) for call_id, document in rows.items() if document is None]
    up = [(call_id, version, document) for call_id, document in rows.items() if document is not None]
    connection.executemany("DELETE FROM calls WHERE id = ?", over)
    connection.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", up)
