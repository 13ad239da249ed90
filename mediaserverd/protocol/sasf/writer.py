"""Writes a file as docs/sasf.md says. What the engine does in C++ while a call runs, this does for files made of files.

Not responsible for the disk: the target is any binary file, and whoever opened it syncs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.protocol.sasf.chunks import (
    MAX_BODY_BYTES,
    TRAILER,
    TRAILER_MAGIC,
    Before,
    Cipher,
    Kind,
    Seal,
    checkpoint_chunk,
    index_body,
    seal_chunk,
)
from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.keys import PublicKey
from mediaserverd.protocol.sasf.opening import Opening, open_file
from mediaserverd.protocol.sasf.records import REPORT, BodyWriter, Packet, RecordKind

CHUNK_MS: Final = 400
CHECKPOINT_MS: Final = 5000
MAX_RECORD_BYTES: Final = 65535  # of one packet or document: a UDP datagram, the largest ng message
_FULL_BODY_BYTES: Final = MAX_BODY_BYTES // 2
_UNITS_PER_MS: Final = 8


class SasfWriter:
    """``chunk_ms``: shorter is less lost when the writer dies, longer is smaller."""

    def __init__(
        self,
        target: BinaryIO,
        header: Header,
        signer: Ed25519PrivateKey,
        key: bytes | None,
        recipients: Sequence[PublicKey] = (),
        *,
        chunk_ms: int = CHUNK_MS,
    ) -> None:
        self._target = target
        self._signer = signer
        self.opening: Opening = open_file(header, signer, key, recipients)
        self._cipher = Cipher(self.opening.digest, key, encrypted=header.encrypted)
        self._chunk_units = chunk_ms * _UNITS_PER_MS
        self._body = BodyWriter()
        self._before = Before(self.opening)
        self._number = 0
        self._index: list[tuple[int, int, int]] = []
        self._packets = [0, 0]
        self._unsigned = 0
        self._chunks_a_checkpoint = max(1, CHECKPOINT_MS // chunk_ms)
        target.write(self.opening.encoded)
        self._at = self.opening.size

    def add_meta(self, body: Mapping[str, Any]) -> None:
        """Before anything else."""
        self._record(RecordKind.META, 0, 0, _json(body))

    def add_packet(self, packet: Packet) -> None:
        if len(packet.payload) > MAX_RECORD_BYTES:
            raise ValueError(f"a payload of {len(packet.payload)} bytes")
        self._make_room(packet.arrival)
        self._body.packet(packet)
        self._packets[packet.side] += 1

    def add_event(self, at: int, side: int, body: Mapping[str, Any]) -> None:
        """``at``: in units of 125 us since time 0, like the arrival of a packet."""
        self._record(RecordKind.EVENT, side, at, _json(body))

    def add_sender_report(self, at: int, side: int, ssrc: int, ntp: int, rtp: int) -> None:
        self._record(RecordKind.SENDER_REPORT, side, at, REPORT.pack(ssrc, ntp, rtp))

    def close(self, at: int, reason: str, end: Mapping[str, Any]) -> Seal:
        """``end``: what END says beside the reason. The target stays open."""
        self._record(RecordKind.END, 0, at, _json({"reason": reason, **end}))
        self.flush()
        duration_ms = at // _UNITS_PER_MS
        index_at = self._at
        self._write(self._cipher.chunk(Kind.INDEX, self._number, duration_ms, index_body(self._index)))
        packets = (self._packets[0], self._packets[1])
        seal = Seal("closed", reason, duration_ms, len(self._index), 0, index_at, packets)
        sealing_at = self._at
        self._write(seal_chunk(self._cipher, self._signer, self._number, self._before.digest(), seal))
        self._target.write(TRAILER.pack(sealing_at, TRAILER_MAGIC))
        return seal

    def flush(self) -> None:
        """Closes the chunk that is being filled, if anything is in it."""
        if self._body.first_at is None:
            return
        time_ms = self._body.first_at // _UNITS_PER_MS
        self._index.append((self._number, time_ms, self._at))
        self._write(self._cipher.chunk(Kind.RECORDS, self._number, time_ms, self._body.body))
        self._body = BodyWriter(self._body.next_cadence)
        self._unsigned += 1
        if not self.opening.header.encrypted and self._unsigned >= self._chunks_a_checkpoint:
            self._unsigned = 0
            before = self._before.digest()
            self._write(checkpoint_chunk(self._cipher, self._signer, self._number, time_ms, before))

    def _record(self, kind: RecordKind, side: int, at: int, data: bytes) -> None:
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {len(data)} bytes")
        self._make_room(at)
        self._body.record(kind, side, at, data)

    def _make_room(self, at: int) -> None:
        first = self._body.first_at
        if first is not None and (at - first >= self._chunk_units or len(self._body) >= _FULL_BODY_BYTES):
            self.flush()

    def _write(self, chunk: bytes) -> None:
        self._target.write(chunk)
        self._before.take(chunk)
        self._number += 1
        self._at += len(chunk)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(body), separators=(",", ":")).encode()
