"""Offer and answer: what changed, what is held, who owns o=."""

from __future__ import annotations

import pytest

from mediaserverd.protocol import sdp
from mediaserverd.protocol.negotiation import (
    Change,
    OwnedSession,
    Side,
    changes,
    common_codecs,
    is_hold,
    refusal,
    voice_codec,
)
from mediaserverd.protocol.sdp import Direction, Origin, SessionDescription


def described(*media: str, address: str = "192.0.2.1", version: int = 1) -> SessionDescription:
    parts = media or ("m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",)
    top = f"v=0\r\no=phone 7 {version} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    return sdp.parse(top + "".join(parts))


@pytest.mark.parametrize(
    ("direction", "held"),
    [
        (Direction.SENDRECV, False),
        (Direction.RECVONLY, False),
        (Direction.SENDONLY, True),
        (Direction.INACTIVE, True),
    ],
)
def test_hold_means_that_the_sender_listens_to_nothing(direction: Direction, held: bool) -> None:
    assert is_hold(described().with_direction(direction)) is held


def test_a_zero_address_is_hold_and_refused_streams_are_not() -> None:
    assert is_hold(described(address="0.0.0.0"))
    assert not is_hold(described("m=audio 0 RTP/AVP 0\r\na=inactive\r\n"))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (described(version=2), set()),
        (described().with_direction(Direction.SENDONLY), {Change.HOLD}),
        (described(address="0.0.0.0"), {Change.HOLD}),
        (described(address="192.0.2.2"), {Change.ADDRESS}),
        (described("m=audio 4002 RTP/AVP 8\r\n"), {Change.ADDRESS, Change.CODECS}),
        (
            described("m=audio 4000 RTP/AVP 0\r\n", "m=video 4004 RTP/AVP 31\r\n"),
            {Change.STREAMS, Change.CODECS},
        ),
    ],
)
def test_what_a_new_description_changed_is_named(new: SessionDescription, expected: set[Change]) -> None:
    assert changes(described(), new) == expected


def test_a_description_that_listens_again_resumes() -> None:
    assert changes(described().with_direction(Direction.INACTIVE), described()) == {Change.RESUME}


def test_common_codecs_are_the_answers_in_its_order_and_numbers() -> None:
    offer = described("m=audio 4000 RTP/AVP 0 8 97\r\na=rtpmap:97 opus/48000/2\r\n").media[0]
    answer = described("m=audio 4000 RTP/AVP 111 18 8\r\na=rtpmap:111 OPUS/48000/2\r\n").media[0]
    assert [(codec.payload_type, codec.name) for codec in common_codecs(offer, answer)] == [(111, "OPUS"), (8, "PCMA")]


def test_the_voice_codec_is_the_first_that_carries_voice() -> None:
    answer = described("m=audio 4000 RTP/AVP 101 13 8\r\na=rtpmap:101 telephone-event/8000\r\n")
    assert str(voice_codec(answer)) == "PCMA/8000"
    assert voice_codec(described("m=audio 0 RTP/AVP 0\r\n")) is None


def test_a_refusal_names_every_stream_of_the_offer_with_port_zero() -> None:
    offer = described("m=audio 4000 RTP/AVP 0\r\na=x\r\n", "m=image 4002 udptl t38\r\n")
    answer = refusal(offer, Origin("-", 1, 1, "192.0.2.9"))
    assert [str(each) for each in map(sdp.MediaDescription.printed_lines, answer.media)] == [
        "['m=audio 0 RTP/AVP 0']",
        "['m=image 0 udptl t38']",
    ]


def test_our_o_line_stays_and_its_version_grows_only_with_new_content() -> None:
    session = OwnedSession(Origin("-", 99, 1, "203.0.113.1"))
    session, first = session.stamped(described(version=5))
    assert str(first.origin) == "o=- 99 1 IN IP4 203.0.113.1"
    session, same = session.stamped(described(version=6))
    assert same == first
    session, held = session.stamped(described().with_direction(Direction.INACTIVE))
    session, back = session.stamped(described(version=5))
    assert (held.origin.version, back.origin.version) == (2, 3)


def test_each_side_knows_the_other() -> None:
    assert (Side.CALLER.other, Side.CALLED.other) == (Side.CALLED, Side.CALLER)
