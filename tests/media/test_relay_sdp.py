"""What a description becomes when its audio runs through the server."""

from __future__ import annotations

import pytest

from mediaserverd.media.relay_sdp import Audio, audio_of, relayed
from mediaserverd.protocol import sdp

PHONE = """v=0
o=alice 7 3 IN IP4 10.0.0.5
s=call
c=IN IP4 10.0.0.5
t=0 0
a=group:BUNDLE 0 1
a=ice-lite
m=audio 4000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=rtcp:4009
a=rtcp-mux
a=candidate:1 1 UDP 2130706431 10.0.0.5 4000 typ host
a=ice-ufrag:x
a=ice-pwd:y
a=sendonly
m=video 4002 RTP/AVP 96
c=IN IP4 10.0.0.6
a=rtpmap:96 H264/90000
"""


def rewritten(text: str = PHONE, **options: bool) -> list[str]:
    return str(relayed(sdp.parse(text), "192.0.2.9", 30000, **options)).split("\r\n")


def described(text: str = PHONE) -> Audio:
    audio = audio_of(sdp.parse(text))
    assert audio is not None
    return audio


def test_address_and_port_are_ours_and_codecs_and_direction_are_theirs() -> None:
    assert rewritten() == [
        "v=0",
        "o=alice 7 3 IN IP4 10.0.0.5",
        "s=call",
        "c=IN IP4 192.0.2.9",
        "t=0 0",
        "m=audio 30000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendonly",
        "m=video 0 RTP/AVP 96",
        "",
    ]


def test_what_the_audio_says_of_its_sender() -> None:
    audio = described()
    assert (audio.address, audio.port, audio.mux, audio.two_way) == ("10.0.0.5", 4000, True, False)
    assert audio.codecs == {0: "PCMU/8000", 8: "PCMA/8000", 101: "telephone-event/8000"}
    assert described(PHONE.replace("a=rtcp-mux\n", "")).rtcp_port == 4009


def test_mux_is_only_said_where_it_was_agreed() -> None:
    assert "a=rtcp-mux" not in rewritten()
    assert "a=rtcp-mux" in rewritten(mux=True)


def test_the_zero_address_still_says_hold() -> None:
    held = PHONE.replace("c=IN IP4 10.0.0.5", "c=IN IP4 0.0.0.0").replace("a=ice-ufrag:x\n", "")
    assert "c=IN IP4 0.0.0.0" in rewritten(held)
    assert "c=IN IP4 192.0.2.9" in rewritten(held, replace_zero_address=True)
    assert described(held).address is None
    assert not described(held).two_way


def test_the_origin_is_replaced_only_when_asked() -> None:
    assert "o=alice 7 3 IN IP4 192.0.2.9" in rewritten(replace_origin=True)


def test_an_ipv6_address_of_ours_makes_it_an_ipv6_description() -> None:
    lines = str(relayed(sdp.parse(PHONE), "2001:db8::9", 30000)).split("\r\n")
    assert "c=IN IP6 2001:db8::9" in lines


def test_refused_audio_stays_refused() -> None:
    refused = PHONE.replace("m=audio 4000", "m=audio 0")
    assert "m=audio 0 RTP/AVP 0 8 101" in rewritten(refused)
    assert described(refused).address is None


def test_of_two_audio_parts_the_first_is_relayed() -> None:
    two = PHONE + "m=audio 4004 RTP/AVP 0\n"
    assert [line for line in rewritten(two) if line.startswith("m=audio")] == [
        "m=audio 30000 RTP/AVP 0 8 101",
        "m=audio 0 RTP/AVP 0",
    ]


def test_a_description_without_audio_is_not_for_us() -> None:
    assert audio_of(sdp.parse("v=0\no=- 1 1 IN IP4 10.0.0.5\ns=-\nc=IN IP4 10.0.0.5\nt=0 0\n")) is None


@pytest.mark.parametrize("address", ["", "media.example.com", "10.0.0"])
def test_an_address_that_is_none_is_a_value_error(address: str) -> None:
    with pytest.raises(ValueError):
        relayed(sdp.parse(PHONE), address, 30000)
