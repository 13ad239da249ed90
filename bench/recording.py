"""``python -m bench.recording``: what recording costs the packet engine, as a ratio to relaying alone, in one run.

Two engines, each in a process of its own, carry as many calls at the same time: one relays, the other also records;
then they change places. So whatever else the machine does, and however fast it is at the moment, meets both alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engine_process import RECORDING, Mode, target
from bench.processes import usage
from bench.rtp_load import run_rtp_load

_READY_S: Final = 30.0


class EngineFailed(Exception):
    """An engine's process ended, or did not answer."""


class Driver:
    """Tells an engine's process what to do, and what its threads have used so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, first: int, calls: int) -> AsyncIterator[Driver]:
        """For so many calls from the ``first`` on."""
        with tempfile.TemporaryDirectory(prefix="mediaserverd-bench-") as folder:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.engine_process", str(first), str(calls), folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                driver = cls(process)
                await driver._answer("ready")
                yield driver
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    @property
    def cpu_seconds(self) -> float:
        return usage(self._process.pid).cpu_seconds

    async def change_to(self, mode: Mode) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n".encode())
        await self._answer("done")

    async def _answer(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(_READY_S):
            line = await self._process.stdout.readline()
        if line.decode().strip() != word:
            raise EngineFailed(f"said {line!r} instead of {word}")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds for each packet, of two engines side by side, in one round: the means of both placements."""

    relayed: float
    recorded: float

    @property
    def added(self) -> float:
        """By recording, as a share of relaying."""
        return self.recorded / self.relayed - 1


async def measured(calls: int, seconds: float, rounds: int) -> dict[Mode, list[Cost]]:
    costs: dict[Mode, list[Cost]] = {mode: [] for mode in RECORDING}
    async with Driver.running(0, calls) as first, Driver.running(calls, calls) as second:
        for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
            for mode in RECORDING:
                placements = [
                    await _side_by_side(relay, record, mode, calls, seconds)
                    for relay, record in ((first, second), (second, first))
                ]
                costs[mode].append(Cost(*(_geometric_mean(each) for each in zip(*placements, strict=True))))
    return costs


async def _side_by_side(relay: Driver, record: Driver, mode: Mode, calls: int, seconds: float) -> tuple[float, float]:
    """What a packet costs each of the two, in CPU microseconds."""
    await relay.change_to("relay")
    await record.change_to(mode)
    before = relay.cpu_seconds, record.cpu_seconds
    load = await run_rtp_load([target(call) for call in range(2 * calls)], seconds)
    if load.lost:
        raise EngineFailed(f"{load.lost} packets were lost: this machine is too busy to measure twice {calls} calls")
    packets = load.received / 2
    return (relay.cpu_seconds - before[0]) / packets * 1e6, (record.cpu_seconds - before[1]) / packets * 1e6


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def measure(
    calls: Annotated[int, typer.Option(help="Calls at once in each engine.", min=1, max=2000)] = 200,
    seconds: Annotated[float, typer.Option(help="Of audio each time; from 6 on signed in clear.", min=2, max=60)] = 6.0,
    rounds: Annotated[int, typer.Option(min=1, max=100)] = 5,
) -> None:
    """What recording adds to relaying, in CPU time for each packet."""
    costs = asyncio.run(measured(calls, seconds, rounds))
    table = Table(
        *("", "relaying, us/packet", "recording, us/packet", "added", "lowest to highest"),
        title=f"twice {calls} calls side by side, medians of {rounds} rounds",
    )
    for mode, each in costs.items():
        added = [100 * cost.added for cost in each]
        table.add_row(
            mode,
            f"{statistics.median(cost.relayed for cost in each):.2f}",
            f"{statistics.median(cost.recorded for cost in each):.2f}",
            f"{statistics.median(added):.1f} %",
            f"{min(added):.1f} to {max(added):.1f} %",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(measure)
