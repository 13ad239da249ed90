"""The database: engine, schema at start, and threads for its blocking calls. Not responsible for what is asked of it.

Writes go through one thread, so that SQLite's single writer is never contended inside this process and a group of
changes is one transaction, one fsync. Reads have threads of their own and, in WAL mode, never wait for a write.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mediaserverd.process.role import StartFault

READ_THREADS = 4
BUSY_TIMEOUT_S = 10  # another process (the command line making a token) may hold SQLite's write lock for so long

# Alembic keeps the run under way in module globals.
_UPGRADING = threading.Lock()

_P = ParamSpec("_P")
_T = TypeVar("_T")


def open_engine(url: str) -> Engine:
    """An engine whose schema is up to date. Raises StartFault when the database cannot be used."""
    try:
        location = make_url(url)
        if location.get_backend_name() == "sqlite" and location.database:
            Path(location.database).parent.mkdir(parents=True, exist_ok=True)
        engine = _create(url)
        _upgrade(engine)
    except (SQLAlchemyError, OSError, ImportError) as fault:
        raise StartFault(
            f"cannot use the recorder's database {_shown(url)}: {_first_line(fault)}; "
            "check that it exists, that this user may write it and that its disk is not full"
        ) from fault
    return engine


def ask(url: str, question: Callable[Concatenate[Connection, _P], _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """One question of the command line, beside a running recorder. Raises StartFault."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return question(connection, *arguments, **named)
    finally:
        engine.dispose()


def _create(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=READ_THREADS + 1, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # FULL: a row that was answered for survives a power cut; the file is deleted on the media server after that.
    connection.isolation_level = None
    # secure_delete: a destroyed key is written over, not only unlinked from its page.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # SQLITE_BUSY_SNAPSHOT: a transaction that reads and later writes fails if another process wrote in between.
    immediate = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with _UPGRADING, engine.connect().execution_options(writes=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def leave_no_trace(engine: Engine) -> bool:
    """SQLite's log has former pages until it is cut off. PostgreSQL has them until VACUUM; that is its operator's."""
    if engine.dialect.name != "sqlite":
        return True
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = cursor.fetchone()
    return row is not None and not row[0]


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "(an URL that cannot be read)"


def _first_line(fault: BaseException) -> str:
    return str(fault).partition("\n")[0]


class Database:
    """Runs functions ``(connection, ...)`` in a transaction, off the loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, "catalogue-writer")
        self._readers = ThreadPoolExecutor(READ_THREADS, "catalogue-reader")

    @classmethod
    async def open(cls, url: str) -> Database:
        return cls(await asyncio.to_thread(open_engine, url))

    async def write(
        self, function: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        return await asyncio.get_running_loop().run_in_executor(
            self._writer, lambda: self._in_transaction(True, function, *args, **kwargs)
        )

    async def read(
        self, function: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self._in_transaction(False, function, *args, **kwargs)
        )

    def _in_transaction(
        self, writes: bool, function: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
            return function(connection, *args, **kwargs)

    async def leave_no_trace(self) -> bool:
        """Of what was deleted in transactions before. False: readers are in the way, try again."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, leave_no_trace, self._engine)

    async def probe(self) -> str:
        """Why the database cannot be used now; empty when it can."""
        try:
            await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
        except SQLAlchemyError as fault:
            return _first_line(fault)
        return ""

    async def close(self) -> None:
        """Waits for what is under way."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()
