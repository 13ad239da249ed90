"""The states of calls on disk: in time, and without ever holding up a call for long."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mediaserverd.controller.call_record import VERSION, CallRecord, Moment, read, written
from mediaserverd.controller.call_store import CallStore, StoredCall
from tests.call.script import ORDER
from tests.controller.call_records import some_record

LIMIT_S = 10.0  # for a disk that others use too


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    made = CallStore(tmp_path, VERSION)
    assert await made.open() == []
    yield made
    await made.close()


def rows(directory: Path) -> dict[str, bytes]:
    with sqlite3.connect(directory / "calls.sqlite3") as connection:
        return dict(connection.execute("SELECT id, document FROM calls").fetchall())


async def test_what_was_kept_is_there_for_the_next_process_in_its_newest_state(
    store: CallStore, tmp_path: Path
) -> None:
    for number in range(200):
        store.keep(f"c{number % 50}", str(number).encode)
    store.forget("c7")
    assert await store.kept(LIMIT_S)
    found = rows(tmp_path)
    assert len(found) == 49
    assert found["c8"] == b"158"
    again = CallStore(tmp_path, VERSION)
    assert len(await again.open()) == 49
    await again.close()


class Lock:
    """Another process that holds the database: no write gets through, as on a disk that stalls."""

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(directory / "calls.sqlite3", isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


async def test_a_disk_that_stalls_holds_up_one_answer_for_a_moment_and_then_none(
    store: CallStore, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    lock = Lock(tmp_path)
    with capture_logs() as logs:
        began = loop.time()
        store.keep("c1", lambda: b"1")
        assert not await store.kept()
        assert loop.time() - began < 2.0
        began = loop.time()
        for number in range(100):
            store.keep(f"d{number}", lambda: b"2")
            assert not await store.kept()
        assert loop.time() - began < 3.0, "nobody else waits for a disk that is known to be slow"
        lock.release()
        async with asyncio.timeout(20):
            while not await store.kept(LIMIT_S):
                await asyncio.sleep(0.02)
    assert len(rows(tmp_path)) == 101
    assert [entry["event"] for entry in logs] == ["call_states_not_written", "call_states_written_again"]


async def test_what_the_disk_refused_is_written_when_it_takes_it_again(store: CallStore, tmp_path: Path) -> None:
    def drop(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE calls RENAME TO away")

    def bring_back(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE away RENAME TO calls")

    await store._database.run(drop)
    store.keep("c1", lambda: b"1")
    assert not await store.kept()
    await store._database.run(bring_back)
    async with asyncio.timeout(10):
        while not await store.kept(LIMIT_S):
            await asyncio.sleep(0.02)
    assert rows(tmp_path) == {"c1": b"1"}


async def test_a_state_that_cannot_be_written_down_costs_no_other_call_its_state(
    store: CallStore, tmp_path: Path
) -> None:
    def broken() -> bytes:
        raise ValueError("a fault of the program")

    store.keep("bad", broken)
    store.keep("good", lambda: b"1")
    assert await store.kept(LIMIT_S)
    assert rows(tmp_path) == {"good": b"1"}


async def test_a_call_with_sessions_on_both_sides_survives_the_disk_unchanged() -> None:
    record = some_record()
    again = read(StoredCall("call-1", VERSION, written(record)))
    assert again == record
    assert isinstance(again, CallRecord)
    assert (again.made_at, again.told) == (record.made_at, record.told)
    assert again.running == {(ORDER.recording_id, 1)}


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (StoredCall("call-1", VERSION + 1, b"{}"), "another version"),
        (StoredCall("call-1", VERSION, b"{}"), "not understood"),
        (StoredCall("call-1", VERSION, b"\xff"), "not understood"),
        (StoredCall("call-1", VERSION, b'{"call": 5}'), "not understood"),
    ],
)
def test_what_this_program_did_not_write_is_refused_with_the_reason(stored: StoredCall, why: str) -> None:
    found = read(stored)
    assert isinstance(found, str)
    assert why in found


def test_times_are_those_of_the_next_process_after_a_reboot_too() -> None:
    before, after = Moment(loop=1000.0, unix=50_000.0), Moment(loop=5.0, unix=50_060.0)
    assert 990.0 + before.until(after) == -65.0  # ten seconds before the first moment, seventy before the second
