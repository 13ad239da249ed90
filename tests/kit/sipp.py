"""SIPp as a child process: one of ``sipp_scenarios/`` on one address, and what became of its calls."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.kit.child import Child
from tests.kit.g711 import PCMU
from tests.kit.speech import speech

SCENARIOS: Final = Path(__file__).parents[2] / "sipp_scenarios"
_SPEECH_S: Final = 60


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run of a scenario came to. ``trouble`` is SIPp's own account of what it did not expect."""

    scenario: str
    status: int
    created: int
    successful: int
    failed: int
    trouble: str

    def faults(self, calls: int) -> list[str]:
        found = []
        if self.status or self.failed or self.successful != calls:
            found.append(
                f"{self.scenario} ended with {self.status}: {self.successful} of {calls} calls as promised, "
                f"{self.failed} failed: {self.trouble}"
            )
        return found


class Sipp:
    """One run. Use as ``async with await Sipp.start(...) as sipp: tally = await sipp.tally()``."""

    def __init__(self, scenario: str, directory: Path, child: Child) -> None:
        self.scenario = scenario
        self.directory = directory
        self._child = child

    @classmethod
    async def start(
        cls,
        directory: Path,
        scenario: str,
        server: tuple[str, int],
        local: tuple[str, int],
        *,
        calls: int = 1,
        service: str = "",
        users: Sequence[tuple[str, str]] = (),
        rate: float = 10,
        at_once: int = 0,
        hold_ms: int = 2000,
        timeout_s: int = 60,
        echo: bool = False,
        rtp_port: int = 6000,
    ) -> Self:
        """``users``: name and password of the stations that call, in turn. ``hold_ms``: of scenarios that say so."""
        _prepare(directory, users)
        words = [
            *("sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-i", local[0], "-p", local[1]),
            *("-mi", local[0], "-mp", rtp_port),
            *("-m", calls, "-r", rate, "-l", at_once or calls, "-d", hold_ms),
            *("-s", service or "unused", "-nostdin", "-timeout", timeout_s, "-timeout_error"),
            *("-trace_stat", "-stf", directory / "statistics.csv", "-fd", 1),
            *("-trace_err", "-error_file", directory / "errors.txt"),
            *(("-inf", directory / "users.csv") if users else ()),
            *(("-rtp_echo",) if echo else ()),
            # A BYE that comes in the very moment in which SIPp sends its own is answered when it is repeated.
            *(("-default_behaviors", "all,-abortunexp") if scenario.endswith("bye_race") else ()),
            f"{server[0]}:{server[1]}",
        ]
        child = await Child.start(scenario, [str(word) for word in words], directory)
        return cls(scenario, directory, child)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop()

    async def listening(self) -> None:
        """Wait until a far end can be called: SIPp says nothing, but its statistics begin then."""
        async with self._child.patience(10, "to begin"):
            while not (self.directory / "statistics.csv").exists():
                if not self._child.running:
                    raise self._child.failure(f"ended with {self._child.process.returncode}")
                await asyncio.sleep(0.05)

    async def tally(self, timeout_s: float = 90) -> Tally:
        status = await self._child.ended(timeout_s)
        return _read_tally(self.directory, self.scenario, status)


def _prepare(directory: Path, users: Sequence[tuple[str, str]]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    lines = [f"{name};[authentication username={name} password={password}]" for name, password in users]
    (directory / "users.csv").write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    (directory / "speech.ulaw").write_bytes(PCMU.encode(speech(3, _SPEECH_S)))


def _read_tally(directory: Path, scenario: str, status: int) -> Tally:
    statistics, errors = directory / "statistics.csv", directory / "errors.txt"
    last: dict[str, str] = {}
    if statistics.exists():
        with statistics.open() as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]

    def count(name: str) -> int:
        return int(last.get(name) or 0)

    trouble = errors.read_text(errors="replace")[:4000] if errors.exists() else ""
    created = count("TotalCallCreated")
    return Tally(scenario, status, created, count("SuccessfulCall(C)"), count("FailedCall(C)"), trouble)
