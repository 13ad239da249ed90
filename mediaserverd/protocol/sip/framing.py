"""Cuts a byte stream (TCP, TLS) into SIP messages and keep-alives (RFC 3261 18.3, RFC 5626 4.4.1). Pure.

Not here: reading the messages (``message``), and time: the owner of the connection ends one that stays in the middle of
a message (``is_mid_message``) for too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import MAX_MESSAGE_BYTES, partial_request

MAX_HEAD_BYTES = 32768  # start line and headers: half of the longest message, the rest is for the body

_PING = b"\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:((?:[^\r\n]++|\r\n[ \t]++)*+)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The peer sent a ping; ``pong`` is the answer to write."""

    pong: bytes = b"\r\n"


class StreamFramer:
    """Bytes in, whole messages out. After a SipError the place in the stream is lost: answer, then close."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # the end of the head is not before this: the buffer is scanned once however it trickles in
        self._fault: SipError | None = None

    @property
    def is_mid_message(self) -> bool:
        return bool(self._buffer) and not _PING.startswith(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes | KeepAlive]:
        """What ``data`` completes, in order. Exhaust the iterator before the next call."""
        if self._fault is None:
            self._buffer += data
        return self._frames()

    def _frames(self) -> Iterator[bytes | KeepAlive]:
        if self._fault is not None:
            raise self._fault
        try:
            while (frame := self._next()) is not None:
                yield frame
        except SipError as fault:
            self._fault = fault
            self._buffer.clear()
            raise

    def _next(self) -> bytes | KeepAlive | None:
        buffer = self._buffer
        if buffer.startswith(_PING):
            del buffer[: len(_PING)]
            return KeepAlive()
        if buffer.startswith(b"\r\n"):
            if _PING.startswith(buffer):  # a pong, or the first half of a ping: the next bytes will tell
                return None
            del buffer[:2]
        end = buffer.find(_END_OF_HEAD, self._searched)
        if end < 0 or end > MAX_HEAD_BYTES:
            self._searched = max(0, len(buffer) - len(_END_OF_HEAD) + 1)
            if len(buffer) > MAX_HEAD_BYTES:
                raise SipError(513, f"Headers are longer than {MAX_HEAD_BYTES} bytes", _excerpt(buffer))
            return None
        total = end + len(_END_OF_HEAD) + self._body_length(end)
        if len(buffer) < total:
            self._searched = end
            return None
        message = bytes(buffer[:total])
        del buffer[:total]
        self._searched = 0
        return message

    def _body_length(self, end: int) -> int:
        head = bytes(self._buffer[:end])
        lengths = _CONTENT_LENGTH.findall(head)
        if len(lengths) != 1:
            raise self._refusal(400, "Content-Length must be there exactly once on a stream", head)
        text = lengths[0].strip()
        if not _LENGTH.fullmatch(text):
            raise self._refusal(400, "Malformed Content-Length", head)
        if end + len(_END_OF_HEAD) + int(text) > MAX_MESSAGE_BYTES:
            raise self._refusal(413, f"Message is longer than {MAX_MESSAGE_BYTES} bytes", head)
        return int(text)

    def _refusal(self, status: int, reason: str, head: bytes) -> SipError:
        return SipError(status, reason, _excerpt(head), request=partial_request(head))


def is_keep_alive(datagram: bytes) -> bool:
    """Nothing but line ends or NULs: phones send these over UDP to keep a NAT binding open. No answer is due."""
    return not datagram.strip(b"\r\n\0 ")


def _excerpt(data: bytes | bytearray) -> str:
    return bytes(data[:200]).decode("utf-8", "surrogateescape")
