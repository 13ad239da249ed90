"""Fuzz targets of protocol/sip."""

from __future__ import annotations

from collections.abc import Callable

from mediaserverd.protocol.sip.digest import A1, Accepted, NonceCounts, authorize, verify
from mediaserverd.protocol.sip.framing import MAX_HEAD_BYTES, KeepAlive, StreamFramer
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.headers import Challenge, Credentials, CSeq, MediaType, Reason, RetryAfter, Via
from mediaserverd.protocol.sip.message import Headers, Request, parse_message
from mediaserverd.protocol.sip.uri import NameAddress, Uri
from tests.fuzz.registry import target
from tests.protocol.sip.rfc4475 import TORTURE

MESSAGES = tuple(case.wire for case in TORTURE)
URIS = (
    b"sip:alice:secret@atlanta.example.com:5070;transport=tcp;lr?a=b&c=d", b"sips:+1-212;ext=1@[2001:db8::1]:5061",
    b"tel:+358-555-1234567;postd=pp22", b"urn:service:sos", b"sip:%61%00%ff@a_b.example.", b"sip:a;b?c@d;e=f?g=h",
)  # fmt: skip
DIGESTS = (
    b'Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256, stale=true, opaque="o"',
    b'Digest username="a", realm="r", nonce="n", uri="sip:r", response="00", qop=auth, nc=00000001, cnonce="c"',
)
PARSERS: dict[str, Callable[[str], object]] = {
    "Via": Via.parse, "From": NameAddress.parse, "To": NameAddress.parse, "Contact": NameAddress.parse,
    "Route": NameAddress.parse, "CSeq": CSeq.parse, "Content-Type": MediaType.parse, "Retry-After": RetryAfter.parse,
    "Reason": Reason.parse, "Authorization": Credentials.parse, "WWW-Authenticate": Challenge.parse,
}  # fmt: skip
HEADERS = (
    *(f"{name}: {value}".encode("utf-8", "surrogateescape") for name, value in (
        ("Via", "SIP / 2.0 / UDP [2001:db8::9:1]:6050;received=[::1];branch=z9hG4bK1;rport=99"),
        ("From", '"A \\"B\\" é" <sip:a@b;lr>;tag=1;x="y;z"'), ("To", "Alice Bob<tel:+1>;q=0.1"),
        ("Contact", 'sip:a@b;+sip.instance="<urn:uuid:1>"'), ("CSeq", "009 INVITE"),
        ("Content-Type", 'multipart/mixed; boundary="a b"'), ("Retry-After", "5 (in a \\( meeting);duration=60"),
        ("Reason", 'Q.850;cause=16;text="Terminated"'),
    )),
    *(b"WWW-Authenticate: " + digest for digest in DIGESTS), *(b"Authorization: " + digest for digest in DIGESTS),
)  # fmt: skip


@target("sip-message", MESSAGES)
def sip_message(data: bytes) -> None:
    """A message whose print parses to an equal message, or a SipError (answerable if it says so); nothing else."""
    try:
        message = parse_message(data)
    except SipError as error:
        if error.request is not None:
            error.request.response(error.status, error.reason, to_tag="t", headers=error.headers).encode()
        return
    assert parse_message(message.encode()) == message
    _ = (message.via, message.from_, message.to, message.cseq, message.call_id, message.contacts, message.route)
    _ = (message.record_route, message.max_forwards, message.content_type)  # checked already: these never raise
    if isinstance(message, Request):
        response = message.response(200, to_tag="t")
        assert parse_message(response.encode()) == response


@target("sip-stream", MESSAGES)
def sip_stream(data: bytes) -> None:
    """The same frames and the same fault whatever the pieces; what is held back is never longer than the limits."""
    assert _frames(data, len(data) or 1) == _frames(data, 1 + len(data) // 7) == _frames(data, 1 + len(data) // 300)


@target("sip-uri", URIS)
def sip_uri(data: bytes) -> None:
    """A URI whose print parses to an equal URI that matches it, or a SipError; nothing else."""
    try:
        uri = Uri.parse(data.decode("utf-8", "surrogateescape"))
    except SipError:
        return
    assert Uri.parse(str(uri)) == uri
    assert uri.matches(uri)
    assert Uri.parse(uri.address_of_record).address_of_record == uri.address_of_record
    assert "\r" not in str(uri)
    assert "\n" not in str(uri)


@target("sip-header", HEADERS)
def sip_header(data: bytes) -> None:
    """A value whose print parses to an equal value, or a SipError; nothing else."""
    name, _, text = data.decode("utf-8", "surrogateescape").partition(": ")
    for parse in (PARSERS[name],) if name in PARSERS else PARSERS.values():
        try:
            values = Headers([("X", text)]).all("X", parse)
        except SipError:
            continue
        for value in values:
            assert parse(str(value)) == value, value


@target("sip-digest", DIGESTS)
def sip_digest(data: bytes) -> None:
    """No credentials that were not made with the password are accepted, and no challenge breaks the client."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        credentials, challenge = Credentials.parse(text), Challenge.parse(text)
    except SipError:
        return
    verdict = verify(credentials, "REGISTER", A1("", ""), realm="r", key=b"k", now=0.0, counts=NonceCounts())
    assert not isinstance(verdict, Accepted)
    made = authorize([challenge], "REGISTER", "sip:r", "a", "b", cnonce="c")
    assert made is None or Credentials.parse(str(made)) == made


def _frames(data: bytes, size: int) -> tuple[list[bytes | KeepAlive], str]:
    framer = StreamFramer()
    found: list[bytes | KeepAlive] = []
    try:
        for at in range(0, len(data), size):
            found += framer.feed(data[at : at + size])
    except SipError as error:
        return found, f"{error.status} {error.reason}"
    assert len(framer._buffer) <= MAX_HEAD_BYTES + 65536
    return found, ""
