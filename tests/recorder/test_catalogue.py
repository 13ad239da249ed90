"""The schema that migrations make is the one that the code uses, on SQLite as on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from mediaserverd.process.role import StartFault
from mediaserverd.recorder.catalogue import recordings as catalogue
from mediaserverd.recorder.catalogue import segments as life
from mediaserverd.recorder.catalogue import tables
from mediaserverd.recorder.catalogue.database import Database, open_engine
from mediaserverd.recorder.catalogue.recordings import Filter, Position
from mediaserverd.recorder.catalogue.tables import ledger_positions, metadata
from mediaserverd.recorder.catalogue.tally import count
from mediaserverd.recorder.tokens import create_token, list_tokens

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def url(directory: Path) -> str:
    return f"sqlite:///{directory / 'deep' / 'catalogue.sqlite'}"


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    with open_engine(url(tmp_path)).connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_a_second_start_finds_the_schema_up_to_date(tmp_path: Path) -> None:
    create_token(url(tmp_path), "first", ["admin"])
    create_token(url(tmp_path), "second", ["admin"])
    assert [token.name for token in list_tokens(url(tmp_path))] == ["first", "second"]


# What a recorder of the first schema had: stored, on its way, failed. The column names are those of then.
OLD_RECORDING = {
    "id": "ab" * 16,
    "kind": "policy",
    "state": "partial",
    "announced": True,
    "started_at": "2026-01-02 03:04:05.678000",
    "calling_number": "101",
}
OLD_SEGMENTS = (
    {"number": 1, "state": "stored", "size": 4711, "sha256": "ab" * 32, "quality": '{"degraded": true, "sides": []}'},
    {"number": 2, "state": "stored", "size": 815, "sha256": "cd" * 32, "quality": None},
    {"number": 3, "state": "fetching", "size": 99, "sha256": "ef" * 32, "quality": '{"degraded": false}'},
    {"number": 4, "state": "failed", "size": None, "sha256": "", "quality": None},
)


def test_recordings_of_the_first_schema_are_what_they_were_and_can_be_counted(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "catalogue.sqlite"
    path.parent.mkdir()
    engine = create_engine(url(tmp_path))
    with engine.begin() as connection:
        _upgrade(connection, "0001")
        _insert(connection, "recordings", OLD_RECORDING)
        for segment in OLD_SEGMENTS:
            _insert(connection, "segments", {"recording_id": "ab" * 16, "attempts": 0, "file": "a.wav", **segment})
    with open_engine(url(tmp_path)).connect() as connection:
        row = catalogue.find_recording(connection, "ab" * 16)
        assert row is not None
        assert (row["state"], row["calling_number"], row["started_at"]) == ("partial", "101", NOW)
        assert (row["segment_count"], row["gap_ms"], row["gaps"]) == (4, 0, None)
        kept = catalogue.segments_of(connection, "ab" * 16)
        assert [(each["format"], each["stored_size"], each["stored_sha256"]) for each in kept] == [
            ("wav", 4711, "ab" * 32), ("wav", 815, "cd" * 32), ("", None, ""), ("", None, "")
        ]  # fmt: skip
        assert [each["degraded"] for each in kept] == [True, None, False, None]
        assert [(each["encrypted"], each["verification"]) for each in kept] == [(False, "")] * 4
        tally = count(connection, NOW)
        assert (tally.expected, tally.degraded_segments, tally.verifications) == (1, 1, {})
        assert MigrationContext.configure(connection).get_current_revision() == "0005"


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _insert(connection: Connection, table: str, values: dict[str, object]) -> None:
    """Texts that must be there and are not named are empty."""
    described = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
    blank = {name: "" for _, name, kind, required, *_ in described if required and kind.startswith(("TEXT", "VARCHAR"))}
    row = {**blank, **values}
    columns, places = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({places})"), row)


def test_every_table_can_be_made_in_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    assert "TIMESTAMP WITH TIME ZONE" in statements[0]
    assert len(statements) == len(metadata.tables)


def test_moments_keep_their_time_zone_through_sqlite(tmp_path: Path) -> None:
    vienna = NOW.astimezone(timezone(timedelta(hours=1)))
    with open_engine(url(tmp_path)).begin() as connection:
        connection.execute(insert(ledger_positions).values(controller="c", sequence=1, at=vienna))
        assert connection.execute(select(ledger_positions.c.at)).scalar_one() == NOW


def test_what_is_committed_survives_a_power_cut(tmp_path: Path) -> None:
    with open_engine(url(tmp_path)).connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = await Database.open(url(tmp_path))

    def write_twice(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(insert(ledger_positions).values(controller="c", sequence=1, at=NOW))

    with pytest.raises(IntegrityError):
        await database.write(write_twice)
    assert await database.read(lambda connection: connection.execute(select(ledger_positions)).all()) == []
    await database.close()


async def test_another_process_that_writes_at_the_same_time_disturbs_nobody(tmp_path: Path) -> None:
    database = await Database.open(url(tmp_path))

    def read_then_write(connection: Connection, number: int) -> None:
        connection.execute(select(ledger_positions)).all()
        connection.execute(insert(ledger_positions).values(controller=f"c{number}", sequence=1, at=NOW))

    tokens = [asyncio.to_thread(create_token, url(tmp_path), f"t{number}", ["admin"]) for number in range(10)]
    await asyncio.gather(*tokens, *(database.write(read_then_write, number) for number in range(50)))
    rows = await database.read(lambda connection: connection.execute(select(ledger_positions)).all())
    assert len(rows) == 50
    assert len(list_tokens(url(tmp_path))) == 10
    await database.close()


@pytest.mark.parametrize(
    "broken", ["sqlite:////proc/nothing/here.sqlite", "postgresql+psycopg://u:secret@127.0.0.1:1/x", "no url", "x://y"]
)
def test_a_database_that_cannot_be_used_is_a_sentence_without_the_password(broken: str) -> None:
    with pytest.raises(StartFault) as fault:
        open_engine(broken)
    assert "recorder's database" in str(fault.value)
    assert "secret" not in str(fault.value)


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"this is not a database" * 1000)
    with pytest.raises(StartFault, match="not a database"):
        open_engine(f"sqlite:///{path}")


def test_queries_of_lists_and_work_use_an_index(tmp_path: Path) -> None:
    """The catalogue grows for years: a page, and the question what is due, must not read all of it."""
    plans: list[str] = []
    engine = open_engine(url(tmp_path))
    with engine.connect() as connection:
        for statement in _statements_of(connection):
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
            plans.append(" | ".join(step[3] for step in steps))
    assert len(plans) == 3
    for plan in plans:
        assert "SCAN segments" not in plan or "USING" in plan, plan
        assert "TEMP B-TREE" not in plan, plan


def _statements_of(connection: Connection) -> list[str]:
    from sqlalchemy import event

    seen: list[tuple[str, tuple[object, ...]]] = []
    event.listen(connection, "before_cursor_execute", lambda _c, _cu, s, p, _x, _m: seen.append((s, p)))
    catalogue.list_recordings(connection, Filter(), Position(NOW, "0" * 32), 50)
    life.due(connection, NOW, 4, ())
    life.next_due(connection, (), ())
    selects = [(statement, values) for statement, values in seen if statement.startswith("SELECT")]
    return [_with_values(statement, values) for statement, values in selects]


def _with_values(statement: str, values: tuple[object, ...]) -> str:
    for value in values:
        statement = statement.replace("?", str(value) if isinstance(value, int) else f"'{value}'", 1)
    return statement
