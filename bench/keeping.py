"""What it costs that calls outlive the controller: the state of each on disk before its answer, at its ACK, and gone at
its end. Beside it, what this disk takes for one write of as many bytes that is made safe.

The record is a recorded call between two phones. No SIP is spoken: only the writing is measured.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.results import percentile
from mediaserverd.controller.call_record import VERSION, read, written
from mediaserverd.controller.call_store import CallStore, StoredCall
from tests.controller.call_records import some_record

_FLOOR_WRITES = 50
_JSON_ROUNDS = 500


@dataclass(frozen=True, slots=True)
class Row:
    """Times in ms; ``late`` answers did not wait for the disk to the end."""

    rate_per_s: float
    calls: int
    wait_ms: tuple[float, ...]
    late: int
    cpu_ms_per_call: float


@dataclass(frozen=True, slots=True)
class Codec:
    size_bytes: int
    write_us: float
    read_us: float


def floor_ms(directory: Path) -> tuple[float, ...]:
    """One write of a record, made safe, again and again; sorted."""
    data, took = written(some_record()), []
    with (directory / "floor").open("wb") as file:
        for _ in range(_FLOOR_WRITES):
            began = time.perf_counter()
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return tuple(sorted(took))


def codec() -> Codec:
    record = some_record()
    data = written(record)
    began = time.process_time()
    for _ in range(_JSON_ROUNDS):
        written(record)
    middle = time.process_time()
    for _ in range(_JSON_ROUNDS):
        read(StoredCall(record.id, VERSION, data))
    end = time.process_time()
    return Codec(len(data), (middle - began) / _JSON_ROUNDS * 1e6, (end - middle) / _JSON_ROUNDS * 1e6)


async def measure(directory: Path, rate_per_s: float, seconds: float) -> Row:
    """Calls at a rate, each of which lasts a second."""
    store = CallStore(directory, VERSION)
    await store.open()
    waits: list[float] = []
    late = 0
    record = some_record()

    async def one(number: int) -> None:
        nonlocal late
        call_id = f"call-{number}"
        began = time.perf_counter()
        store.keep(call_id, lambda: written(record))
        late += not await store.kept()
        waits.append((time.perf_counter() - began) * 1000)
        store.keep(call_id, lambda: written(replace(record, reasons=("acknowledged",))))
        await asyncio.sleep(1.0)
        store.forget(call_id)

    count = round(rate_per_s * seconds)
    start, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as calls:
        for number in range(count):
            await asyncio.sleep(start + number / rate_per_s - time.perf_counter())
            calls.create_task(one(number))
    used = time.process_time() - cpu
    await store.close()
    return Row(rate_per_s, count, tuple(sorted(waits)), late, used * 1000 / count)


def main(
    directory: Annotated[Path | None, typer.Option(help="On the disk that is to be measured.")] = None,
    rates: Annotated[str, typer.Option(help="Calls per second to try.")] = "20,50,200",
    seconds: Annotated[float, typer.Option(help="Seconds of each rate.", min=0.5, max=60)] = 5.0,
) -> None:
    cost = codec()
    Console().print(
        f"A call is {cost.size_bytes:,} bytes: {cost.write_us:.0f} µs to write as JSON, {cost.read_us:.0f} µs to read."
    )
    with tempfile.TemporaryDirectory(dir=directory) as made:
        table = Table(title="Calls whose state is kept: an answer's wait for the disk")
        for title in ("calls/s", "calls", "p50 ms", "p99 ms", "not waited", "one safe write, p50 ms", "CPU ms/call"):
            table.add_column(title, justify="right")
        for rate in sorted({float(one) for one in rates.split(",")}):
            row, floor = uvloop.run(measure(Path(made) / f"{rate:g}", rate, seconds)), floor_ms(Path(made))
            waits = [f"{percentile(row.wait_ms, share):.1f}" for share in (0.5, 0.99)]
            safe = f"{percentile(floor, 0.5):.1f}"
            table.add_row(f"{rate:g}", str(row.calls), *waits, str(row.late), safe, f"{row.cpu_ms_per_call:.2f}")
        Console().print(table)


if __name__ == "__main__":
    typer.run(main)
