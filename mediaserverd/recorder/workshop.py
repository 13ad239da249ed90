"""Processes beside the recorder, for work that is long and on bytes of strangers: verifying, compressing, rendering.

Bounded in number and in time, niced; one that dies or does not end costs the piece of work it had, and is replaced.
What they are told and what they answer goes through a pipe, so keys and audio in clear stay in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

NICENESS = 10  # calls, and the recorder's own answers, go first
_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang

P = ParamSpec("P")
T = TypeVar("T")


class WorkFault(Exception):
    """The process died or took too long: nothing is known of the outcome."""


class Workshop:
    """``limit_s``: a piece of work that takes longer is given up."""

    def __init__(self, workers: int, limit_s: float) -> None:
        self._workers = [_Worker(limit_s) for _ in range(workers)]

    async def run(self, near: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function of a module. Work of the same ``near`` is done by the same process, in order."""
        worker = self._workers[zlib.crc32(near.encode()) % len(self._workers)]
        return await worker.run(function, args, kwargs)

    async def close(self) -> None:
        """Ends what is under way."""
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*(asyncio.to_thread(worker.close) for worker in self._workers))


class _Worker:
    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._thread = ThreadPoolExecutor(1, "workshop")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._closed = False

    async def run(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, function, args, kwargs)

    def _call(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        try:
            pipe = self._pipe or self._start()
            pipe.send((function, args, kwargs))
            if not pipe.poll(self._limit_s):
                raise WorkFault(f"{function.__name__} was given up after {self._limit_s:.0f} s")
            result, fault = pipe.recv()
        except (EOFError, OSError) as died:
            self._discard()
            raise WorkFault(f"the process died in {function.__name__}") from died
        except WorkFault:
            self._discard()
            raise
        if fault is not None:
            raise fault
        return result  # type: ignore[no-any-return]

    def _start(self) -> Connection[Any, Any]:
        if self._closed:
            raise WorkFault("the recorder is stopping")
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs,), daemon=True, name="recorder workshop")
        self._process.start()
        theirs.close()
        return self._pipe

    def _discard(self) -> None:
        self.kill()
        if self._process is not None:
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._discard()


def _work(pipe: Connection[Any, Any]) -> None:
    """Until the recorder closes its end of the pipe, by stopping or by dying."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the recorder, which then ends us
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, args, kwargs = pipe.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = function(*args, **kwargs), None
            except Exception as fault:
                answer = None, fault
            pipe.send(answer)
