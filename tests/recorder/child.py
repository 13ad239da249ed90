"""A recorder in a process of its own, that can be told to die by SIGKILL at a named point of its work.

``python -m tests.recorder.child SETTINGS.json [POINT]``; prints a line with the API's port when it listens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.retrieval import RetrievalClient
from mediaserverd.recorder.server import Recorder
from mediaserverd.recorder.settings import RecorderSettings
from mediaserverd.recorder.store import Store


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


async def main(settings: RecorderSettings, point: str) -> None:
    if point:
        POINTS[point]()
    recorder = Recorder(settings)
    await recorder.start()
    print(f"port {recorder.api_port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    given = RecorderSettings.model_validate_json(Path(sys.argv[1]).read_text())
    asyncio.run(main(given, sys.argv[2] if len(sys.argv) > 2 else ""))
