"""Where recordings are encoded: a bounded number of processes beside the one that asks, nice to everything else.

A piece of work is a function of a module and its arguments; it gets a ``Job`` first, tells its progress to it, and may
write to it what is to be streamed. A worker that dies, is cancelled or takes too long is replaced, and nobody else's
work suffers. Not responsible for what the work is, nor for what is worth doing first: keep a workshop for people who
wait and another for what has time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

from mediaserverd.audio.sound import Progress, unheard
from mediaserverd.audio.workbench import COMMAND, Answer, Job, WorkFailed

__all__ = ["Job", "WorkFailed", "WorkerDied", "Workshop", "WorkshopFull"]

WAITING_LIMIT: Final = 256  # a caller who is told "later" can come back; a queue without end only hides the trouble
NICENESS: Final = 10
AHEAD_BYTES: Final = 32 << 20  # two hours of Opus: then the worker is free long before the listener has heard it
DEADLINE_S: Final = 1800.0  # a day of audio takes minutes; more is a fault
_END_S: Final = 5.0

T = TypeVar("T")


class WorkshopFull(Exception):
    """Too much is waiting already: try later."""


class WorkerDied(Exception):
    """The process that did the work is gone: out of memory, or a fault of a codec."""


class Workshop:
    """Workers start when they are first needed. Use as ``async with Workshop() as workshop``, or call ``close``."""

    def __init__(
        self,
        workers: int | None = None,
        *,
        waiting_limit: int = WAITING_LIMIT,
        niceness: int = NICENESS,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._limit = self.workers + waiting_limit
        self._niceness = niceness
        self._deadline_s = deadline_s
        self._free = asyncio.Semaphore(self.workers)
        self._idle: list[_Worker] = []
        self._inside = 0
        # One thread a worker, which waits for its answers: more would wait for nobody.
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="workshop")

    async def __aenter__(self) -> Workshop:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def waiting(self) -> int:
        return max(0, self._inside - self.workers)

    async def run(self, work: Callable[..., T], *arguments: Any, progress: Progress = unheard) -> T:
        """What ``work(job, *arguments)`` returns; its exception if it fails. ``progress`` is called in this thread."""
        async with self._answers(work, arguments) as answers:
            async for kind, value in answers:
                if kind == "progress":
                    progress(value)
                elif kind == "done":
                    result: T = value
                    return result
        raise AssertionError("answers end with done, or with an exception")

    async def stream(self, work: Callable[..., object], *arguments: Any) -> AsyncGenerator[bytes, None]:
        """What the work writes. Who stops listening (``aclose``) ends the work.

        The worker does not wait for a slow listener, somebody who plays what it makes, until it is far ahead.
        """
        ahead = _Ahead()
        task = asyncio.create_task(self._read_ahead(ahead, work, arguments))
        try:
            while (part := await ahead.take()) is not None:
                yield part
            await task  # its fault, if it had one
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _read_ahead(self, ahead: _Ahead, work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            async with self._answers(work, arguments) as answers:
                async for kind, value in answers:
                    if kind == "bytes":
                        await ahead.put(value)
        finally:
            ahead.end()

    async def close(self) -> None:
        """Ends the idle workers; those at work end with their work's cancellation."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(asyncio.to_thread(worker.end) for worker in idle))
        self._threads.shutdown(wait=False)

    @contextlib.asynccontextmanager
    async def _answers(
        self, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> AsyncIterator[AsyncIterator[Answer]]:
        if self._inside >= self._limit:
            raise WorkshopFull(f"{self.waiting} pieces of work are waiting already; try again later")
        self._inside += 1
        try:
            async with self._free:
                worker = self._idle.pop() if self._idle else await self._threaded(_Worker, self._niceness)
                try:
                    async with asyncio.timeout(self._deadline_s):
                        yield self._answers_of(worker, work, arguments)
                finally:
                    if worker.at_rest:
                        self._idle.append(worker)
                    else:
                        worker.kill()  # which wakes the thread that waits for it
                        await asyncio.shield(asyncio.to_thread(worker.end))
        finally:
            self._inside -= 1

    async def _answers_of(
        self, worker: _Worker, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> AsyncIterator[Answer]:
        await self._threaded(worker.begin, work, arguments)
        while True:
            kind, value = await self._threaded(worker.answer)
            if kind == "failed":
                raise value
            yield kind, value
            if kind == "done":
                return

    async def _threaded(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class _Ahead:
    """Parts of a stream on their way from a worker to a listener, up to ``AHEAD_BYTES`` and one part more."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()

    async def put(self, part: bytes) -> None:
        while self._bytes > AHEAD_BYTES:
            await self._change()
        self._parts.append(part)
        self._bytes += len(part)
        self._changed.set()

    async def take(self) -> bytes | None:
        """None at the end."""
        while not self._parts and not self._ended:
            await self._change()
        if not self._parts:
            return None
        part = self._parts.popleft()
        self._bytes -= len(part)
        self._changed.set()
        return part

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Worker:
    """One process and the socket to it. ``at_rest``: it has answered all that it was asked."""

    def __init__(self, niceness: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = (*COMMAND, str(theirs.fileno()), str(niceness))
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        self._connection: Connection[Any, Any] = Connection(ours.detach())
        self.at_rest = True

    def begin(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.at_rest = False
        try:
            self._connection.send((work, arguments))
        except (BrokenPipeError, ConnectionError) as fault:
            raise self._death() from fault

    def answer(self) -> Answer:
        try:
            answer: Answer = self._connection.recv()
        except (EOFError, ConnectionError) as fault:
            raise self._death() from fault
        self.at_rest = answer[0] in ("done", "failed")
        return answer

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._connection.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _death(self) -> WorkerDied:
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return WorkerDied("the worker closed its socket")
        return WorkerDied(f"the worker ended with status {status}")
