"""The records in a chunk: docs/sasf.md section 4. Encodes them, and decodes them one after the other.

Not responsible for many chunks at once (``columns`` decodes those, to the same result), nor for what is in JSON.

    packet: | 1 side full marker length step sequence 0 | ...    other: | 0 side kind | varint time | varint length |
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

MAX_TIME: Final = 1 << 40  # 4 years in units of 125 us; what is beyond is broken
VARINT_BYTES: Final = 9

PACKET: Final = 0x80
SIDE: Final = 0x40
FULL: Final = 0x20
MARKER: Final = 0x10
LENGTH: Final = 0x08
STEP: Final = 0x04
SEQUENCE: Final = 0x02
KIND_BITS: Final = 0x3F
FULL_FIELDS: Final = struct.Struct("<BHII")
REPORT: Final = struct.Struct("<IQI")
COLUMNS: Final = 9  # of a packet: side arrival payload_type marker sequence timestamp ssrc start length


class RecordKind(IntEnum):
    META = 1
    EVENT = 2
    SENDER_REPORT = 3
    END = 4


class BrokenRecords(Exception):
    """The tag of the chunk holds, and yet its records break the rules: its writer was wrong."""


@dataclass(frozen=True, slots=True)
class Record:
    """Any but a packet. ``start`` and ``length``: where its bytes lie in the data."""

    kind: int
    side: int
    at: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet. ``arrival`` in units of 125 us since time 0."""

    side: int
    arrival: int
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False


@dataclass(slots=True)
class _Side:
    """What the next packet of a side is told apart from."""

    payload_type: int = 0
    sequence: int = 0
    timestamp: int = 0
    ssrc: int = 0
    arrival: int = 0
    cadence: int = 0
    length: int = 0
    step: int = 0


@dataclass(slots=True)
class BodyWriter:
    """Collects the records of one chunk. ``cadence``: of each side, what its last chunk has shown; a guess at first."""

    cadence: tuple[int, int] = (160, 160)
    first_at: int | None = None
    _body: bytearray = field(default_factory=bytearray)
    _sides: list[_Side | None] = field(default_factory=lambda: [None, None])
    _spans: list[tuple[int, int, int]] = field(default_factory=lambda: [(0, 0, 0), (0, 0, 0)])

    def __len__(self) -> int:
        return len(self._body)

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    @property
    def next_cadence(self) -> tuple[int, int]:
        one, other = (
            (last - first) // (count - 1) if count > 1 and last > first else old
            for (count, first, last), old in zip(self._spans, self.cadence, strict=True)
        )
        return one, other

    def packet(self, packet: Packet) -> None:
        _check_time(packet.arrival)
        self._began(packet.arrival)
        count, first, _ = self._spans[packet.side]
        self._spans[packet.side] = (count + 1, first if count else packet.arrival, packet.arrival)
        side = self._sides[packet.side]
        if side is None or (side.payload_type, side.ssrc) != (packet.payload_type, packet.ssrc):
            self._full(packet)
        else:
            self._next(packet, side)
        self._body += packet.payload

    def record(self, kind: RecordKind, side: int, at: int, data: bytes) -> None:
        _check_time(at)
        self._began(at)
        self._body.append(kind | (SIDE if side else 0))
        self._body += varint(at) + varint(len(data)) + data

    def _began(self, at: int) -> None:
        if self.first_at is None:
            self.first_at = at

    def _full(self, packet: Packet) -> None:
        cadence = self.cadence[packet.side]
        self._body.append(PACKET | FULL | (SIDE if packet.side else 0) | (MARKER if packet.marker else 0))
        self._body += FULL_FIELDS.pack(packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc)
        self._body += varint(packet.arrival) + varint(cadence) + varint(len(packet.payload))
        self._sides[packet.side] = _Side(
            packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc, packet.arrival, cadence,
            len(packet.payload),
        )  # fmt: skip

    def _next(self, packet: Packet, side: _Side) -> None:
        sequence = _signed(packet.sequence - side.sequence - 1, 16)
        step = _signed(packet.timestamp - side.timestamp, 32)
        first = PACKET | (SIDE if packet.side else 0) | (MARKER if packet.marker else 0)
        fields = b""
        if step != side.step:
            first |= STEP
            fields += zigzag(step)
        if sequence:
            first |= SEQUENCE
            fields += zigzag(sequence)
        fields += zigzag(packet.arrival - side.arrival - side.cadence)
        if len(packet.payload) != side.length:
            first |= LENGTH
            fields += varint(len(packet.payload))
        self._body.append(first)
        self._body += fields
        side.sequence, side.timestamp, side.arrival = packet.sequence, packet.timestamp, packet.arrival
        side.step, side.length = step, len(packet.payload)


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def zigzag(value: int) -> bytes:
    return varint((value << 1) ^ (value >> 63))


def unpack(data: memoryview, start: int, end: int, rows: array[int], others: list[Record]) -> None:
    """The records of one body, ``data[start:end]``: packets to ``rows``, COLUMNS numbers each, what else to ``others``.

    Raises BrokenRecords; then what it appended counts for nothing.
    """
    sides: list[_Side | None] = [None, None]
    at = start
    while at < end:
        first = data[at]
        at = _packet(data, at, end, sides, rows) if first & PACKET else _other(data, at, end, others)


def _packet(data: memoryview, at: int, end: int, sides: list[_Side | None], rows: array[int]) -> int:
    first = data[at]
    at += 1
    which = 1 if first & SIDE else 0
    if first & FULL:
        if at + FULL_FIELDS.size > end:
            raise BrokenRecords("a packet ends behind its chunk")
        side = _Side(*FULL_FIELDS.unpack_from(data, at))
        side.arrival, at = _varint(data, at + FULL_FIELDS.size, end)
        side.cadence, at = _varint(data, at, end)
        side.length, at = _varint(data, at, end)
        sides[which] = side
    else:
        known = sides[which]
        if known is None:
            raise BrokenRecords("the first packet of a side is not full")
        side = known
        at = _differences(data, at, end, first, side)
    if not 0 <= side.arrival < MAX_TIME or side.cadence >= MAX_TIME:
        raise BrokenRecords("a packet came at an impossible time")
    if at + side.length > end:
        raise BrokenRecords("a packet ends behind its chunk")
    rows.extend((which, side.arrival, side.payload_type, first >> 4 & 1, side.sequence, side.timestamp, side.ssrc,
                 at, side.length))  # fmt: skip
    return at + side.length


def _differences(data: memoryview, at: int, end: int, first: int, side: _Side) -> int:
    if first & STEP:
        side.step, at = _zigzag(data, at, end)
    skipped = 0
    if first & SEQUENCE:
        skipped, at = _zigzag(data, at, end)
    late, at = _zigzag(data, at, end)
    if first & LENGTH:
        side.length, at = _varint(data, at, end)
    side.sequence = side.sequence + 1 + skipped & 0xFFFF
    side.timestamp = side.timestamp + side.step & 0xFFFFFFFF
    side.arrival += side.cadence + late
    return at


def _other(data: memoryview, at: int, end: int, others: list[Record]) -> int:
    first = data[at]
    time, at = _varint(data, at + 1, end)
    length, at = _varint(data, at, end)
    if time >= MAX_TIME or at + length > end:
        raise BrokenRecords("a record ends behind its chunk, or has an impossible time")
    others.append(Record(first & KIND_BITS, 1 if first & SIDE else 0, time, at, length))
    return at + length


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(end, at + VARINT_BYTES)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise BrokenRecords("a number does not end")


def _zigzag(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value, at = _varint(data, at, end)
    return (value >> 1) ^ -(value & 1), at


def _signed(difference: int, bits: int) -> int:
    """The shortest way from one number to another, both modulo 2^bits."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half


def _check_time(at: int) -> None:
    if not 0 <= at < MAX_TIME:
        raise ValueError(f"{at} is no time of a recording")
