"""A reader of SASF files as the engine writes them, by docs/sasf.md alone: it asserts all that a file promises."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RECORDS, CHECKPOINT, INDEX, SEAL = 1, 2, 3, 4
META, EVENT, SENDER_REPORT, END = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Packet:
    """``at``: in units of 125 us."""

    side: int
    at: int
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Other:
    kind: int
    side: int
    at: int
    octets: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.octets)


Record = Packet | Other


@dataclass(frozen=True, slots=True)
class Chunk:
    type: int
    offset: int
    time_ms: int
    records: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class SasfFile:
    header: dict[str, Any]
    chunks: list[Chunk] = field(default_factory=list)
    seal: dict[str, Any] | None = None
    torn: int = 0  # bytes behind the last whole chunk

    @property
    def records(self) -> list[Record]:
        return [record for chunk in self.chunks for record in chunk.records]

    def packets(self, side: int) -> list[Packet]:
        return [record for record in self.records if isinstance(record, Packet) and record.side == side]

    def others(self, kind: int) -> list[Other]:
        return [record for record in self.records if isinstance(record, Other) and record.kind == kind]

    @property
    def events(self) -> list[Any]:
        return [event.body for event in self.others(EVENT)]

    @property
    def end(self) -> Any:
        (end,) = self.others(END)
        return end.body


def read(path: Path, key: bytes | None = None) -> SasfFile:
    data = path.read_bytes()
    header_end = 24 + int.from_bytes(data[12:16], "little")
    keybox_bytes = int.from_bytes(data[16:20], "little")
    file = SasfFile(json.loads(data[24:header_end]))
    head = data[: header_end + 64]
    file_hash = hashlib.sha256(data[:header_end]).digest()
    running = hashlib.sha256(head)
    at = len(head) + keybox_bytes
    while at + 32 <= len(data) and file.seal is None:
        magic, kind, zero, size, number, time_ms = struct.unpack_from("<HBBIII", data, at)
        end = at + 16 + size + 16
        if end > len(data):
            break
        assert (magic, zero, number) == (0xC5A5, 0, len(file.chunks))
        frame, body, tag = data[at : at + 16], data[at + 16 : end - 16], data[end - 16 : end]
        if kind == RECORDS and key is not None:
            nonce = bytes(4) + number.to_bytes(8, "little")
            body = AESGCM(key).decrypt(nonce, body + tag, file_hash + frame)
        else:
            assert hashlib.sha256(file_hash + frame + body).digest()[:16] == tag
        file.chunks.append(Chunk(kind, at, time_ms, records(body) if kind == RECORDS else []))
        judge(file, kind, body, file_hash + frame + running.digest())
        running.update(hashlib.sha256(file_hash + frame + body).digest() if key is None else data[at:end])
        at = end
    if file.seal is not None:
        assert data[at:] == struct.pack("<Q8s", file.chunks[-1].offset, b"SASFEND\n")
    else:
        file.torn = len(data) - at
    return file


def judge(file: SasfFile, kind: int, body: bytes, bound_to: bytes) -> None:
    signer = Ed25519PublicKey.from_public_bytes(base64.b64decode(file.header["signer"]))
    if kind == CHECKPOINT:
        signer.verify(body, b"SASF checkpoint" + bound_to)
    elif kind == INDEX:
        entries = list(struct.iter_unpack("<IIQ", body))
        held = [(n, c.time_ms, c.offset) for n, c in enumerate(file.chunks) if c.type == RECORDS]
        assert entries == held
    elif kind == SEAL:
        seal, signature = body[:-64], body[-64:]
        signer.verify(signature, b"SASF seal" + bound_to + hashlib.sha256(seal).digest())
        file.seal = json.loads(seal)


class Cursor:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def take(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.body)
        return self.body[self.at - count : self.at]

    def varint(self) -> int:
        value = shift = 0
        while (octet := self.take(1)[0]) & 0x80:
            value |= (octet & 0x7F) << shift
            shift += 7
        return value | octet << shift

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)


def records(body: bytes) -> list[Record]:
    cursor = Cursor(body)
    state: list[dict[str, int]] = [{}, {}]
    found: list[Record] = []
    while cursor.at < len(body):
        first = cursor.take(1)[0]
        side = first >> 6 & 1
        if first & 0x80:
            found.append(packet(cursor, first, side, state[side]))
        else:
            at = cursor.varint()
            found.append(Other(first & 0x3F, side, at, cursor.take(cursor.varint())))
    return found


def packet(cursor: Cursor, first: int, side: int, s: dict[str, int]) -> Packet:
    if first & 0x20:
        assert first & 0x0F == 0
        s["pt"], s["sequence"], s["timestamp"], s["ssrc"] = struct.unpack("<BHII", cursor.take(11))
        s["at"], s["cadence"], s["length"], s["step"] = cursor.varint(), cursor.varint(), cursor.varint(), 0
    else:
        s["step"] = cursor.zigzag() if first & 4 else s["step"]
        s["sequence"] = s["sequence"] + 1 + (cursor.zigzag() if first & 2 else 0) & 0xFFFF
        s["timestamp"] = s["timestamp"] + s["step"] & 0xFFFFFFFF
        s["at"] += s["cadence"] + cursor.zigzag()
        s["length"] = cursor.varint() if first & 8 else s["length"]
    payload = cursor.take(s["length"])
    return Packet(side, s["at"], s["pt"], bool(first & 16), s["sequence"], s["timestamp"], s["ssrc"], payload)
