"""What a recording's file begins with, and the keys to write it with: docs/sasf.md sections 1 and 2.

Every file has a random key of its own, which is forgotten here as soon as the engine has it; only the recipients can
get it back. Nothing of it is ever logged. Not responsible for writing files (the engine's).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.media.recipients import Recipients
from mediaserverd.media.wanted import RecordingRefused, Wanted
from mediaserverd.protocol.sasf.header import FILE_ID_BYTES, KEY_BYTES, Header
from mediaserverd.protocol.sasf.opening import Opening, open_file


@dataclass(frozen=True, slots=True)
class NewFile:
    """``key`` is None in suite ``clear``."""

    opening: Opening
    key: bytes | None = field(repr=False)
    signing_key: bytes = field(repr=False)


class Openings:
    """``writer``: this server's name, as files tell it."""

    def __init__(self, identity: Ed25519PrivateKey, recipients: Recipients, writer: str) -> None:
        self._identity = identity
        self._recipients = recipients
        self._writer = writer

    def new_file(self, asked: Wanted, call_id: str, created_ns: int) -> NewFile:
        """Raises RecordingRefused when there is nobody to encrypt for. May wait for the disk."""
        header = Header(
            file_id=secrets.token_bytes(FILE_ID_BYTES),
            recording_id=asked.recording_id,
            segment=asked.segment,
            call_id=call_id.encode("utf-8", "replace").decode(),  # a proxy's may be any bytes
            created_ns=created_ns,
            suite="aes-256-gcm" if asked.encrypt else "clear",
            content="received",
            writer=self._writer,
        )
        key = secrets.token_bytes(KEY_BYTES) if asked.encrypt else None
        recipients = self._recipients.current() if asked.encrypt else ()
        if asked.encrypt and not recipients:
            raise RecordingRefused(
                f"nobody to encrypt for: put the public key of a recipient (PEM) into {self._recipients.directory}"
            )
        opening = open_file(header, self._identity, key, recipients)
        return NewFile(opening, key, self._identity.private_bytes_raw())
