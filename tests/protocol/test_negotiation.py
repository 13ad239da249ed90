"""Offer and answer: what changed, what is held, who owns o=."""

from __future__ import annotations

import pytest

from mediaserverd.protocol import sdp
from mediaserverd.protocol.negotiation import (
    Change,
    OwnedSession,
    Side,
    beside,
    changes,
    common_codecs,
    is_hold,
    is_still_true,
    narrowed,
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


AUDIO = "m=audio 4000 RTP/AVP {}\r\n"


def parts_of(*descriptions: SessionDescription) -> list[list[str]]:
    return [each.media[0].printed_lines() for each in descriptions]


def test_narrowed_descriptions_name_one_voice_codec_and_the_digits_beside_it_under_the_same_numbers() -> None:
    offer = described(AUDIO.format("0 96 101 121") + "a=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n"
                      "a=rtpmap:121 red/8000\r\na=fmtp:121 0/0\r\na=fmtp:96 usedtx=1\r\na=ptime:20\r\n")  # fmt: skip
    answer = described(AUDIO.format("111 0 100 121") + "a=rtpmap:111 OPUS/48000/2\r\na=rtpmap:121 red/8000\r\n"
                       "a=rtpmap:100 telephone-event/8000\r\na=fmtp:100 0-15\r\na=rtcp-fb:* nack\r\n")  # fmt: skip
    ours, theirs = parts_of(*narrowed(offer, answer))
    assert ours == [
        "m=audio 4000 RTP/AVP 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:96 usedtx=1", "a=ptime:20",
    ]  # fmt: skip
    assert theirs == [
        "m=audio 4000 RTP/AVP 96 101", "a=rtpmap:96 OPUS/48000/2", "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15", "a=rtcp-fb:* nack",
    ]  # fmt: skip


def test_narrowed_descriptions_without_a_common_voice_stay_and_a_stream_that_one_refuses_is_closed_in_both() -> None:
    video = "m=video 6000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    offer = described(AUDIO.format(0), video)
    answer = described(AUDIO.format(8), "m=video 0 RTP/AVP 96\r\n")
    ours, theirs = narrowed(offer, answer)
    assert [str(each.printed_lines()[0]) for each in ours.media] == [AUDIO.format(0).strip(), "m=video 0 RTP/AVP 96"]
    assert theirs.media[0] == answer.media[0]


def test_video_that_a_media_server_does_not_carry_goes_beside_it() -> None:
    own = described(AUDIO.format(0), "m=video 6000 RTP/AVP 96\r\n", "m=audio 7000 RTP/AVP 0\r\n")
    view = described(AUDIO.format(0), "m=video 0 RTP/AVP 96\r\n", "m=audio 0 RTP/AVP 0\r\n", address="203.0.113.9")
    seen = beside(view, own)
    assert seen.connection == view.connection
    assert seen.media[1].printed_lines() == ["m=video 6000 RTP/AVP 96", "c=IN IP4 192.0.2.1"]
    assert seen.media[2].refused, "a second voice would go past the recording"


@pytest.mark.parametrize(
    ("now", "still"),
    [
        (described(AUDIO.format("0 8")), True),
        (described(AUDIO.format("8 0")), True),
        (described(AUDIO.format("9 0")), False),
        (described(AUDIO.format("0 8")).with_direction(Direction.SENDONLY), True),
        (described(AUDIO.format("0 8"), address="0.0.0.0"), True),
        (described(AUDIO.format("0 8"), address="192.0.2.9"), False),
        (described(AUDIO.format("0 8").replace("4000", "4002")), False),
        (described(AUDIO.format("0 8").replace("4000", "0")), False),
    ],
)
def test_who_was_told_one_description_may_go_by_another_if_place_and_codec_hold(
    now: SessionDescription, still: bool
) -> None:
    assert is_still_true(described(AUDIO.format("0 8")), now) is still
