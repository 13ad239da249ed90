"""What makes one recording of several segments: which there are, how much silence goes between them, and why. Pure.

Values and their JSON form (docs/sasf.md section 8). Not responsible for how long a gap is, nor for who signs it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from mediaserverd.protocol.sasf.faults import SasfError, json_object
from mediaserverd.protocol.sasf.header import SIGNER_BYTES

NAME: Final = "recording.json"
VERSION: Final = 1
OUTAGE: Final = "packets-lost"  # within a segment
_MAX_NUMBER: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Segment:
    """``file_id``: in hex; empty if the file could not be read when it was archived. ``silence_before_ms``, then the
    segment up to ``until_ms`` (None: its end) is what is heard."""

    number: int
    file: str
    file_id: str
    silence_before_ms: int = 0
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """``after``: the segment before it, or in which packets were lost; 0: the beginning. ``start_ms``: in the joined
    audio. ``accuracy_ms``: how far off ``duration_ms`` may be, for want of one clock; None: nobody knows."""

    after: int
    start_ms: int
    duration_ms: int
    reason: str
    accuracy_ms: int | None = None

    def __str__(self) -> str:
        exact = f" +-{self.accuracy_ms}" if self.accuracy_ms else ""
        where = "within" if self.reason == OUTAGE else "after"
        place = f"{where} segment {self.after}" if self.after else "at the beginning"
        return f"{self.duration_ms}{exact} ms are missing {place} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Missing:
    """A segment that was announced and is not there."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``started_at``: ISO 8601. ``duration_ms``: of all that is heard."""

    recording_id: str
    call_id: str
    started_at: str
    duration_ms: int
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...] = ()
    missing: tuple[Missing, ...] = ()
    writer: str = ""

    def encode(self, signer: bytes) -> bytes:
        document = {"sasf_recording": VERSION, **asdict(self), "signer": base64.b64encode(signer).decode()}
        return json.dumps(document, indent=1).encode() + b"\n"


def parse(data: bytes | memoryview) -> tuple[Manifest, bytes]:
    """And the public key of whoever is said to have signed it. Raises SasfError."""
    document = json_object(data, NAME, 0)
    try:
        signer = base64.b64decode(document["signer"], validate=True)
        if len(signer) != SIGNER_BYTES:
            raise ValueError("signer")
        return _manifest(document), signer
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise SasfError(f"{NAME} lacks what it must say, or says it wrongly: {fault}") from fault


def _manifest(document: Mapping[str, Any]) -> Manifest:
    segments = tuple(
        Segment(
            number=_number(each["number"]),
            file=_text(each["file"]),
            file_id=_text(each["file_id"]),
            silence_before_ms=_signed_number(each["silence_before_ms"]),
            until_ms=_number_or_none(each["until_ms"]),
        )
        for each in document["segments"]
    )
    gaps = tuple(
        Gap(
            after=_number(each["after"]),
            start_ms=_number(each["start_ms"]),
            duration_ms=_number(each["duration_ms"]),
            reason=_text(each["reason"]),
            accuracy_ms=_number_or_none(each["accuracy_ms"]),
        )
        for each in document["gaps"]
    )
    if document["sasf_recording"] != VERSION or not segments:
        raise ValueError("version, or no segments")
    return Manifest(
        recording_id=_text(document["recording_id"]),
        call_id=_text(document["call_id"]),
        started_at=_text(document["started_at"]),
        duration_ms=_number(document["duration_ms"]),
        segments=segments,
        gaps=gaps,
        missing=tuple(Missing(_number(each["number"]), _text(each["reason"])) for each in document["missing"]),
        writer=_text(document["writer"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not a text: {str(value)[:32]}")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MAX_NUMBER:
        raise ValueError(f"not a number: {str(value)[:32]}")
    return value


def _signed_number(value: Any) -> int:
    return -_number(-value) if type(value) is int and value < 0 else _number(value)


def _number_or_none(value: Any) -> int | None:
    return None if value is None else _number(value)
