"""A worker process of a ``Workshop``: takes one piece of work after the other from a socket, and answers on it.

Started by ``COMMAND FD NICENESS``. It ends when its workshop does, also in the middle of a piece of work: whoever comes
after a workshop that was killed must not find it still writing. Not responsible for what the work is.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, BinaryIO, Final, Literal, TypeAlias

COMMAND: Final = (sys.executable, "-c", f"import {__name__} as workbench; workbench.main()")
PART_BYTES: Final = 1 << 16  # of a stream, in one answer
_PROGRESS_S: Final = 0.2  # between two words on progress

Answer: TypeAlias = tuple[Literal["progress", "bytes", "done", "failed"], Any]
Work: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]


class WorkFailed(Exception):
    """A fault of the work that cannot be told as it was: its kind and its words."""


class _Stream(io.RawIOBase):
    """What is written goes to whoever asked; it waits while they are slow."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self.is_heard = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        for at in range(0, len(view) if self.is_heard else 0, PART_BYTES):
            self._connection.send(("bytes", bytes(view[at : at + PART_BYTES])))
        return len(view)


class Job:
    """One piece of work in the eyes of the work. ``target``: a pipe to whoever asked for it."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._told_at = 0.0
        self._stream = _Stream(connection)
        self.target: BinaryIO = io.BufferedWriter(self._stream, PART_BYTES)

    def progress(self, done: float) -> None:
        now = time.monotonic()
        if done >= 1.0 or now - self._told_at >= _PROGRESS_S:
            self._told_at = now
            self._connection.send(("progress", done))

    def end(self) -> None:
        """What is written from now on, or is in the buffer still, would be taken for the next work's."""
        self._stream.is_heard = False


def serve(connection: Connection[Any, Any]) -> None:
    """Until the workshop is gone."""
    while True:
        try:
            work, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return
        job = Job(connection)
        try:
            answer: Answer = ("done", work(job, *arguments))
            job.target.flush()
        except (BrokenPipeError, ConnectionError):
            return  # nobody listens
        except Exception as fault:
            answer = ("failed", _tellable(fault))
        job.end()
        connection.send(answer)


def _tellable(fault: Exception) -> Exception:
    """Not every exception survives the way through a pipe."""
    try:
        pickle.loads(pickle.dumps(fault))  # noqa: S301 - of our own making
    except Exception:
        return WorkFailed(f"{type(fault).__name__}: {fault}")
    return fault


def _end_with(descriptor: int) -> None:
    workshop = select.poll()
    workshop.register(descriptor, select.POLLRDHUP)
    workshop.poll()
    os._exit(0)


def main() -> None:
    descriptor, niceness = map(int, sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # for the daemon, which then ends its workers
        signal.signal(number, signal.SIG_IGN)
    # What is decrypted here must not reach a disk, not in a crash either.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)
    threading.Thread(target=_end_with, args=(descriptor,), daemon=True, name="workshop watch").start()
    serve(Connection(descriptor))
