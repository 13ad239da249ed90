"""Chunks: their header, their tag, and what signs the bytes before them. docs/sasf.md section 3.

| u16 magic | u8 type | u8 0 | u32 length of the body | u32 number | u32 time in ms | body | 16 bytes tag |
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mediaserverd.protocol.sasf.faults import SasfError, json_object
from mediaserverd.protocol.sasf.opening import SIGNATURE_BYTES, Opening

CHUNK_MAGIC: Final = 0xC5A5
CHUNK_HEADER: Final = struct.Struct("<HBBIII")
MAX_BODY_BYTES: Final = 1 << 20
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = CHUNK_HEADER.size + TAG_BYTES
INDEX_ENTRY: Final = struct.Struct("<IIQ")
MAX_INDEX_ENTRIES: Final = MAX_BODY_BYTES // INDEX_ENTRY.size
TRAILER: Final = struct.Struct("<Q8s")
TRAILER_MAGIC: Final = b"SASFEND\n"
_MAX_COUNT: Final = 1 << 48  # packets, bytes, ms: of a recording of many years

SealState: TypeAlias = Literal["closed", "recovered"]


class Kind(IntEnum):
    RECORDS = 1
    CHECKPOINT = 2
    INDEX = 3
    SEAL = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """``whole``: of one in clear whose tag was seen to hold, the hash that the tag is the beginning of."""

    offset: int
    kind: int
    length: int
    number: int
    time_ms: int
    whole: bytes = b""

    @property
    def body_at(self) -> int:
        return self.offset + CHUNK_HEADER.size

    @property
    def end(self) -> int:
        return self.offset + OVERHEAD_BYTES + self.length


def chunk_at(view: memoryview, offset: int) -> Chunk | None:
    """None where no whole chunk stands. Its tag is not looked at."""
    if offset + OVERHEAD_BYTES > len(view):
        return None
    magic, kind, zero, length, number, time_ms = CHUNK_HEADER.unpack_from(view, offset)
    if magic != CHUNK_MAGIC or zero or length > MAX_BODY_BYTES or offset + OVERHEAD_BYTES + length > len(view):
        return None
    return Chunk(offset, kind, length, number, time_ms)


class Cipher:
    """Makes and checks the tags of one file's chunks. Without ``key`` not those of encrypted RECORDS."""

    def __init__(self, digest: bytes, key: bytes | None, *, encrypted: bool) -> None:
        self.digest = digest
        self._aead = AESGCM(key) if key is not None else None
        self.encrypted = encrypted

    def chunk(self, kind: Kind, number: int, time_ms: int, body: bytes) -> bytes:
        header = CHUNK_HEADER.pack(CHUNK_MAGIC, kind, 0, len(body), number, time_ms)
        if self.encrypted and kind is Kind.RECORDS:
            assert self._aead is not None
            return header + self._aead.encrypt(_nonce(number), body, self.digest + header)
        return header + body + _print(self.digest, header, body)[:TAG_BYTES]

    def knows(self, chunk: Chunk) -> bool:
        """Whether it can tell if the tag holds."""
        return self._aead is not None or not self.encrypted or chunk.kind != Kind.RECORDS

    def holding(self, view: memoryview, chunk: Chunk) -> Chunk | None:
        """A chunk in clear, as one whose tag was seen to hold; None if it does not."""
        header, body = view[chunk.offset : chunk.body_at], view[chunk.body_at : chunk.end - TAG_BYTES]
        whole = _print(self.digest, header, body)
        if whole[:TAG_BYTES] != view[chunk.end - TAG_BYTES : chunk.end]:
            return None
        return Chunk(chunk.offset, chunk.kind, chunk.length, chunk.number, chunk.time_ms, whole)

    def decrypt(self, view: memoryview, chunk: Chunk, into: memoryview) -> bool:
        """The body of an encrypted chunk to ``into``, of its very length; False if its tag does not hold."""
        assert self._aead is not None
        aad = self.digest + view[chunk.offset : chunk.body_at]
        try:
            self._aead.decrypt_into(_nonce(chunk.number), view[chunk.body_at : chunk.end], aad, into)
        except InvalidTag:
            return False
        return True


class Before:
    """R, which CHECKPOINT and SEAL sign: what the file is before them.

    In clear it takes of each chunk the hash that the tag is the beginning of, else every byte.
    """

    def __init__(self, opening: Opening) -> None:
        self._hash = hashlib.sha256(opening.head)
        self._digest = opening.digest
        self._every_byte = opening.header.encrypted

    def take(self, chunk: bytes) -> None:
        """One that has just been made."""
        if self._every_byte:
            self._hash.update(chunk)
        else:
            self._hash.update(_print(self._digest, chunk[: CHUNK_HEADER.size], chunk[CHUNK_HEADER.size : -TAG_BYTES]))

    def take_held(self, view: memoryview, chunk: Chunk) -> None:
        """One of a scan."""
        self._hash.update(view[chunk.offset : chunk.end] if self._every_byte else chunk.whole)

    def take_stray(self, between: memoryview) -> None:
        """What is no chunk, or one whose tag does not hold."""
        if self._every_byte:
            self._hash.update(between)

    def digest(self) -> bytes:
        return self._hash.digest()


@dataclass(frozen=True, slots=True)
class Seal:
    """``packets``: of the calling and the called side; None if a recovered file's could not be counted."""

    state: SealState
    reason: str
    duration_ms: int
    chunks: int
    torn_bytes: int
    index: int
    packets: tuple[int, int] | None

    def encode(self) -> bytes:
        document = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, body: memoryview, offset: int) -> Seal:
        """``body``: of the SEAL chunk, signature included."""
        document = json_object(body[:-SIGNATURE_BYTES], "the seal", offset)
        try:
            return cls._of(document)
        except (KeyError, TypeError, ValueError) as fault:
            raise SasfError(f"the seal lacks what it must say, or says it wrongly: {fault}", offset) from fault

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Seal:
        numbers = [document[name] for name in ("duration_ms", "chunks", "torn_bytes", "index")]
        packets, reason, state = document["packets"], document["reason"], document["state"]
        if not _are_counts(numbers) or not (packets is None or (_are_counts(packets) and len(packets) == 2)):
            raise ValueError("a number")
        if state not in ("closed", "recovered") or not isinstance(reason, str):
            raise ValueError("state or reason")
        duration_ms, chunks, torn_bytes, index = numbers
        pair = None if packets is None else (packets[0], packets[1])
        return cls(state, reason, duration_ms, chunks, torn_bytes, index, pair)


def checkpoint_chunk(cipher: Cipher, signer: Ed25519PrivateKey, number: int, time_ms: int, before: bytes) -> bytes:
    """``before``: R."""
    header = CHUNK_HEADER.pack(CHUNK_MAGIC, Kind.CHECKPOINT, 0, SIGNATURE_BYTES, number, time_ms)
    signature = signer.sign(b"SASF checkpoint" + cipher.digest + header + before)
    return cipher.chunk(Kind.CHECKPOINT, number, time_ms, signature)


def seal_chunk(cipher: Cipher, signer: Ed25519PrivateKey, number: int, before: bytes, seal: Seal) -> bytes:
    document = seal.encode()
    said = hashlib.sha256(document).digest()
    length = len(document) + SIGNATURE_BYTES
    header = CHUNK_HEADER.pack(CHUNK_MAGIC, Kind.SEAL, 0, length, number, seal.duration_ms)
    signature = signer.sign(b"SASF seal" + cipher.digest + header + before + said)
    return cipher.chunk(Kind.SEAL, number, seal.duration_ms, document + signature)


def signature_holds(signer: bytes, digest: bytes, view: memoryview, chunk: Chunk, before: bytes) -> bool:
    """Of a CHECKPOINT or SEAL chunk."""
    header, body = view[chunk.offset : chunk.body_at], view[chunk.body_at : chunk.end - TAG_BYTES]
    document, signature = body[:-SIGNATURE_BYTES], body[-SIGNATURE_BYTES:]
    if chunk.kind == Kind.CHECKPOINT:
        signed = b"SASF checkpoint" + digest + header + before + document
    else:
        signed = b"SASF seal" + digest + header + before + hashlib.sha256(document).digest()
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(bytes(signature), signed)
    except InvalidSignature:
        return False
    return True


def index_body(entries: list[tuple[int, int, int]]) -> bytes:
    """Number, time and offset of RECORDS chunks: of all, or of every so many if that were too long."""
    every = max(1, -(-len(entries) // MAX_INDEX_ENTRIES))
    return b"".join(INDEX_ENTRY.pack(*entry) for entry in entries[::every])


def _print(digest: bytes, header: bytes | memoryview, body: bytes | memoryview) -> bytes:
    """What stands for a chunk in clear."""
    whole = hashlib.sha256(digest)
    whole.update(header)
    whole.update(body)
    return whole.digest()


def _nonce(number: int) -> bytes:
    return number.to_bytes(8, "little").rjust(12, b"\0")


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) is int and 0 <= each < _MAX_COUNT for each in values)
