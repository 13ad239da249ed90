"""The order that this media server takes no new calls: who gave it and when. It holds until somebody takes it back,
over every restart, and lies in a file for that. Not responsible for what follows from it (``sessions``).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from mediaserverd.process.role import StartFault

MAX_FILE_BYTES: Final = 4096

log = structlog.get_logger()


class Order(BaseModel):
    """``by``: a controller, or where else it was said."""

    model_config = ConfigDict(frozen=True)

    by: str
    at: datetime

    def __str__(self) -> str:
        return f"by {self.by} at {self.at:%Y-%m-%d %H:%M:%S} UTC"


class Drain:
    """Raises StartFault when the file there is not ours."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.order: Order | None = None
        try:
            with file.open("rb") as stream:
                self.order = Order.model_validate_json(stream.read(MAX_FILE_BYTES))
        except FileNotFoundError:
            return
        except (OSError, ValidationError) as fault:
            raise StartFault(
                f"cannot read in {file} who drained this media server: {fault}; delete it, and it takes calls again"
            ) from fault
        log.warning("still_drained", ordered=str(self.order), advice="`mediaserverd media-server activate` ends that")

    def begin(self, by: str) -> None:
        """On disk when it returns; the first order stays. Raises OSError; then nothing has changed."""
        if self.order is not None:
            return
        order = Order(by=by, at=datetime.now(UTC))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self._file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as stream:
            stream.write(order.model_dump_json())
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(self._file)
        self.order = order
        log.info("drain_ordered", by=by)

    def end(self) -> None:
        """It takes calls again. Raises OSError; then nothing has changed."""
        if self.order is not None:
            self._file.unlink(missing_ok=True)
            self.order = None
            log.info("drain_ended")
