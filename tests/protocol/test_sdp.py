"""Session descriptions: what is read, what is kept, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mediaserverd.protocol import sdp
from mediaserverd.protocol.sdp import Attribute, Codec, Connection, Direction, Origin, SdpError

PHONE = """v=0
o=alice 2890844526 2890844527 IN IP4 192.0.2.10
s=call
c=IN IP4 192.0.2.10
b=AS:80
t=0 0
a=sendrecv
a=tool:phone
m=audio 49170 RTP/AVP 0 8 97 101
i=voice
a=rtpmap:97 opus/48000/2
a=fmtp:97 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=rtcp:53020
m=video 0 RTP/AVP 31
x=kept
""".replace("\n", "\r\n")


def with_audio(*lines: str, session: tuple[str, ...] = ("c=IN IP4 192.0.2.10",), port: str = "4000") -> str:
    top = ("v=0", "o=- 1 1 IN IP4 192.0.2.10", "s=-", *session, "t=0 0")
    return "\r\n".join((*top, f"m=audio {port} RTP/AVP 0", *lines)) + "\r\n"


def test_a_description_is_printed_as_it_came() -> None:
    assert str(sdp.parse(PHONE)) == PHONE


def test_bytes_that_are_not_utf8_are_carried_through() -> None:
    source = PHONE.replace("s=call", "s=caf").encode().replace(b"s=caf", b"s=caf\xe9\xff")
    assert sdp.parse(source).encode() == source


def test_the_parts_of_a_description_are_read() -> None:
    found = sdp.parse(PHONE)
    audio, video = found.media
    assert found.origin == Origin("alice", 2890844526, 2890844527, "192.0.2.10")
    assert found.connection_of(audio) == Connection("192.0.2.10")
    assert (audio.port, audio.protocol, audio.formats) == (49170, "RTP/AVP", ("0", "8", "97", "101"))
    assert video.refused
    assert found.audio == audio


def test_codecs_come_in_order_of_preference_with_static_types_filled_in() -> None:
    assert sdp.parse(PHONE).media[0].codecs == (
        Codec(0, "PCMU", 8000),
        Codec(8, "PCMA", 8000),
        Codec(97, "opus", 48000, 2),
        Codec(101, "telephone-event", 8000),
    )
    assert sdp.parse(PHONE).media[0].codecs[2].parameters == "useinbandfec=1"


def test_an_unreadable_rtpmap_is_no_codec_and_no_fault() -> None:
    source = with_audio("a=rtpmap:99 opus", "a=rtpmap:x PCMU/8000", "a=rtpmap:98 /8000")
    assert sdp.parse(source.replace("RTP/AVP 0", "RTP/AVP 99 98 x 0")).media[0].codecs == (Codec(0, "PCMU", 8000),)


@pytest.mark.parametrize(
    ("session", "media", "expected"),
    [
        ((), (), Direction.SENDRECV),
        (("a=inactive",), (), Direction.INACTIVE),
        (("a=inactive",), ("a=recvonly",), Direction.RECVONLY),
        (("c=IN IP4 0.0.0.0",), (), Direction.SENDONLY),
        (("c=IN IP4 192.0.2.1",), ("c=IN IP4 0.0.0.0", "a=recvonly"), Direction.INACTIVE),
        (("c=IN IP6 ::",), ("a=ice-ufrag:abcd",), Direction.SENDRECV),
    ],
)
def test_direction_falls_back_to_the_session_and_the_zero_address_means_hold(
    session: tuple[str, ...], media: tuple[str, ...], expected: Direction
) -> None:
    found = sdp.parse(with_audio(*media, session=session))
    assert found.direction_of(found.media[0]) is expected


@pytest.mark.parametrize(
    ("lines", "port"), [((), 4001), (("a=rtcp:53020 IN IP4 192.0.2.9",), 53020), (("a=rtcp:9", "a=rtcp-mux"), 4000)]
)
def test_the_rtcp_port_follows_mux_then_attribute_then_the_next_port(lines: tuple[str, ...], port: int) -> None:
    assert sdp.parse(with_audio(*lines)).media[0].rtcp_port == port


@pytest.mark.parametrize(("text", "expected"), [("20", 20.0), ("2.5", 2.5), ("", None), ("-1", None), ("x", None)])
def test_packet_time_is_read_or_absent(text: str, expected: float | None) -> None:
    assert sdp.parse(with_audio(f"a=ptime:{text}")).media[0].packet_time_ms == expected


def test_bare_line_feeds_missing_s_and_t_and_blank_ends_are_taken() -> None:
    found = sdp.parse("v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n\n\r\n")
    assert str(found) == "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def test_repeat_times_stay_with_their_time() -> None:
    times = "t=1 2\r\nr=7d 1h 0\r\nt=3 4\r\nr=1d 1h 0\r\n"
    source = f"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{times}"
    assert str(sdp.parse(source)) == source


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("", 1, "not of the form letter=value"),
        ("v=1", 1, "a description starts with v=0"),
        ("v=0\r\ns=-", 0, "no o= line"),
        ("v=0\r\no=- 1 IN IP4 192.0.2.1", 2, "not of the form o=user id version IN IP4 address"),
        ("v=0\r\no=- 1 -1 IN IP4 192.0.2.1", 2, "session id and version are numbers"),
        ("v=0\r\no=- 1 \u0663 IN IP4 192.0.2.1", 2, "session id and version are numbers"),
        (with_audio(port="70000"), 6, "not a port"),
        (with_audio(port="4000/0"), 6, "not a port"),
        (with_audio("a="), 7, "an attribute without name"),
        (with_audio("c=IN IP4"), 7, "not of the form c=IN IP4 address"),
        (with_audio("o=- 1 1 IN IP4 192.0.2.1"), 7, "belongs before the first m= line"),
        (with_audio("a=x\0y"), 7, "a carriage return or NUL within a line"),
        (with_audio("", "a=x"), 7, "not of the form letter=value"),
        (with_audio(session=("s=two",)), 4, "given twice"),
        (with_audio(*["m=audio 4000 RTP/AVP 0"] * sdp.MAX_MEDIA), 70, f"more than {sdp.MAX_MEDIA} media parts"),
        (with_audio("a=" + "x" * sdp.MAX_BYTES), 0, f"longer than {sdp.MAX_BYTES} bytes"),
    ],
)
def test_a_fault_names_its_line_and_its_reason(source: str, line: int, reason: str) -> None:
    with pytest.raises(SdpError) as caught:
        sdp.parse(source)
    assert (caught.value.line, caught.value.reason) == (line, reason)
    assert len(caught.value.text) <= sdp.MAX_EXCERPT


def test_copies_replace_one_thing_and_keep_the_rest() -> None:
    found = sdp.parse(PHONE)
    held = found.with_direction(Direction.SENDONLY)
    assert held.attributes == (Attribute("tool", "phone"),)
    assert [held.direction_of(each) for each in held.media] == [Direction.SENDONLY] * 2
    moved = found.media[0].with_port(9).with_connection(Connection("203.0.113.1")).with_attribute("ptime", "30")
    assert (moved.port, moved.packet_time_ms, moved.codecs) == (9, 30.0, found.media[0].codecs)
    assert [each.name for each in moved.attributes] == [each.name for each in found.media[0].attributes]


LINES = PHONE.encode().splitlines(keepends=True)
MUTATED = st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=12)), max_size=24).map(b"".join)


@given(st.one_of(st.binary(max_size=200), MUTATED, MUTATED.map(lambda tail: LINES[0] + LINES[1] + tail)))
@example(b"v=0\r\no=- 1 1 IN IP4 h\r\nm=a 1 RTP 1\r\nc=IN IP4 a\r\nc=IN IP4 b\r\n")
def test_whatever_comes_is_refused_or_means_the_same_when_printed_and_read_again(source: bytes) -> None:
    try:
        found = sdp.parse(source)
    except SdpError:
        return
    assert sdp.parse(found.encode()) == found
    for each in found.media:
        assert (each.codecs, each.packet_time_ms, each.rtcp_port, found.direction_of(each)) is not None
