"""Recordings as tests start them: a signer, one recipient, and the file that comes of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mediaserverd.media.engine import Engine, LegIndex
from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.opening import open_file
from tests.engine import sasf_file
from tests.engine.sasf_file import SasfFile

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))  # the same in every process of a test
RECIPIENT = X25519PrivateKey.generate()


@dataclass(frozen=True, slots=True)
class Recording:
    number: int
    path: Path

    def read(self) -> SasfFile:
        return sasf_file.read(self.path, [RECIPIENT])


def start(
    engine: Engine,
    path: Path,
    *,
    session: int = 1,
    number: int = 7,
    encrypt: bool = False,
    meta: Mapping[str, Any] | None = None,
    created_ns: int | None = None,
    caller_leg: LegIndex = 0,
    pre_record_ms: int = 0,
) -> Recording:
    key = secrets.token_bytes(32) if encrypt else None
    header = Header(
        file_id=secrets.token_bytes(16),
        recording_id=secrets.token_hex(16),
        segment=1,
        call_id="a call",
        created_ns=time.time_ns() if created_ns is None else created_ns,
        suite="aes-256-gcm" if encrypt else "clear",
        content="received",
        writer="a server",
    )
    opening = open_file(header, SIGNER, key, [RECIPIENT.public_key()] if encrypt else [])
    engine.start_recording(
        session,
        number,
        path,
        opening,
        key,
        SIGNER.private_bytes_raw(),
        dict(meta or {}),
        caller_leg=caller_leg,
        pre_record_ms=pre_record_ms,
    )
    return Recording(number, path)
