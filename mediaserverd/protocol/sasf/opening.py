"""The beginning of a file, up to its first chunk: prologue, header, signature, keybox (docs/sasf.md, 1 and 2)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.header import KEY_BYTES, Header, key_check
from mediaserverd.protocol.sasf.keys import MAX_KEYBOX_BYTES, ROOM_BYTES, Keybox, PublicKey, wrap

MAGIC: Final = b"SASF\r\n\x1a\n"
MAJOR: Final = 1
PROLOGUE: Final = struct.Struct("<8sBBHIII")
MAX_HEADER_BYTES: Final = 65536
SIGNATURE_BYTES: Final = 64
MAX_OPENING_BYTES: Final = PROLOGUE.size + MAX_HEADER_BYTES + SIGNATURE_BYTES + MAX_KEYBOX_BYTES
_SIGNED_AS: Final = b"SASF header"


@dataclass(frozen=True, slots=True)
class Opening:
    """``head``: prologue, header and signature; ``digest``: H; ``keybox``: padded to its length for good."""

    header: Header
    head: bytes
    digest: bytes
    keybox: bytes

    @property
    def keybox_at(self) -> int:
        return len(self.head)

    @property
    def size(self) -> int:
        """Where the first chunk begins."""
        return len(self.head) + len(self.keybox)

    @property
    def encoded(self) -> bytes:
        return self.head + self.keybox

    @property
    def signature_holds(self) -> bool:
        signer = Ed25519PublicKey.from_public_bytes(self.header.signer)
        try:
            signer.verify(self.head[-SIGNATURE_BYTES:], _SIGNED_AS + self.digest)
        except InvalidSignature:
            return False
        return True


def open_file(header: Header, signer: Ed25519PrivateKey, key: bytes | None, recipients: Sequence[PublicKey]) -> Opening:
    """``key``: 32 random bytes of this file alone, or None in suite ``clear``. What follows are chunks."""
    if header.encrypted != (key is not None) or (key is not None and len(key) != KEY_BYTES):
        raise ValueError(f"suite {header.suite} and the key do not go together")
    if header.encrypted and not recipients:
        raise ValueError("an encrypted recording without a recipient could never be read")
    full = replace(
        header, signer=signer.public_key().public_bytes_raw(), key_check=None if key is None else key_check(key)
    )
    encoded = full.encode()
    if len(encoded) > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {len(encoded)} bytes; {MAX_HEADER_BYTES} at most")
    keybox = Keybox(() if key is None else tuple(wrap(key, header.file_id, each) for each in recipients))
    padded = keybox.encode(len(keybox.encode()) + (ROOM_BYTES if header.encrypted else 0))
    unsigned = PROLOGUE.pack(MAGIC, MAJOR, 0, 0, len(encoded), len(padded), 0) + encoded
    digest = hashlib.sha256(unsigned).digest()
    return Opening(full, unsigned + signer.sign(_SIGNED_AS + digest), digest, padded)


def parse_opening(data: bytes | memoryview) -> Opening:
    """Raises SasfError if this is no file of ours, or one torn before its first chunk. The signature is not judged."""
    if len(data) < PROLOGUE.size:
        raise SasfError("torn in its prologue" if bytes(data[:8]) == MAGIC[: len(data)] else "not a SASF file")
    magic, major, _, _, header_bytes, keybox_bytes, _ = PROLOGUE.unpack_from(data)
    if magic != MAGIC:
        raise SasfError("not a SASF file")
    if major != MAJOR:
        raise SasfError(f"SASF version {major}, of which this reader knows nothing", len(MAGIC))
    if header_bytes > MAX_HEADER_BYTES or keybox_bytes > MAX_KEYBOX_BYTES:
        raise SasfError("header or keybox longer than they may be", 12)
    signature_at = PROLOGUE.size + header_bytes
    keybox_at = signature_at + SIGNATURE_BYTES
    if keybox_at + keybox_bytes > len(data):
        raise SasfError("torn before its first chunk", len(data))
    header = Header.parse(data[PROLOGUE.size : signature_at], PROLOGUE.size)
    digest = hashlib.sha256(data[:signature_at]).digest()
    return Opening(header, bytes(data[:keybox_at]), digest, bytes(data[keybox_at : keybox_at + keybox_bytes]))
