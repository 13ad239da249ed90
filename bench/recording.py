"""``python -m bench.recording``: what recording costs the packet engine, as a ratio to relaying alone, in one run.

Rounds of relaying, of recording in clear and of recording encrypted take turns under the same calls, so that other work
on the machine meets all of them; the median of the rounds counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engine_process import MODES, Mode, target
from bench.processes import usage
from bench.rtp_load import run_rtp_load

_READY_S: Final = 30.0


class EngineFailed(Exception):
    """The engine's process ended, or did not answer."""


class Driver:
    """Tells the engine's process what to do, and what its threads have used since."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, calls: int) -> AsyncIterator[Driver]:
        with tempfile.TemporaryDirectory(prefix="mediaserverd-bench-") as folder:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.engine_process", str(calls), folder),
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

    async def change_to(self, mode: Mode) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n".encode())
        await self._answer("done")

    async def cost(self, calls: int, seconds: float) -> float:
        """CPU microseconds for each packet relayed."""
        before = usage(self._process.pid).cpu_seconds
        load = await run_rtp_load([target(call) for call in range(calls)], seconds)
        if load.lost:
            raise EngineFailed(f"{load.lost} packets were lost: this machine is too busy to measure {calls} calls")
        return (usage(self._process.pid).cpu_seconds - before) / load.received * 1e6

    async def _answer(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(_READY_S):
            line = await self._process.stdout.readline()
        if line.decode().strip() != word:
            raise EngineFailed(f"said {line!r} instead of {word}")


async def measured(calls: int, seconds: float, rounds: int) -> dict[Mode, list[float]]:
    costs: dict[Mode, list[float]] = {mode: [] for mode in MODES}
    async with Driver.running(calls) as driver:
        for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
            for mode in MODES:
                await driver.change_to(mode)
                costs[mode].append(await driver.cost(calls, seconds))
    return costs


def measure(
    calls: Annotated[int, typer.Option(help="Calls at once.", min=1, max=2000)] = 200,
    seconds: Annotated[float, typer.Option(help="Seconds of audio for each mode and round.", min=2, max=60)] = 4.0,
    rounds: Annotated[int, typer.Option(min=1, max=100)] = 5,
) -> None:
    """What recording adds to relaying, in CPU time for each packet."""
    costs = asyncio.run(measured(calls, seconds, rounds))
    relay = statistics.median(costs["relay"])
    table = Table("", "us/packet", "relaying +", title=f"{calls} calls, median of {rounds} rounds")
    for mode, each in costs.items():
        cost = statistics.median(each)
        table.add_row(mode, f"{cost:.2f}", "" if mode == "relay" else f"{100 * (cost / relay - 1):.0f} %")
    Console().print(table)


if __name__ == "__main__":
    typer.run(measure)
