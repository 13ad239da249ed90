"""The spool file of a recording: reads what the engine wrote (SASF), up to where it ends or breaks.

Files of the version before, which was a format of its own, are read too.

Not responsible for writing (the engine's tap does), nor for what the packets sound like (``timeline``, ``wav``).
"""

from __future__ import annotations

import json
import struct
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.protocol.sasf import contents as contents_
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.reader import SasfReader

SASF_MAGIC: Final = b"SASF"
NS_PER_UNIT: Final = 10**9 // UNITS_PER_SECOND
MAGIC: Final = b"MSDSPOOL"
VERSION: Final = 1
PREAMBLE: Final = struct.Struct("<8sHHI")
FRAME_MAGIC: Final = 0xD5A5
FRAME_HEADER: Final = struct.Struct("<HBBI")
CHECKSUM: Final = struct.Struct("<I")
TIME: Final = struct.Struct("<Q")
MAX_PAYLOAD_BYTES: Final = 64 << 10
RTP_HEADER_BYTES: Final = 12

Bytes: TypeAlias = npt.NDArray[np.uint8]
Integers: TypeAlias = npt.NDArray[np.int64]


class FrameType(IntEnum):
    META = 1
    RTP = 2
    EVENT = 3
    END = 4


class SpoolError(Exception):
    """Not a spool file, or one whose first frame never reached the disk: there is nothing to save."""


@dataclass(frozen=True, slots=True)
class Event:
    at_ns: int
    side: int
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.body.get("event", ""))


@dataclass(frozen=True, slots=True)
class Packets:
    """RTP packets as columns, in the order of arrival. ``start`` and ``length``: where in the file the payload lies."""

    side: Integers
    arrival_ns: Integers
    payload_type: Integers
    sequence: Integers
    timestamp: Integers
    ssrc: Integers
    start: Integers
    length: Integers

    def __len__(self) -> int:
        return len(self.side)

    def where(self, chosen: npt.NDArray[np.bool_] | Integers) -> Packets:
        return Packets(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Spool:
    """All of a file, except the payloads, which stay in ``data`` (mapped, not read)."""

    meta: Mapping[str, Any]
    packets: Packets
    events: tuple[Event, ...]
    end: Event | None
    broken_at: int | None  # offset of the first frame that does not hold; None if every byte was read
    data: Bytes

    @property
    def started_ns(self) -> int:
        """In the engine's clock, which the packets are in: its first event is written as the recording starts."""
        return self.events[0].at_ns if self.events else int(self.meta.get("started_ns", 0))

    @property
    def ended_ns(self) -> int:
        """The END frame's time, or without one that of the last frame that has a time."""
        if self.end is not None:
            return self.end.at_ns
        last_event = self.events[-1].at_ns if self.events else self.started_ns
        last_packet = int(self.packets.arrival_ns.max()) if len(self.packets) else 0
        return max(last_event, last_packet)


def read(path: Path) -> Spool:
    """Raises SpoolError if not even the META frame is there."""
    try:
        data: Bytes = np.memmap(path, dtype=np.uint8, mode="r")
    except ValueError as fault:  # an empty file cannot be mapped
        raise SpoolError(f"{path.name} is empty") from fault
    view = data.data
    if bytes(view[: len(SASF_MAGIC)]) == SASF_MAGIC:
        return _from_sasf(data, path.name)
    if len(view) < PREAMBLE.size or PREAMBLE.unpack_from(view, 0)[:2] != (MAGIC, VERSION):
        raise SpoolError(f"{path.name} does not begin like a spool file of version {VERSION}")
    return _Scan(view).spool(data, path.name)


def read_meta(path: Path) -> Mapping[str, Any]:
    """The META frame alone. Raises SpoolError like ``read``."""
    with path.open("rb") as file:
        data = file.read(PREAMBLE.size + FRAME_HEADER.size)
        if data[: len(SASF_MAGIC)] == SASF_MAGIC:
            return read(path).meta
        if len(data) < PREAMBLE.size + FRAME_HEADER.size or data[: len(MAGIC)] != MAGIC:
            raise SpoolError(f"{path.name} does not begin like a spool file of version {VERSION}")
        magic, kind, _, length = FRAME_HEADER.unpack_from(data, PREAMBLE.size)
        if magic != FRAME_MAGIC or kind != FrameType.META or length > MAX_PAYLOAD_BYTES:
            raise SpoolError(f"{path.name} does not begin with a META frame")
        payload = file.read(length)
    try:
        return _object(memoryview(payload))
    except ValueError as fault:
        raise SpoolError(f"{path.name} breaks off before its META frame is complete") from fault


def _from_sasf(data: Bytes, name: str) -> Spool:
    """In the units of this reader: nanoseconds of Unix time."""
    try:
        reader = SasfReader(data.data)
        contents = reader.contents()
    except SasfError as fault:
        raise SpoolError(f"{name}: {fault}") from fault
    header = reader.header

    def event(of: contents_.Event) -> Event:
        return Event(header.created_ns + of.at * NS_PER_UNIT, of.side, of.body)

    packets = contents.packets
    meta = {**contents.meta, "started_ns": header.created_ns, "recording_id": header.recording_id}
    return Spool(
        meta={**meta, "segment": header.segment, "call_id": header.call_id},
        packets=Packets(
            side=packets.side,
            arrival_ns=header.created_ns + packets.arrival * NS_PER_UNIT,
            payload_type=packets.payload_type,
            sequence=packets.sequence,
            timestamp=packets.timestamp,
            ssrc=packets.ssrc,
            start=packets.start,
            length=packets.length,
        ),
        events=tuple(event(each) for each in contents.events),
        end=None if contents.end is None else event(contents.end),
        broken_at=None if reader.state == "closed" else len(data),
        data=contents.data,
    )


class _Scan:
    """One pass over the frames. RTP headers are only located here and read later, all at once."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._rtp_sides = array("B")
        self._rtp_starts = array("Q")
        self._rtp_lengths = array("L")
        self._meta: Mapping[str, Any] | None = None
        self._events: list[Event] = []
        self._end: Event | None = None

    def spool(self, data: Bytes, name: str) -> Spool:
        broken_at = self._frames()
        if self._meta is None:
            raise SpoolError(f"{name} breaks off before its META frame is complete")
        packets = _packets(data, self._rtp_sides, self._rtp_starts, self._rtp_lengths)
        return Spool(self._meta, packets, tuple(self._events), self._end, broken_at, data)

    def _frames(self) -> int | None:
        view, size, at = self._view, len(self._view), PREAMBLE.size
        overhead = FRAME_HEADER.size + CHECKSUM.size
        while at + overhead <= size:
            magic, kind, side, length = FRAME_HEADER.unpack_from(view, at)
            end = at + FRAME_HEADER.size + length
            if magic != FRAME_MAGIC or length > MAX_PAYLOAD_BYTES or end + CHECKSUM.size > size:
                return at
            if zlib.crc32(view[at + 2 : end]) != CHECKSUM.unpack_from(view, end)[0]:
                return at
            if kind == FrameType.RTP:
                self._rtp_sides.append(side & 1)
                self._rtp_starts.append(at + FRAME_HEADER.size)
                self._rtp_lengths.append(length)
            elif not self._document(kind, side & 1, view[at + FRAME_HEADER.size : end]):
                return at
            at = end + CHECKSUM.size
        return None if at == size else at

    def _document(self, kind: int, side: int, payload: memoryview) -> bool:
        """A frame with JSON in it. False: its checksum holds and yet it cannot be read."""
        try:
            if kind == FrameType.META:
                self._meta = _object(payload)
            elif kind in (FrameType.EVENT, FrameType.END):
                event = Event(TIME.unpack_from(payload)[0], side, _object(payload[TIME.size :]))
                if kind == FrameType.END:
                    self._end = event
                else:
                    self._events.append(event)
        except (ValueError, struct.error):
            return False
        return True  # a type that this version does not know is passed over


def _object(payload: memoryview) -> Mapping[str, Any]:
    value = json.loads(bytes(payload))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _packets(data: Bytes, sides: array[int], starts: array[int], lengths: array[int]) -> Packets:
    """RTP headers (RFC 3550 5.1) of all frames. What is no RTP packet of version 2, or has no payload, is left out."""
    side = np.frombuffer(sides, np.uint8).astype(np.int64)
    frame = np.frombuffer(starts, np.uint64).astype(np.int64)
    end = frame + np.frombuffer(lengths, f"u{lengths.itemsize}").astype(np.int64)
    whole = end - frame >= TIME.size + RTP_HEADER_BYTES
    side, frame, end = side[whole], frame[whole], end[whole]
    header = frame + TIME.size
    first = data[header].astype(np.int64)
    start = header + RTP_HEADER_BYTES + 4 * (first & 0x0F)
    start = _past_extension(data, first, start, end)
    # The last byte of a padded packet says how much of its end is padding.
    end = end - np.where(first & 0x20, data[end - 1].astype(np.int64), 0)
    keep = (first >> 6 == 2) & (start < end)
    return Packets(
        side=side,
        arrival_ns=_big(data, frame, TIME.size, little=True),
        payload_type=data[header + 1].astype(np.int64) & 0x7F,
        sequence=_big(data, header + 2, 2),
        timestamp=_big(data, header + 4, 4),
        ssrc=_big(data, header + 8, 4),
        start=start,
        length=end - start,
    ).where(keep)


def _past_extension(data: Bytes, first: Integers, start: Integers, end: Integers) -> Integers:
    """Where the payload begins, behind a header extension if there is one (RFC 3550 5.3.1)."""
    extended = (first & 0x10 != 0) & (start + 4 <= end)
    words = np.zeros_like(start)
    words[extended] = _big(data, start[extended] + 2, 2)
    return start + np.where(extended, 4 + 4 * words, 0)


def _big(data: Bytes, at: Integers, size: int, *, little: bool = False) -> Integers:
    places = range(size - 1, -1, -1) if little else range(size)
    value = np.zeros(len(at), np.int64)
    for place in places:
        value = value << 8 | data[at + place]
    return value
