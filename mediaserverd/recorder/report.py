"""What a media server says of one of its files (docs/wire.md section 2), checked before anything of it is believed."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

RECORDING_ID = r"^[0-9a-f]{32}$"
SEGMENTS_LIMIT = 9999  # failovers of one recording; far above what a call survives


class FileState(StrEnum):
    RUNNING = "running"
    SEALING = "sealing"
    FINISHED = "finished"
    FAILED = "failed"


def _text(value: Any) -> Any:
    # PostgreSQL takes no NUL in text; a name that has one is still a name.
    return value.replace("\0", "") if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else _text(value))]


class Report(BaseModel):
    """Keys that are not known are ignored: a newer media server may say more."""

    model_config = ConfigDict(frozen=True)

    file: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,199}$")  # becomes part of a path on this host
    recording_id: str = Field(pattern=RECORDING_ID)
    segment: int = Field(1, ge=1, le=SEGMENTS_LIMIT)
    call_id: Text = ""
    state: FileState
    reason: Text = ""
    media_type: Text = Field("audio/wav", max_length=64)
    encoding: Text = Field("", max_length=32)
    size: int | None = Field(None, ge=0)
    sha256: Annotated[str, BeforeValidator(lambda value: value or ""), Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    duration_ms: int | None = Field(None, ge=0)
    metadata: Any = None
    quality: dict[str, Any] | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.recording_id, self.segment


def began(report: Report, otherwise: datetime) -> datetime:
    return report.started_at or report.ended_at or otherwise
