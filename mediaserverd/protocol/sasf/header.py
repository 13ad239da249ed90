"""The header of a file: who wrote which recording, when, in which suite. docs/sasf.md section 1.

Responsible for the JSON object alone; prologue, signature and keybox are in ``opening``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from mediaserverd.protocol.sasf.faults import SasfError, json_object

Suite: TypeAlias = Literal["aes-256-gcm", "clear"]
Content: TypeAlias = Literal["received", "rendered"]

FILE_ID_BYTES: Final = 16
KEY_BYTES: Final = 32
SIGNER_BYTES: Final = 32
_MAX_NUMBER: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Header:
    """``signer``: the writer's Ed25519 public key, raw. ``key_check`` and ``signer`` are filled in by ``open_file``."""

    file_id: bytes
    recording_id: str
    segment: int
    call_id: str
    created_ns: int
    suite: Suite
    content: Content
    writer: str
    key_check: str | None = None
    signer: bytes = b""
    source: Mapping[str, Any] | None = None

    @property
    def encrypted(self) -> bool:
        return self.suite == "aes-256-gcm"

    def encode(self) -> bytes:
        document: dict[str, Any] = {
            "file_id": self.file_id.hex(),
            "recording_id": self.recording_id,
            "segment": self.segment,
            "call_id": self.call_id,
            "created_ns": self.created_ns,
            "suite": self.suite,
            "content": self.content,
            "writer": self.writer,
            "signer": base64.b64encode(self.signer).decode(),
        }
        if self.key_check is not None:
            document["key_check"] = self.key_check
        if self.source is not None:
            document["source"] = dict(self.source)
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes | memoryview, offset: int) -> Header:
        """``offset``: of the header in the file, for the message."""
        document = json_object(data, "the header", offset)
        try:
            return cls._of(document)
        except (KeyError, TypeError, ValueError) as fault:
            raise SasfError(f"the header lacks what it must say, or says it wrongly: {fault}", offset) from fault

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Header:
        suite, content, source = document["suite"], document["content"], document.get("source")
        if suite not in get_args(Suite) or content not in get_args(Content):
            raise ValueError("suite or content")
        if not (source is None or isinstance(source, dict)):
            raise ValueError("source")
        return cls(
            file_id=_sized(bytes.fromhex(_text(document, "file_id")), FILE_ID_BYTES, "file_id"),
            recording_id=_text(document, "recording_id"),
            segment=_number(document, "segment"),
            call_id=_text(document, "call_id"),
            created_ns=_number(document, "created_ns"),
            suite=suite,
            content=content,
            writer=_text(document, "writer"),
            key_check=_text(document, "key_check") if suite != "clear" else None,
            signer=_sized(base64.b64decode(_text(document, "signer"), validate=True), SIGNER_BYTES, "signer"),
            source=source,
        )


def key_check(key: bytes) -> str:
    """Tells whether a key is the file's without any of its chunks."""
    return hashlib.sha256(b"SASF key" + key).hexdigest()[:32]


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def _number(document: Mapping[str, Any], name: str) -> int:
    value = document[name]
    if type(value) is not int or not 0 <= value < _MAX_NUMBER:
        raise ValueError(name)
    return value


def _sized(value: bytes, size: int, name: str) -> bytes:
    if len(value) != size:
        raise ValueError(name)
    return value
