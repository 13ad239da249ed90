"""A recorder in a process of its own, that can be told to die by SIGKILL at a named point of its work.

It is forked from a process that has loaded the code already, as loading takes longer than all that a test asks of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.retrieval import RetrievalClient
from mediaserverd.recorder.server import Recorder
from mediaserverd.recorder.settings import RecorderSettings
from mediaserverd.recorder.store import Store
from tests.recorder.site import PATIENCE_S

_CLONE_NEWNS = 0x00020000  # linux/sched.h


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before(owner: type, name: str) -> None:
    async def dead(*_: object, **__: object) -> None:
        die()

    setattr(owner, name, dead)


def die_after(owner: type, name: str) -> None:
    original = getattr(owner, name)

    async def last(*given: Any, **named: Any) -> None:
        await original(*given, **named)
        die()

    setattr(owner, name, last)


def die_after_row(name: str) -> None:
    """After the transaction in which the catalogue function of that name has run."""
    original = Database.write

    async def write(self: Database, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        result = await original(self, function, *given, **named)
        if function.__name__ == name:
            die()
        return result

    setattr(Database, "write", write)  # noqa: B010 - a method is not assignable for mypy


POINTS: dict[str, Callable[[], None]] = {
    "before the report is asked for": lambda: die_before(RetrievalClient, "report"),
    "after the row says fetching": lambda: die_after_row("begin_fetch"),
    "after the download": lambda: die_after(RetrievalClient, "download"),
    "after the row says what was admitted": lambda: die_after_row("keep_admitted"),
    "before the store is written": lambda: die_before(Store, "put"),
    "after the store is written": lambda: die_after(Store, "put"),
    "after the row says stored": lambda: die_after_row("mark_stored"),
    "before the source is deleted": lambda: die_before(RetrievalClient, "delete"),
    "after the source is deleted": lambda: die_after(RetrievalClient, "delete"),
    "after the row says deleted at source": lambda: die_after_row("mark_deleted_at_source"),
}


class Child:
    """``commands``: shell commands that it runs first, in a mount namespace of its own."""

    def __init__(self, settings: RecorderSettings, point: str = "", commands: Sequence[str] = ()) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._port, port = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run, args=(settings.model_dump_json(), point, commands, port), daemon=True
        )
        self._process.start()
        port.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    async def url(self) -> str:
        """Of its API, as soon as it listens."""
        if not await asyncio.to_thread(self._port.poll, PATIENCE_S):
            raise AssertionError(f"the recorder does not listen after {PATIENCE_S} s")
        return f"https://127.0.0.1:{self._port.recv()}"

    async def end(self) -> int | None:
        """How it ended by itself: as in ``subprocess``, a negative number is a signal's."""
        await asyncio.to_thread(self._process.join, PATIENCE_S)
        return self._process.exitcode

    async def kill(self) -> None:
        self._process.kill()
        await self.end()


def _run(settings: str, point: str, commands: Sequence[str], port: Connection) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    if commands:
        _enter_mount_namespace()
    for command in commands:
        subprocess.run(command, shell=True, check=True)
    if point:
        POINTS[point]()
    asyncio.run(_serve(Recorder(RecorderSettings.model_validate_json(settings)), port))


def _enter_mount_namespace() -> None:
    """As ``unshare --mount``: what is mounted here is seen by nobody else."""
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
        raise OSError("no mount namespace: tests/in-netns gives the right to make one")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


async def _serve(recorder: Recorder, port: Connection) -> None:
    await recorder.start()
    port.send(recorder.api_port)
    await asyncio.Event().wait()
