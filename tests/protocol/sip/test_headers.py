"""Single headers: the standard's own examples, and what must be refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediaserverd.protocol.sip.grammar import SipError, split_list
from mediaserverd.protocol.sip.headers import (
    Challenge,
    Credentials,
    CSeq,
    MediaType,
    Reason,
    RetryAfter,
    Via,
    parse_hops,
    parse_seconds,
    parse_tokens,
)


def test_a_via_is_taken_apart() -> None:
    via = Via.parse("SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1")
    assert (via.protocol, via.host, via.port, via.branch) == ("UDP", "first.example.com", 4000, "z9hG4bKa7c6a8dlze.1")
    assert via.sent_by == "first.example.com:4000"
    assert (via.received, via.rport, via.wants_rport) == (None, None, False)
    assert str(via) == "SIP/2.0/UDP first.example.com:4000;ttl=16;maddr=224.2.0.1;branch=z9hG4bKa7c6a8dlze.1"


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"])
def test_an_ipv6_via_is_read_with_and_without_brackets_around_received(received: str) -> None:
    via = Via.parse(f"SIP/2.0/UDP [2001:db8::9:1]:6050;received={received};branch=z9hG4bKas3-111;rport=99")
    assert (via.host, via.port, via.received, via.rport) == ("2001:db8::9:1", 6050, "2001:db8::9:255", 99)
    assert Via.parse(str(via)) == via


def test_an_rport_that_is_no_port_is_none() -> None:
    assert Via.parse("SIP/2.0/UDP a;rport=99999").rport is None
    assert Via.parse("SIP/2.0/UDP a;rport=x").rport is None


def test_credentials_and_challenges_print_as_they_were_written() -> None:
    text = (
        'Digest username="bob", realm="atlanta.example.com", nonce="ea9c8e88df84f1cec4341ae6cbe5a359", opaque="", '
        'uri="sips:ss2.biloxi.example.com", response="dfe56131d1958046689d83306477ecc", algorithm=MD5, qop=auth, '
        'nc=0000000a, cnonce="0a4f113b"'
    )
    credentials = Credentials.parse(text)
    assert str(credentials) == text
    assert (credentials.username, credentials.uri, credentials.nonce_count) == (
        "bob",
        "sips:ss2.biloxi.example.com",
        "0000000a",
    )
    challenge = Challenge.parse('Digest  realm="a, \\"b\\"" ,qop = "auth,auth-int",nonce="n",stale=TRUE')
    assert (challenge.realm, challenge.qop, challenge.stale, challenge.algorithm) == (
        'a, "b"',
        ("auth", "auth-int"),
        True,
        "MD5",
    )


def test_a_reason_is_read_and_printed() -> None:
    text = 'SIP;cause=200;text="Call completed elsewhere"'
    assert Reason.parse(text) == Reason("SIP", 200, "Call completed elsewhere")
    assert str(Reason.parse(text)) == text
    assert str(Reason.parse("Q.850 ;cause=16")) == "Q.850;cause=16"


def test_retry_after_has_a_comment_and_parameters() -> None:
    assert RetryAfter.parse("18000;duration=3600").parameters["duration"] == "3600"
    meeting = RetryAfter.parse("120 (I'm in a meeting)")
    assert (meeting.seconds, meeting.comment, str(meeting)) == (120, "I'm in a meeting", "120 (I'm in a meeting)")


def test_a_media_type_has_an_essence() -> None:
    media_type = MediaType.parse('Application / SDP; charset="utf-8"')
    assert (media_type.essence, media_type.parameters["charset"]) == ("application/sdp", "utf-8")


def test_lists_of_tokens_may_be_empty() -> None:
    assert parse_tokens("INVITE, ACK,BYE ,") == ("INVITE", "ACK", "BYE")
    assert parse_tokens("") == ()


def test_commas_in_quotes_and_brackets_do_not_separate() -> None:
    assert split_list('"a, b" <sip:x,y@c>;p="," , <sip:d>') == ['"a, b" <sip:x,y@c>;p=","', "<sip:d>"]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (Via.parse, "SIP/2.0/UDP"),
        (Via.parse, "SIP/2.0 UDP a"),
        (Via.parse, "HTTP/2.0/UDP a"),
        (Via.parse, "SIP/2.0/UDP a b"),
        (Via.parse, "SIP/2.0/UDP a:70000"),
        (Via.parse, "SIP/2.0/UDP a;;branch=1"),
        (Via.parse, "SIP/2.0/UDP [::g]"),
        (CSeq.parse, "1"),
        (CSeq.parse, "INVITE 1"),
        (CSeq.parse, "2147483648 INVITE"),
        (CSeq.parse, "٣ INVITE"),
        (CSeq.parse, "9" * 8000 + " INVITE"),
        (MediaType.parse, "application"),
        (MediaType.parse, "application/sdp x"),
        (RetryAfter.parse, "soon"),
        (RetryAfter.parse, "1 (a"),
        (Reason.parse, ";cause=1"),
        (Reason.parse, "SIP;cause=x"),
        (Challenge.parse, "Digest"),
        (Challenge.parse, 'Digest realm="a" nonce="b"'),
        (Challenge.parse, 'Digest realm="a",'),
        (Challenge.parse, 'Digest realm="a", realm="b"'),
        (Credentials.parse, 'Digest username="a'),
        (parse_tokens, "a b"),
        (parse_seconds, "-1"),
        (parse_seconds, "4294967296"),
        (parse_hops, "256"),
        (parse_hops, "²"),
    ],
)
def test_malformed_values_are_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(SipError) as caught:
        parse(text)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 300


def test_a_long_excerpt_is_cut() -> None:
    with pytest.raises(SipError) as caught:
        CSeq.parse("x" * 5000)
    assert len(caught.value.excerpt) == 81
