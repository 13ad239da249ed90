"""A child process of a test: its output goes to a file, and it and all its descendants are gone when its block ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_LOOK_EVERY_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class ChildFailed(Exception):
    """A child did not do what was expected; the message has the end of its output."""


class Child:
    """Use as ``async with await Child.start(...) as child``. It is a session of its own: a stop ends grandchildren."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        pipes: bool = False,
    ) -> Self:
        """``directory`` exists. ``pipes``: standard input and output are the caller's, only errors go to the log."""
        log = directory / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=asyncio.subprocess.PIPE if pipes else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if pipes else output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return cls(name, process, log)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def wait_for(self, pattern: str, timeout_s: float = 10.0) -> re.Match[str]:
        """The first place of its output that matches."""
        wanted = re.compile(pattern, re.MULTILINE)
        async with self.patience(timeout_s, f"to print {pattern!r}"):
            while True:
                if found := wanted.search(self.output()):
                    return found
                if not self.running:
                    raise self.failure(f"ended with {self.process.returncode} before it printed {pattern!r}")
                await asyncio.sleep(_LOOK_EVERY_S)
        raise AssertionError("unreachable")

    async def ended(self, timeout_s: float) -> int:
        async with self.patience(timeout_s, "to end"):
            return await self.process.wait()
        raise AssertionError("unreachable")

    async def stop(self, timeout_s: float = 5.0) -> int:
        """Ask it to end, insist after ``timeout_s``; returns its exit status."""
        if self.running:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), timeout_s)
        self.signal(signal.SIGKILL)
        return await self.process.wait()

    def failure(self, what: str) -> ChildFailed:
        tail = "\n".join(self.output().splitlines()[-40:])
        return ChildFailed(f"{self.name} {what}; the end of its output:\n{tail}")

    @contextlib.asynccontextmanager
    async def patience(self, timeout_s: float, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError:
            raise self.failure(f"did not come {what} within {timeout_s} s") from None

    def signal(self, number: signal.Signals) -> None:
        """To it and all its descendants."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def _die_with_parent() -> None:
    """A test run that is killed takes its children with it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
