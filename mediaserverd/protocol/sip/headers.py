"""The values of single headers: parse and print (RFC 3261 section 20, RFC 3581, RFC 3326).

A class a header family. Addresses (From, To, Contact, Route...) are ``uri.NameAddress``. Not here: how headers stand in
a message (``message``), what digest values prove (``digest``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mediaserverd.protocol.sip.grammar import (
    NO_PARAMETERS,
    QUOTED,
    TOKEN_CHARACTERS,
    VISIBLE,
    Parameters,
    SipError,
    is_token,
    parse_number,
    quote,
    split_list,
)
from mediaserverd.protocol.sip.uri import HOST, host_port, read_host, read_port

MAX_CSEQ = 2**31 - 1  # RFC 3261 8.1.1.5: less than 2**31
MAX_SECONDS = 2**32 - 1  # RFC 3261 20.19: Expires and its kin
MAX_HOPS = 255  # RFC 3261 20.22

_TOKEN = f"[{TOKEN_CHARACTERS}]++"
_LWS = r"[ \t]*+"
_VIA = re.compile(
    rf"{_LWS}SIP{_LWS}/{_LWS}({_TOKEN}){_LWS}/{_LWS}({_TOKEN})[ \t]++"
    rf"{HOST}{_LWS}(?::{_LWS}([0-9]{{1,5}}))?(?=[ \t;]|\Z)",
    re.IGNORECASE,
)
_CSEQ = re.compile(rf"([0-9]++)[ \t]++({_TOKEN})")
_MEDIA_TYPE = re.compile(rf"({_TOKEN}){_LWS}/{_LWS}({_TOKEN})")
_RETRY_AFTER = re.compile(r"([0-9]++)[ \t]*+(?:\(((?:[^()\\]++|\\.)*+)\))?", re.DOTALL)
_SCHEME = re.compile(rf"({_TOKEN})[ \t]++")
_AUTH_PARAMETER = re.compile(
    rf"{_LWS}({_TOKEN}){_LWS}={_LWS}({QUOTED}|{VISIBLE}++){_LWS}(,|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Via:
    """``protocol`` is the transport in upper case (``UDP``); an IPv6 ``host`` has no brackets."""

    protocol: str
    host: str
    port: int | None = None
    parameters: Parameters = NO_PARAMETERS
    version: str = "2.0"

    @classmethod
    def parse(cls, text: str) -> Via:
        found = _VIA.match(text)
        if found is None:
            raise SipError(400, "Malformed Via", text)
        version, protocol, six, name, port = found.groups()
        parameters = Parameters.parse(text.rstrip(" \t"), found.end()) if found.end() < len(text) else NO_PARAMETERS
        return cls(protocol.upper(), read_host(six, name), read_port(port), parameters, version)

    def __str__(self) -> str:
        return f"SIP/{self.version}/{self.protocol} {host_port(self.host, self.port)}{self.parameters}"

    @property
    def branch(self) -> str | None:
        return self.parameters.get("branch")

    @property
    def received(self) -> str | None:
        """The address without brackets: IPv6 is seen with and without (RFC 5118 4.5)."""
        value = self.parameters.get("received")
        return value.strip("[]") if value else None

    @property
    def wants_rport(self) -> bool:
        return "rport" in self.parameters

    @property
    def rport(self) -> int | None:
        """The port that a server has filled in (RFC 3581)."""
        value = self.parameters.get("rport")
        return int(value) if value and re.fullmatch(r"[0-9]{1,5}", value) and int(value) < 65536 else None

    @property
    def sent_by(self) -> str:
        return host_port(self.host, self.port)

    def with_source(self, address: str, port: int) -> Via:
        """What a server adds on receipt: ``received`` if the sender named itself otherwise, ``rport`` if asked for."""
        parameters = self.parameters
        if self.wants_rport:
            parameters = parameters.with_("rport", str(port))
        if self.wants_rport or address != self.host:
            parameters = parameters.with_("received", address)
        return replace(self, parameters=parameters)


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        found = _CSEQ.fullmatch(text)
        if found is None:
            raise SipError(400, "Malformed CSeq", text)
        return cls(parse_number(found[1], "CSeq number", MAX_CSEQ), found[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class MediaType:
    """Content-Type: ``application/sdp;charset=utf-8``."""

    type: str
    subtype: str
    parameters: Parameters = NO_PARAMETERS

    @classmethod
    def parse(cls, text: str) -> MediaType:
        found = _MEDIA_TYPE.match(text)
        if found is None:
            raise SipError(400, "Malformed Content-Type", text)
        return cls(found[1], found[2], Parameters.parse(text.rstrip(" \t"), found.end()))

    def __str__(self) -> str:
        return f"{self.type}/{self.subtype}{self.parameters}"

    @property
    def essence(self) -> str:
        """``application/sdp``: lower case, no parameters."""
        return f"{self.type}/{self.subtype}".lower()


@dataclass(frozen=True, slots=True)
class RetryAfter:
    seconds: int
    comment: str = ""
    parameters: Parameters = NO_PARAMETERS

    @classmethod
    def parse(cls, text: str) -> RetryAfter:
        found = _RETRY_AFTER.match(text)
        if found is None:
            raise SipError(400, "Malformed Retry-After", text)
        parameters = Parameters.parse(text.rstrip(" \t"), found.end())
        return cls(parse_number(found[1], "Retry-After", MAX_SECONDS), found[2] or "", parameters)

    def __str__(self) -> str:
        return f"{self.seconds}" + (f" ({self.comment})" if self.comment else "") + str(self.parameters)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a request was sent (RFC 3326): ``SIP;cause=200;text="Call completed elsewhere"``."""

    protocol: str
    cause: int | None = None
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Reason:
        protocol, semicolon, rest = text.partition(";")
        if not is_token(protocol.strip(" \t")):
            raise SipError(400, "Malformed Reason", text)
        parameters = Parameters.parse((semicolon + rest).rstrip(" \t"))
        cause = parameters.get("cause")
        number = None if cause is None else parse_number(cause, "Cause", 999)
        return cls(protocol.strip(" \t"), number, parameters.get("text") or "")

    def __str__(self) -> str:
        parameters = Parameters()
        if self.cause is not None:
            parameters = parameters.with_("cause", str(self.cause))
        return self.protocol + str(parameters) + (f";text={quote(self.text)}" if self.text else "")


@dataclass(frozen=True, slots=True)
class Challenge:
    """WWW-Authenticate, Proxy-Authenticate. ``parameters`` keep the quotes they were written with."""

    scheme: str
    parameters: Parameters

    @classmethod
    def parse(cls, text: str) -> Challenge:
        return cls(*_parse_auth(text))

    def __str__(self) -> str:
        return _print_auth(self.scheme, self.parameters)

    @property
    def realm(self) -> str:
        return self.parameters.get("realm") or ""

    @property
    def nonce(self) -> str:
        return self.parameters.get("nonce") or ""

    @property
    def opaque(self) -> str | None:
        return self.parameters.get("opaque")

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm") or "MD5"

    @property
    def stale(self) -> bool:
        return (self.parameters.get("stale") or "").lower() == "true"

    @property
    def qop(self) -> tuple[str, ...]:
        """The qualities offered, in lower case; empty from a server of RFC 2069's time."""
        return tuple(
            option.strip().lower() for option in (self.parameters.get("qop") or "").split(",") if option.strip()
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """Authorization, Proxy-Authorization. ``parameters`` keep the quotes they were written with."""

    scheme: str
    parameters: Parameters

    @classmethod
    def parse(cls, text: str) -> Credentials:
        return cls(*_parse_auth(text))

    def __str__(self) -> str:
        return _print_auth(self.scheme, self.parameters)

    @property
    def username(self) -> str:
        return self.parameters.get("username") or ""

    @property
    def realm(self) -> str:
        return self.parameters.get("realm") or ""

    @property
    def nonce(self) -> str:
        return self.parameters.get("nonce") or ""

    @property
    def uri(self) -> str:
        return self.parameters.get("uri") or ""

    @property
    def response(self) -> str:
        return self.parameters.get("response") or ""

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm") or "MD5"

    @property
    def qop(self) -> str | None:
        value = self.parameters.get("qop")
        return value.lower() if value else None

    @property
    def cnonce(self) -> str:
        return self.parameters.get("cnonce") or ""

    @property
    def nonce_count(self) -> str:
        """As written, because the digest is over the text: eight hex digits."""
        return self.parameters.get("nc") or ""


def parse_tokens(text: str) -> tuple[str, ...]:
    """Allow, Supported, Require...: a list of tokens that may be empty (RFC 3261 20.5)."""
    tokens = tuple(element for element in split_list(text) if element)
    if not all(is_token(token) for token in tokens):
        raise SipError(400, "Malformed list of tokens", text)
    return tokens


def parse_seconds(text: str) -> int:
    """Expires, Min-Expires."""
    return parse_number(text, "Time", MAX_SECONDS)


def parse_hops(text: str) -> int:
    return parse_number(text, "Max-Forwards", MAX_HOPS)


def _parse_auth(text: str) -> tuple[str, Parameters]:
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise SipError(400, "Malformed credentials or challenge", text)
    written: dict[str, tuple[str, str | None]] = {}
    position, more = scheme.end(), True
    while more:
        found = _AUTH_PARAMETER.match(text, position)
        if found is None or found[1].lower() in written:
            raise SipError(400, "Malformed credentials or challenge", text[position:])
        written[found[1].lower()] = (found[1], found[2])
        position, more = found.end(), found[3] == ","
    return scheme[1], Parameters.from_written(written)


def _print_auth(scheme: str, parameters: Parameters) -> str:
    return f"{scheme} " + ", ".join(f"{name}={value}" for name, value in parameters.written())
