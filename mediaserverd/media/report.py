"""The report of one recording file, as docs/wire.md section 2 has it, and the names that such files may have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

State: TypeAlias = Literal["running", "sealing", "finished", "failed"]

SASF_SUFFIX: Final = ".sasf"
WAV_SUFFIX: Final = ".wav"
MEDIA_TYPES: Final = {SASF_SUFFIX: "application/vnd.mediaserverd.sasf", WAV_SUFFIX: "audio/wav"}
_MIXED: Final = frozenset({"audio/GSM", "audio/x-truespeech"})  # in WAV these have one channel

_STEM: Final = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,5})", re.ASCII)
RECORDING_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
MAX_SEGMENT: Final = 999_999


def stem_of(recording_id: str, segment: int) -> str:
    """What all files of one recording segment are called, without their ending."""
    return f"{recording_id}-{segment}"


def parsed_stem(stem: str) -> tuple[str, int] | None:
    """Recording id and segment, or None for anything that is not exactly such a name (paths among it)."""
    match = _STEM.fullmatch(stem)
    return (match[1], int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Report:
    """While the recording runs: ``ended_at``, ``sha256`` and ``quality`` are None, ``size`` and ``duration_ms`` 0.

    ``metadata`` is None in the report of an encrypted recording: it is inside the file, and reports are clear text.
    """

    file: str
    recording_id: str
    segment: int
    call_id: str
    state: State
    reason: str
    media_type: str
    encoding: str
    encrypted: bool
    started_at: str
    metadata: Any
    ended_at: str | None = None
    size: int = 0
    sha256: str | None = None
    duration_ms: int = 0
    quality: Mapping[str, Any] | None = None

    @property
    def channels(self) -> int:
        """1: both parties are mixed, and nobody can take them apart again."""
        return 1 if self.file.endswith(WAV_SUFFIX) and self.encoding in _MIXED else 2

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"channels": self.channels}

    def encode(self) -> bytes:
        return json.dumps(self.as_json()).encode()

    @classmethod
    def decode(cls, data: bytes) -> Report:
        """Raises ValueError for anything but a report; keys of a later version are passed over."""
        value = json.loads(data)
        if not isinstance(value, dict) or not isinstance(value.get("file"), str):
            raise ValueError("not a report")
        try:
            return cls(**{field.name: value[field.name] for field in fields(cls) if field.name in value})
        except TypeError as fault:
            raise ValueError(str(fault)) from None


def media_type_of(file: str) -> str:
    return MEDIA_TYPES[file[file.rindex(".") :]]


def iso_time(unix_ns: int) -> str:
    moment = datetime.fromtimestamp(unix_ns / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
