"""SIP messages: bytes <-> Request and Response (RFC 3261 sections 7, 8.2.6, 18.3).

What ``parse_message`` returns may be trusted in all that routing and dialogs need: it has checked Via, From, To,
Call-ID, CSeq, Contact, Route, Record-Route, Max-Forwards and Content-Type. Other headers are parsed when they are asked
for and may raise SipError then. Not here: what is supported (methods, extensions, URI schemes): the layers above know.

``Content-Length`` is not among the headers of a message: ``body`` has that length, and ``encode`` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from mediaserverd.protocol.sip.fields import NO_HEADERS, Headers
from mediaserverd.protocol.sip.grammar import TOKEN_CHARACTERS, SipError, is_token, parse_number
from mediaserverd.protocol.sip.headers import (
    Challenge,
    Credentials,
    CSeq,
    MediaType,
    Via,
    parse_hops,
    parse_seconds,
    parse_tokens,
)
from mediaserverd.protocol.sip.names import REASONS, is_known_name
from mediaserverd.protocol.sip.uri import NameAddress, Uri

__all__ = ["MAX_MESSAGE_BYTES", "Headers", "Request", "Response", "parse_message", "partial_request"]

Value = TypeVar("Value")

MAX_MESSAGE_BYTES = 65535  # what a UDP datagram can carry; on streams the same, so that a message fits every transport
MAX_HEADER_LINES = 256  # RFC 4475 3.1.1.7 has 60; with a Via a hop, Max-Forwards ends a message long before this
MAX_HEADER_CHARACTERS = 8192  # one header, unfolded: holds the longest Identity and Route headers seen in the field

_SINGLE = ("From", "To", "Call-ID", "CSeq")  # exactly once in every message (RFC 3261 8.1.1)

_FOLD = re.compile(r"[ \t]*\r\n[ \t]+")
_REQUEST_LINE = re.compile(rf"([{TOKEN_CHARACTERS}]+) ([^ \t]+) SIP/([0-9]+\.[0-9]+)", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/([0-9]+\.[0-9]+) ([0-9]{3})(?: (.*))?", re.IGNORECASE | re.DOTALL)
_CALL_ID = re.compile(r"[^\x00-\x20\x7f]+")


class _Message:
    """What requests and responses share: the headers that transactions and dialogs live on."""

    __slots__ = ()

    headers: Headers
    body: bytes

    @property
    def via(self) -> tuple[Via, ...]:
        return self.headers.all("Via", Via.parse)

    @property
    def top_via(self) -> Via:
        return _present(self.via[0] if self.via else None, "Via")

    @property
    def from_(self) -> NameAddress:
        return _present(self.headers.one("From", NameAddress.parse), "From")

    @property
    def to(self) -> NameAddress:
        return _present(self.headers.one("To", NameAddress.parse), "To")

    @property
    def call_id(self) -> str:
        return _present(self.headers.get("Call-ID"), "Call-ID")

    @property
    def cseq(self) -> CSeq:
        return _present(self.headers.one("CSeq", CSeq.parse), "CSeq")

    @property
    def contacts(self) -> tuple[NameAddress, ...]:
        """Empty for ``Contact: *`` too: see ``has_star_contact``."""
        return () if self.has_star_contact else self.headers.all("Contact", NameAddress.parse)

    @property
    def has_star_contact(self) -> bool:
        return self.headers.get_all("Contact") == ("*",)

    @property
    def max_forwards(self) -> int | None:
        return self.headers.one("Max-Forwards", parse_hops)

    @property
    def route(self) -> tuple[NameAddress, ...]:
        return self.headers.all("Route", NameAddress.parse)

    @property
    def record_route(self) -> tuple[NameAddress, ...]:
        return self.headers.all("Record-Route", NameAddress.parse)

    @property
    def content_type(self) -> MediaType | None:
        return self.headers.one("Content-Type", MediaType.parse)

    @property
    def expires(self) -> int | None:
        return self.headers.one("Expires", parse_seconds)

    def tokens(self, name: str) -> tuple[str, ...]:
        """Allow, Supported, Require, Proxy-Require, Unsupported."""
        return tuple(token for value in self.headers.get_all(name) for token in parse_tokens(value))


@dataclass(frozen=True, slots=True)
class Request(_Message):
    method: str
    uri: Uri
    headers: Headers = NO_HEADERS
    body: bytes = b""

    @property
    def credentials(self) -> tuple[Credentials, ...]:
        """The digest credentials from Authorization and Proxy-Authorization; other schemes are passed over."""
        names = ("Authorization", "Proxy-Authorization")
        texts = (text for name in names for text in self.headers.get_all(name))
        return tuple(Credentials.parse(text) for text in texts if text[:6].lower() == "digest")

    def encode(self) -> bytes:
        return _encode(f"{self.method} {self.uri} SIP/2.0", self.headers, self.body)

    def response(
        self,
        status: int,
        reason: str = "",
        *,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, object]] = (),
        body: bytes = b"",
    ) -> Response:
        """The response with what RFC 3261 8.2.6 and 12.1.1 have it copy. Works on a partly parsed request too."""
        copied: list[tuple[str, object]] = [("Via", value) for value in self.headers.get_all("Via")]
        if 100 < status < 300:
            copied += [("Record-Route", value) for value in self.headers.get_all("Record-Route")]
        copied += [(name, value) for name in _SINGLE if (value := self.headers.get(name)) is not None]
        if status == 100:
            copied += [("Timestamp", value) for value in self.headers.get_all("Timestamp")]
        made = Headers([*copied, *headers])
        if to_tag is not None and status != 100:
            made = _with_to_tag(made, to_tag)
        return Response(status, reason or REASONS.get(status, ""), made, body)


@dataclass(frozen=True, slots=True)
class Response(_Message):
    status: int
    reason: str = ""
    headers: Headers = NO_HEADERS
    body: bytes = b""

    @property
    def challenges(self) -> tuple[Challenge, ...]:
        """The digest challenges from WWW-Authenticate and Proxy-Authenticate; other schemes are passed over."""
        names = ("WWW-Authenticate", "Proxy-Authenticate")
        texts = (text for name in names for text in self.headers.get_all(name))
        return tuple(Challenge.parse(text) for text in texts if text[:6].lower() == "digest")

    def encode(self) -> bytes:
        return _encode(f"SIP/2.0 {self.status} {self.reason}", self.headers, self.body)


def parse_message(data: bytes) -> Request | Response:
    """One datagram, or one message cut from a stream. Raises SipError."""
    head, blank_line, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    lines, defect = _split_lines(head.removesuffix(b"\r\n"))
    headers, bad_header = _parse_headers(lines[1:])
    defect = defect or bad_header
    if len(data) > MAX_MESSAGE_BYTES:
        defect = SipError(513, f"Message is longer than {MAX_MESSAGE_BYTES} bytes")
    elif not blank_line and defect is None:
        defect = SipError(400, "No empty line after the headers", lines[-1])
    if lines[0][:4].upper() == "SIP/":
        return _parse_response(lines[0], headers, body, defect)
    return _parse_request(lines[0], headers, body, defect)


def partial_request(head: bytes) -> Request | None:
    """What a refusal can be made from, of a message whose body never came; None if no answer is due or possible."""
    lines, _ = _split_lines(head)
    headers, _ = _parse_headers(lines[1:])
    return _answerable(lines[0], headers)


def _parse_request(line: str, headers: Headers, body: bytes, defect: SipError | None) -> Request:
    try:
        method, uri = _parse_request_line(line)
        if defect is not None:
            raise defect
        request = Request(method, uri, headers.without("Content-Length"))
        _check_headers(request)
        if request.cseq.method != method:
            raise SipError(400, "CSeq method is not the request's", str(request.cseq))
        return replace(request, body=_cut_body(headers, body))
    except SipError as error:
        error.request = _answerable(line, headers)
        raise


def _parse_response(line: str, headers: Headers, body: bytes, defect: SipError | None) -> Response:
    found = _STATUS_LINE.fullmatch(line)
    if found is None or found[1] != "2.0" or not 100 <= int(found[2]) <= 699:
        raise SipError(400, "Malformed status line", line)
    if defect is not None:
        raise defect
    response = Response(int(found[2]), found[3] or "", headers.without("Content-Length"))
    _check_headers(response)
    return replace(response, body=_cut_body(headers, body))


def _parse_request_line(line: str) -> tuple[str, Uri]:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise SipError(400, "Malformed request line", line)
    if found[3] != "2.0":
        raise SipError(505, REASONS[505], line)
    uri = Uri.parse(found[2])
    if uri.headers:
        raise SipError(400, "Request-URI has headers", found[2])
    return found[1], uri


def _split_lines(head: bytes) -> tuple[list[str], SipError | None]:
    start_line, line_end, text = head.decode("utf-8", "surrogateescape").partition("\r\n")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    text = start_line + line_end + text
    lines = text.split("\r\n")
    # A bare CR or LF is a line end to some and not to others, so it could hide a header from us.
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends:
        return lines, SipError(400, "Line does not end with CR LF", lines[0])
    return lines, None


def _parse_headers(lines: list[str]) -> tuple[Headers, SipError | None]:
    """All headers that can be read, and the first defect: what is sound still serves to answer the sender."""
    items: list[tuple[str, str]] = []
    defect: SipError | None = None
    if len(lines) > MAX_HEADER_LINES:
        defect = SipError(400, f"More than {MAX_HEADER_LINES} headers")
    for line in lines[:MAX_HEADER_LINES]:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if len(line) > MAX_HEADER_CHARACTERS:
            defect = defect or SipError(400, f"Header is longer than {MAX_HEADER_CHARACTERS} characters", line)
        elif not colon or not (is_known_name(name) or is_token(name)):
            defect = defect or SipError(400, "Malformed header", line)
        elif "\r" in value or "\n" in value:
            pass  # the defect was found by _split_lines
        else:
            items.append((name, value.strip(" \t")))
    return Headers(items), defect


def _cut_body(headers: Headers, body: bytes) -> bytes:
    """RFC 3261 18.3: bytes after the body are dropped, a body cut short is an error."""
    lengths = headers.get_all("Content-Length")
    if not lengths:
        return body
    if len(lengths) > 1:
        raise SipError(400, "More than one Content-Length", ", ".join(lengths))
    length = parse_number(lengths[0], "Content-Length", 2**32 - 1)
    if length > len(body):
        raise SipError(400, "Content-Length is longer than the body", lengths[0])
    return body[:length]


def _check_headers(message: Request | Response) -> None:
    headers = message.headers
    for name in _SINGLE:
        if len(headers.get_all(name)) != 1:
            raise SipError(400, f"{name} must be there exactly once", ", ".join(headers.get_all(name)))
    for name in ("Max-Forwards", "Content-Type"):
        if len(headers.get_all(name)) > 1:
            raise SipError(400, f"More than one {name}", ", ".join(headers.get_all(name)))
    if not message.via:
        raise SipError(400, "No Via")
    if not _CALL_ID.fullmatch(message.call_id):
        raise SipError(400, "Malformed Call-ID", message.call_id)
    # Reading them is the check; what was read is kept.
    _ = (message.from_, message.to, message.cseq, message.contacts, message.max_forwards)
    _ = (message.route, message.record_route, message.content_type)


def _answerable(line: str, headers: Headers) -> Request | None:
    """The request for a refusal to be made from: it needs a Via to go to, and an ACK is never answered."""
    method, _, uri = line.partition(" ")
    try:
        via = headers.all("Via", Via.parse)
    except SipError:
        return None
    if not via or not is_token(method) or method == "ACK":
        return None
    return Request(method, Uri("", opaque=uri.removesuffix(" SIP/2.0")), headers)


def _with_to_tag(headers: Headers, tag: str) -> Headers:
    try:
        to = headers.one("To", NameAddress.parse)
    except SipError:
        return headers
    return headers if to is None or to.tag is not None else headers.with_("To", to.with_tag(tag))


def _encode(start_line: str, headers: Headers, body: bytes) -> bytes:
    lines = [start_line, *(f"{name}: {value}" for name, value in headers if name != "Content-Length")]
    text = "\r\n".join(lines)
    # Nothing that we were given may end a line and so smuggle in a header of its own.
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError(f"line break within a SIP header: {text!r}")
    return f"{text}\r\nContent-Length: {len(body)}\r\n\r\n".encode("utf-8", "surrogateescape") + body


def _present(value: Value | None, name: str) -> Value:
    if value is None:
        raise SipError(400, f"No {name}")
    return value
