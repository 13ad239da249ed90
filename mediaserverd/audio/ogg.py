"""Opus in Ogg (RFC 3533, RFC 7845), written as it comes: pages of a second, nothing patched, so a pipe will do."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, Final

from mediaserverd.audio.opus import CLOCK, OpusTrack

_FIRST, _LAST = 0x02, 0x04
_PAGE_LENGTH: Final = CLOCK  # of audio: a player that seeks reads one page
_SEGMENTS_LIMIT: Final = 255
_REVERSED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
VENDOR: Final = b"mediaserverd"


class _Pages:
    """One logical stream. ``serial`` tells streams of one file apart, and there is one."""

    def __init__(self, target: BinaryIO, serial: int = 1) -> None:
        self._target = target
        self._serial = serial
        self._number = 0
        self._segments = bytearray()
        self._body: list[bytes] = []

    def fits(self, packet: bytes) -> bool:
        return len(self._segments) + len(packet) // 255 + 1 <= _SEGMENTS_LIMIT

    def add(self, packet: bytes) -> None:
        """A packet of n bytes has n // 255 segments of 255, and a shorter one that ends it."""
        self._segments += b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,))
        self._body.append(packet)

    def close_page(self, granule: int, flags: int = 0) -> None:
        head = struct.pack("<4sBBqII", b"OggS", 0, flags, granule, self._serial, self._number)
        table = bytes((len(self._segments),)) + self._segments
        body = b"".join(self._body)
        checksum = _checksum(head + bytes(4) + table + body)
        self._target.write(head + struct.pack("<I", checksum) + table + body)
        self._number += 1
        self._segments.clear()
        self._body.clear()


def write_ogg(track: OpusTrack, packets: Iterable[bytes], target: BinaryIO) -> None:
    pages = _Pages(target)
    pages.add(track.head())
    pages.close_page(0, _FIRST)
    pages.add(b"OpusTags" + struct.pack("<I", len(VENDOR)) + VENDOR + struct.pack("<I", 0))
    pages.close_page(0)
    granule = page_began = 0
    for packet in packets:
        if granule - page_began >= _PAGE_LENGTH or not pages.fits(packet):
            pages.close_page(granule)
            page_began = granule
        pages.add(packet)
        granule += track.packet_length
    pages.close_page(track.pre_skip + track.length, _LAST)  # less than what is decoded: the rest is cut off


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32 runs from the highest bit down, zlib's the other way: the same with all bits turned round."""
    turned = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(turned.to_bytes(4, "little").translate(_REVERSED), "big")
