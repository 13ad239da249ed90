"""What a ``start recording`` asks for, checked: docs/wire.md section 1.

Not responsible for whether it can be had now: disk, keys and names that are taken are the business of ``taps``.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any, Final, get_args

from mediaserverd.media import report
from mediaserverd.media.parameters import RecordingMimeType
from mediaserverd.media.settings import RecordingDefaults, RecordingFormat
from mediaserverd.protocol.ng import Request

MAX_METADATA_BYTES: Final = 32 << 10  # the record META and its chunk hold more, and people read this
MAX_LOOK_BACK_MS: Final = 60_000
MAX_NAME_CHARACTERS: Final = 256  # of who asked

# RIFF has no Opus. GSM 06.10 and TrueSpeech in WAV have one channel: who asks for them gets both parties mixed.
WAV_ENCODINGS: Final = tuple(each for each in get_args(RecordingMimeType) if each != "audio/opus")
_YES_OR_NO: Final = ("yes", "on", "true", "1", "no", "off", "false", "0")


class RecordingRefused(Exception):
    """Why a recording cannot begin, in words for the controller."""

    def __init__(self, why: str) -> None:
        super().__init__(f"recording refused: {why}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """``look_back_ms``: how much of what was heard before is to be in it. ``encoding``: what it is to become.

    ``encoding_asked``: somebody named it for this recording; else it is what this server makes of any.
    """

    recording_id: str
    segment: int
    format: RecordingFormat
    encrypt: bool
    encoding: RecordingMimeType
    encoding_asked: bool
    look_back_ms: int
    metadata: Any

    @property
    def file(self) -> str:
        return f"{report.stem_of(self.recording_id, self.segment)}.{self.format}"


def wanted(request: Request, defaults: RecordingDefaults, encoding: RecordingMimeType) -> Wanted:
    """``encoding``: unless the request names one.

    Raises RecordingRefused for anything that would not be a good file name, not fit, or not be understood.
    """
    recording_id = request.text("recording-id")
    if recording_id is not None and not report.RECORDING_ID.fullmatch(recording_id):
        raise RecordingRefused("recording-id is 32 hexadecimal digits in lower case")
    segment = request.number("segment", 1)
    if not 1 <= segment <= report.MAX_SEGMENT:
        raise RecordingRefused(f"segment is a number from 1 to {report.MAX_SEGMENT}")
    chosen = _format(request, defaults)
    return Wanted(
        recording_id=recording_id or secrets.token_hex(16),
        segment=segment,
        format=chosen,
        encrypt=_encrypt(request, chosen, defaults),
        encoding=_encoding(request, chosen, encoding),
        encoding_asked=request.text("recording-mime-type") is not None,
        look_back_ms=_look_back_ms(request),
        metadata=_metadata(request),
    )


def asked_by(request: Request) -> str | None:
    """Who wants a pause or its end, in a length that goes into the recording."""
    name = request.text("by")
    return None if name is None else name.encode("utf-8", "replace").decode()[:MAX_NAME_CHARACTERS]


def _format(request: Request, defaults: RecordingDefaults) -> RecordingFormat:
    match request.text("recording-format"):
        case None:
            return defaults.format
        case "sasf":
            return "sasf"
        case "wav":
            return "wav"
    raise RecordingRefused(f"recording-format is one of {', '.join(get_args(RecordingFormat))}")


def _encrypt(request: Request, chosen: RecordingFormat, defaults: RecordingDefaults) -> bool:
    """What is not understood is no permission to record in the clear."""
    if (request.text("encrypt") or "yes").lower() not in _YES_OR_NO:
        raise RecordingRefused("encrypt is yes or no")
    said = request.says("encrypt")
    if chosen == "wav":
        if said:
            raise RecordingRefused("a wav file cannot be encrypted; ask for recording-format sasf or encrypt no")
        return False
    return defaults.encrypt if said is None else said


def _encoding(request: Request, chosen: RecordingFormat, default: RecordingMimeType) -> RecordingMimeType:
    name = request.text("recording-mime-type")
    possible: tuple[RecordingMimeType, ...] = WAV_ENCODINGS if chosen == "wav" else get_args(RecordingMimeType)
    if name is None:
        return default if default in possible else "audio/L16"
    for known in possible:
        if known.lower() == name.lower():  # RFC 2045 5.1: media types know no case
            return known
    raise RecordingRefused(f"recording-mime-type of a {chosen} file is one of {', '.join(possible)}")


def _look_back_ms(request: Request) -> int:
    return max(0, min(MAX_LOOK_BACK_MS, request.number("pre-record-ms", 0)))


def _metadata(request: Request) -> Any:
    metadata = request.fields.get("metadata", {})
    try:
        size = len(json.dumps(metadata, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise RecordingRefused("metadata is not UTF-8") from None
    if size > MAX_METADATA_BYTES:
        raise RecordingRefused(f"metadata is longer than {MAX_METADATA_BYTES} bytes")
    return metadata
