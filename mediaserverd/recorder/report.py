"""What a media server says of one of its files (docs/wire.md section 2), checked before anything of it is believed."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

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


Ms = Annotated[int, Field(ge=0, lt=1 << 53)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else _text(value))]


class _Times(BaseModel):
    """What times are reckoned with, in a quality report."""

    heard: tuple[Ms, Ms] | None = None
    look_back_ms: Ms | None = None
    silences: list[tuple[Ms, Ms]] = []
    outages: list[tuple[Ms, Ms]] = []
    masked: list[tuple[Ms, Ms, str]] = []


def _believable(quality: Any) -> Any:
    """Times that are none are left out; the rest is for people to read."""
    if not isinstance(quality, dict):
        return quality
    try:
        _Times.model_validate(quality)
    except ValidationError:
        return {name: value for name, value in quality.items() if name not in _Times.model_fields}
    return quality


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
    quality: Annotated[dict[str, Any] | None, BeforeValidator(_believable)] = None

    @property
    def key(self) -> tuple[str, int]:
        return self.recording_id, self.segment


def began(report: Report, otherwise: datetime) -> datetime:
    return report.started_at or report.ended_at or otherwise
