"""A UDP socket that speaks just enough RTP and RTCP."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from mediaserverd.media.engine import Endpoint


def rtp(sequence: int, *, ssrc: int = 0x1234, payload_type: int = 0, payload: bytes = bytes(160)) -> bytes:
    timestamp = sequence * 160 & 0xFFFFFFFF
    return struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp, ssrc) + payload


def receiver_report(ssrc: int = 0x1234) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def sender_report(ssrc: int, ntp: int, timestamp: int) -> bytes:
    return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp, 1, 160)


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
