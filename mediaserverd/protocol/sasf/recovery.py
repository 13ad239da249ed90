"""A file whose writer died is cut behind its last whole chunk and sealed, without its key. docs/sasf.md section 3.

Not responsible for finding such files, nor for syncing them.
"""

from __future__ import annotations

import mmap
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.protocol.sasf.chunks import (
    TRAILER,
    TRAILER_MAGIC,
    Before,
    Chunk,
    Cipher,
    Kind,
    Seal,
    index_body,
    seal_chunk,
)
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.reader import UNITS_PER_MS, SasfReader

REASON = "recovered"


def seal_recovered(file: BinaryIO, signer: Ed25519PrivateKey) -> Seal:
    """``file``: opened for reading and writing. The seal that is there, if it was closed or recovered before.

    SasfError if not even its header reached the disk, or if ``signer`` is not the one that its header names.
    """
    reader = SasfReader(_all(file))
    if reader.header.signer != signer.public_key().public_bytes_raw():
        raise SasfError("the header names another signer than this one", reader.opening.size)
    scan = reader.scan
    if scan.seal is not None and scan.chunks[-1].kind == Kind.SEAL:
        _finish(file, reader, scan.chunks[-1])
        return scan.seal
    return _seal(file, reader, signer)


def _seal(file: BinaryIO, reader: SasfReader, signer: Ed25519PrivateKey) -> Seal:
    scan, opening = reader.scan, reader.opening
    records = [chunk for chunk in scan.chunks if chunk.kind == Kind.RECORDS]
    number = max((chunk.number for chunk in scan.chunks), default=-1) + 1
    duration_ms = readable_duration_ms(reader)
    cipher = Cipher(opening.digest, None, encrypted=opening.header.encrypted)
    index = cipher.chunk(
        Kind.INDEX, number, duration_ms, index_body([(each.number, each.time_ms, each.offset) for each in records])
    )
    seal = Seal("recovered", REASON, duration_ms, len(records), len(reader.view) - scan.end, scan.end, None)
    before, at = Before(opening), opening.size
    for chunk in scan.chunks:
        before.take_stray(reader.view[at : chunk.offset])
        before.take_held(reader.view, chunk)
        at = chunk.end
    before.take(index)
    trailer = TRAILER.pack(scan.end + len(index), TRAILER_MAGIC)
    file.seek(scan.end)
    file.truncate()  # from here on what was mapped behind it must not be looked at
    file.write(index + seal_chunk(cipher, signer, number + 1, before.digest(), seal) + trailer)
    return seal


def readable_duration_ms(reader: SasfReader) -> int:
    """Up to the last packet; of what cannot be decrypted here, up to where its last chunk begins: 0.6 s less."""
    begun_ms = max((chunk.time_ms for chunk in reader.scan.chunks), default=0)
    if not reader.readable:
        return begun_ms
    return max(begun_ms, reader.contents(begun_ms).duration // UNITS_PER_MS)


def _finish(file: BinaryIO, reader: SasfReader, sealing: Chunk) -> None:
    """The power may have gone between the SEAL and its trailer."""
    trailer = TRAILER.pack(sealing.offset, TRAILER_MAGIC)
    if reader.view[sealing.end :] != trailer:
        file.seek(sealing.end)
        file.truncate()
        file.write(trailer)


def _all(file: BinaryIO) -> bytes | mmap.mmap:
    """Mapped, as it may be an hour; read, if it is no file of a disk, or empty."""
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        file.seek(0)
        return file.read()
