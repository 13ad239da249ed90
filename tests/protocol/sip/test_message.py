"""Whole messages: parse, print, answer."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.headers import CSeq, Via
from mediaserverd.protocol.sip.message import Headers, Request, Response, parse_message
from mediaserverd.protocol.sip.uri import NameAddress, Uri


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


INVITE = wire("""\
INVITE sip:bob@biloxi.example.com SIP/2.0
Via: SIP/2.0/UDP bigbox3.example.com;branch=z9hG4bK77ef4c2312983.1, SIP/2.0/UDP pc33.example.com:5062;branch=z9hG4bKnas
v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKnashds8;rport;received=192.0.2.3
Record-Route: <sip:p2.example.com;lr>, <sip:p1.example.com;lr>
Max-Forwards: 70
To: Bob <sip:bob@biloxi.example.com>
From: "Alice \\"A\\"" <sip:alice@atlanta.example.com>;tag=1928301774
Call-ID: a84b4c76e66710
CSeq: 314159 INVITE
Contact: <sip:alice@pc33.atlanta.example.com>
Content-Type: application/sdp
Content-Length: 4

v=0
""") + b"trailing bytes of the datagram"  # fmt: skip


def parse_request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def refusal_of(data: bytes) -> SipError:
    with pytest.raises(SipError) as caught:
        parse_message(data)
    return caught.value


def test_a_request_is_read() -> None:
    invite = parse_request(INVITE)
    assert invite.method == "INVITE"
    assert invite.uri == Uri("sip", "bob", host="biloxi.example.com")
    assert [via.host for via in invite.via] == ["bigbox3.example.com", "pc33.example.com", "192.0.2.1"]
    assert invite.top_via.branch == "z9hG4bK77ef4c2312983.1"
    assert invite.from_.display_name == 'Alice "A"'
    assert invite.from_.tag == "1928301774"
    assert invite.to.tag is None
    assert invite.cseq == CSeq(314159, "INVITE")
    assert [str(route) for route in invite.record_route] == ["<sip:p2.example.com;lr>", "<sip:p1.example.com;lr>"]
    assert invite.max_forwards == 70
    assert invite.contacts[0].uri.user == "alice"
    assert invite.content_type is not None
    assert invite.content_type.essence == "application/sdp"


def test_bytes_after_the_content_length_are_dropped() -> None:
    assert parse_request(INVITE).body == b"v=0\r"


def test_a_printed_message_parses_to_the_same_message() -> None:
    invite = parse_request(INVITE)
    assert parse_message(invite.encode()) == invite


def test_a_response_copies_what_rfc_3261_8_2_6_says() -> None:
    invite = parse_request(INVITE)
    ringing = invite.response(180, to_tag="xyz", headers=[("Contact", "<sip:bob@192.0.2.4>")])
    assert ringing.reason == "Ringing"
    assert ringing.via == invite.via
    assert ringing.from_ == invite.from_
    assert ringing.to == invite.to.with_tag("xyz")
    assert ringing.call_id == invite.call_id
    assert ringing.cseq == invite.cseq
    assert ringing.record_route == invite.record_route
    assert parse_message(ringing.encode()) == ringing


def test_a_100_gets_no_tag_and_a_refusal_no_record_route() -> None:
    invite = parse_request(INVITE)
    assert invite.response(100, to_tag="xyz").to.tag is None
    assert invite.response(486, to_tag="xyz").record_route == ()


def test_a_content_length_longer_than_the_datagram_is_refused_and_can_be_answered() -> None:
    error = refusal_of(INVITE.replace(b"Content-Length: 4", b"Content-Length: 4000"))
    assert error.status == 400
    assert error.request is not None
    response = error.request.response(error.status, error.reason, to_tag="t")
    assert isinstance(parse_message(response.encode()), Response)


def test_a_broken_ack_is_never_answered() -> None:
    error = refusal_of(INVITE.replace(b"INVITE", b"ACK").replace(b"Content-Length: 4", b"Content-Length: x"))
    assert error.request is None


def test_a_line_break_in_a_value_never_reaches_the_wire() -> None:
    request = parse_request(INVITE)
    smuggled = Request("BYE", request.uri, request.headers.with_("Subject", "x\r\nVia: SIP/2.0/UDP evil"))
    with pytest.raises(ValueError, match="line break"):
        smuggled.encode()


def test_a_line_that_ends_with_a_bare_line_feed_is_refused() -> None:
    assert refusal_of(INVITE.replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n")).status == 400


def test_headers_keep_their_order_and_change_in_their_place() -> None:
    headers = Headers([("Via", "1"), ("f", "a"), ("Via", "2"), ("X-Unknown", "u")])
    assert list(headers) == [("Via", "1"), ("From", "a"), ("Via", "2"), ("X-Unknown", "u")]
    assert headers.get("from") == "a"
    assert headers.get_all("v") == ("1", "2")
    assert headers.get("x-unknown") == "u"
    assert next(iter(headers.with_top("Via", "0"))) == ("Via", "0")
    assert headers.without_top("Via").get_all("Via") == ("2",)
    assert list(headers.with_("Via", "9")) == [("Via", "9"), ("From", "a"), ("X-Unknown", "u")]
    assert headers.with_added("To", "t").get("t") == "t"
    assert "Via" not in headers.without("via")


def test_a_via_takes_the_source_it_came_from() -> None:
    via = Via.parse("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bK1")
    seen = via.with_source("192.0.2.9", 40000)
    assert (seen.received, seen.rport, seen.branch) == ("192.0.2.9", 40000, "z9hG4bK1")
    plain = Via.parse("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1")
    assert plain.with_source("192.0.2.9", 5060) == plain


def test_a_star_contact_is_told_from_addresses() -> None:
    request = parse_request(INVITE.replace(b"<sip:alice@pc33.atlanta.example.com>", b"*"))
    assert request.has_star_contact
    assert request.contacts == ()


def test_a_name_address_prints_what_it_was() -> None:
    for text in ('"Mr. J. \\"x\\" User" <sip:j@[2001:db8::1]:5060;lr?a=b>;tag=1', "<tel:+358-555-1234567;postd=pp22>"):
        assert str(NameAddress.parse(text)) == text


@pytest.mark.parametrize("lines", [1, 5])
def test_a_list_without_end_is_refused_before_it_is_read(lines: int) -> None:
    contacts = b"Contact: " + b", ".join([b"<sip:a@example.com>"] * (300 // lines)) + b"\r\n"
    error = refusal_of(INVITE.replace(b"Max-Forwards", contacts * lines + b"Max-Forwards"))
    assert error.status == 400
    assert "elements" in error.reason


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        (b"X: " + b"a" * 8200 + b"\r\n", "longer than"),
        (b"X: 1\r\n" * 300, "More than 256 headers"),
        (b"X: " + b"a" * 8000 + b"\r\n", ""),
    ],
)
def test_limits_are_named_in_the_refusal(added: bytes, reason: str) -> None:
    data = INVITE.replace(b"Max-Forwards", added + b"Max-Forwards")
    if reason:
        assert reason in refusal_of(data).reason
    else:
        assert len(parse_request(data).headers.get("X") or "") == 8000


def test_a_message_longer_than_any_datagram_is_refused() -> None:
    assert refusal_of(INVITE + b"x" * 65536).status == 513


def test_a_message_without_the_empty_line_is_refused() -> None:
    assert "empty line" in refusal_of(INVITE.partition(b"\r\n\r\n")[0] + b"\r\n").reason
