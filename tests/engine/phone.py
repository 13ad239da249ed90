"""A UDP socket that speaks just enough RTP, and a reader of spool files written from docs/wire.md alone."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mediaserverd.media.engine import Endpoint

SPOOL_PREAMBLE = b"MSDSPOOL" + bytes([1, 0, 0, 0, 0, 0, 0, 0])
META, RTP, EVENT, END = 1, 2, 3, 4


def rtp(sequence: int, *, ssrc: int = 0x1234, payload_type: int = 0, payload: bytes = bytes(160)) -> bytes:
    timestamp = sequence * 160 & 0xFFFFFFFF
    return struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp, ssrc) + payload


def receiver_report(ssrc: int = 0x1234) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


class Phone:
    """One socket; a datagram that does not come within a second is a timeout."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    @property
    def endpoint(self) -> Endpoint:
        address, port = self.socket.getsockname()[:2]
        return str(address), int(port)

    def send(self, datagram: bytes, to: Endpoint) -> None:
        self.socket.sendto(datagram, to)

    def receive(self) -> tuple[bytes, Endpoint]:
        datagram, source = self.socket.recvfrom(4096)
        return datagram, (str(source[0]), int(source[1]))

    def hears_nothing(self, seconds: float = 0.05) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(1.0)
        return False


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    side: int
    time_ns: int  # 0 in META
    body: bytes


def read_spool(path: Path) -> list[Frame]:
    """All whole frames; what is torn at the end is left out, as a reader should."""
    octets = path.read_bytes()
    assert octets[:16] == SPOOL_PREAMBLE
    return list(_frames(octets, 16))


def _frames(octets: bytes, at: int) -> Iterator[Frame]:
    while at + 12 <= len(octets):
        magic, kind, side, length = struct.unpack_from("<HBBI", octets, at)
        end = at + 8 + length
        if magic != 0xD5A5 or end + 4 > len(octets):
            return
        if zlib.crc32(octets[at + 2 : end]) != struct.unpack_from("<I", octets, end)[0]:
            return
        payload = octets[at + 8 : end]
        if kind == META:
            yield Frame(kind, side, 0, payload)
        else:
            yield Frame(kind, side, struct.unpack_from("<Q", payload)[0], payload[8:])
        at = end + 4
