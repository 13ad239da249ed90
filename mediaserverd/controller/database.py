"""One SQLite file with one writer thread. Group commit: everything that waits when the disk is free shares one fsync.

Not responsible for what the tables mean (``ledger``, ``locations``).
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

GROUP_LIMIT = 512  # pieces of work in one transaction; bounds how long the first of them waits
WAITING_LIMIT = 50_000  # pieces of work queued; a disk that is this far behind is a failed disk


class DatabaseFault(Exception):
    """The work was not written. The text is fit for a log."""


@dataclass(frozen=True, slots=True)
class _Work:
    function: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class Database:
    """Runs functions on a connection in a thread; a function's future resolves when its transaction is on disk."""

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        self._path = path
        self._schema = schema
        self._work: queue.Queue[_Work | None] = queue.Queue(WAITING_LIMIT)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Raises ``sqlite3.Error`` or ``OSError`` when the file cannot be used."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._serve, args=(opened,), name=f"db-{self._path.stem}", daemon=True)
        self._thread.start()
        await opened

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """``function`` runs in a transaction of its own (a savepoint of the group's)."""
        if self._thread is None or self._loop is None:
            raise DatabaseFault(f"{self._path} is not open")
        done: asyncio.Future[T] = self._loop.create_future()
        try:
            self._work.put_nowait(_Work(function, done))
        except queue.Full:
            raise DatabaseFault(f"{self._path}: the disk is {WAITING_LIMIT} writes behind") from None
        return await done

    async def close(self) -> None:
        """Writes what waits, then closes the file."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        await asyncio.to_thread(self._work.put, None)
        await asyncio.to_thread(thread.join)

    def _serve(self, opened: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
        except (sqlite3.Error, OSError) as fault:
            self._resolve([(opened, None, fault)])
            return
        self._resolve([(opened, None, None)])
        while group := self._next_group():
            self._resolve(self._run_group(connection, group))
        connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # WAL with NORMAL may lose the last commits at a power cut
        for statement in self._schema:
            connection.execute(statement)
        return connection

    def _next_group(self) -> list[_Work]:
        """Blocks for the first piece; an empty list means: close."""
        group: list[_Work] = []
        item = self._work.get()
        while item is not None:
            group.append(item)
            if len(group) >= GROUP_LIMIT or self._work.empty():
                return group
            item = self._work.get()
        if group:
            self._work.put(None)  # close after this group
        return group

    def _run_group(self, connection: sqlite3.Connection, group: list[_Work]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run_one(connection, work) for work in group]
            connection.execute("COMMIT")
        except sqlite3.Error as fault:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [(work.done, None, DatabaseFault(f"{self._path}: {fault}")) for work in group]
        return outcomes

    def _run_one(self, connection: sqlite3.Connection, work: _Work) -> _Outcome:
        connection.execute("SAVEPOINT one")
        try:
            result = work.function(connection)
        except Exception as fault:
            if not connection.in_transaction:
                raise  # a full disk makes SQLite roll back all of it, savepoints included
            # The fault belongs to the one who asked; the others of the group are written all the same.
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            if isinstance(fault, sqlite3.OperationalError):
                fault = DatabaseFault(f"{self._path}: {fault}")
            return work.done, None, fault
        connection.execute("RELEASE one")
        return work.done, result, None

    def _resolve(self, outcomes: list[_Outcome]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_settle, outcomes)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


_Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]


def _settle(outcomes: list[_Outcome]) -> None:
    for done, result, fault in outcomes:
        if done.done():
            continue  # the one who asked was cancelled
        if fault is None:
            done.set_result(result)
        else:
            done.set_exception(fault)
