"""Streams: messages, keep-alives, and streams that are wrong, slow or endless."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.framing import MAX_HEAD_BYTES, KeepAlive, StreamFramer, is_keep_alive
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import MAX_MESSAGE_BYTES

HEAD = (
    b"OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP c.example.com;branch=z9hG4bK1\r\n"
    b"From: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
)
MESSAGE = HEAD + b"Content-Length: 4\r\n\r\nbody"


def framed(*pieces: bytes) -> list[bytes | KeepAlive]:
    framer = StreamFramer()
    return [frame for piece in pieces for frame in framer.feed(piece)]


def refusal_of(*pieces: bytes) -> SipError:
    with pytest.raises(SipError) as caught:
        framed(*pieces)
    return caught.value


def test_messages_back_to_back_come_out_one_by_one() -> None:
    assert framed(MESSAGE + MESSAGE + HEAD) == [MESSAGE, MESSAGE]


def test_a_message_in_single_bytes_comes_out_whole() -> None:
    assert framed(*(bytes((byte,)) for byte in MESSAGE)) == [MESSAGE]


def test_a_double_line_end_is_a_ping_however_it_arrives() -> None:
    assert framed(b"\r\n\r\n") == [KeepAlive()]
    assert framed(b"\r", b"\n\r", b"\n") == [KeepAlive()]
    assert framed(MESSAGE + b"\r\n\r\n\r\n\r\n" + MESSAGE) == [MESSAGE, KeepAlive(), KeepAlive(), MESSAGE]
    assert KeepAlive().pong == b"\r\n"


def test_a_single_line_end_before_a_message_is_passed_over() -> None:
    assert framed(b"\r\n", MESSAGE) == [MESSAGE]


def test_a_stream_between_messages_is_told_from_one_inside() -> None:
    framer = StreamFramer()
    assert not framer.is_mid_message
    assert list(framer.feed(b"\r\n")) == []
    assert not framer.is_mid_message
    assert list(framer.feed(b"OPTIONS")) == []
    assert framer.is_mid_message


def test_the_compact_and_the_folded_content_length_are_found() -> None:
    assert framed(HEAD + b"l:4\r\n\r\nbody") == [HEAD + b"l:4\r\n\r\nbody"]
    assert framed(HEAD + b"CONTENT-LENGTH \t:\r\n  4\r\n\r\nbody") == [HEAD + b"CONTENT-LENGTH \t:\r\n  4\r\n\r\nbody"]


@pytest.mark.parametrize(
    "lengths", [b"", b"Content-Length: 4\r\nl: 4\r\n", b"Content-Length: -4\r\n", b"Content-Length: 4 4\r\n"]
)
def test_without_one_sound_content_length_the_stream_is_refused_with_an_answer(lengths: bytes) -> None:
    error = refusal_of(HEAD + lengths + b"\r\nbody")
    assert error.status == 400
    assert error.request is not None
    assert error.request.call_id == "1"


def test_a_body_that_is_too_long_is_refused_before_it_is_read() -> None:
    error = refusal_of(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_MESSAGE_BYTES)
    assert error.status == 413
    assert error.request is not None


def test_endless_headers_are_cut_off() -> None:
    error = refusal_of(HEAD, *[b"X-Endless: 1\r\n" * 100] * 100)
    assert error.status == 513
    with pytest.raises(SipError):
        framed(HEAD + b"X: " + b"a" * MAX_HEAD_BYTES)


def test_after_a_fault_the_stream_stays_closed() -> None:
    framer = StreamFramer()
    with pytest.raises(SipError):
        list(framer.feed(HEAD + b"\r\n"))
    with pytest.raises(SipError):
        list(framer.feed(MESSAGE))


def test_messages_before_the_fault_still_come_out() -> None:
    frames = StreamFramer().feed(MESSAGE + HEAD + b"\r\n")
    assert next(frames) == MESSAGE
    with pytest.raises(SipError):
        next(frames)


def test_datagrams_that_only_keep_a_binding_open_are_known() -> None:
    assert is_keep_alive(b"\r\n\r\n")
    assert is_keep_alive(b"\0\0\0\0")
    assert not is_keep_alive(MESSAGE)
