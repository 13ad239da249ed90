"""SIP, SIPS and tel URIs, and the name-addr that carries them (RFC 3261 sections 19.1, 20.10; RFC 3966).

URIs of other schemes are kept whole (``opaque``). Escapes stay as written; ``user_text`` reads them. Not here: where a
URI leads (RFC 3263).

Deviations from the RFC, each seen from devices in the field and harmless to those that follow it:

- ``#`` is taken in the user part (phones dial it unescaped), ``_`` in a host, ``=`` in a parameter's value;
- an unquoted display name may hold any character that cannot be mistaken for something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address

from mediaserverd.protocol.sip.grammar import NO_PARAMETERS, QUOTED, Parameters, SipError, quote, unquote

_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
_ESCAPED = r"%[0-9A-Fa-f]{2}"
HOST = r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9.])?))"

_SIP_URI = re.compile(
    rf"(?:((?:[{_UNRESERVED}&=+$,;?/#]|{_ESCAPED})++)(?::((?:[{_UNRESERVED}&=+$,]|{_ESCAPED})*+))?@)?"
    rf"{HOST}(?::([0-9]{{1,5}}))?"
    rf"((?:;(?:[{_UNRESERVED}\[\]/:&+$=]|{_ESCAPED})++)*+)"
    rf"(?:\?((?:[{_UNRESERVED}\[\]/?:+$&=]|{_ESCAPED})++))?"
)
_TEL_URI = re.compile(
    rf"(\+?[0-9A-Fa-f*#\-.()]++)((?:;(?:[{_UNRESERVED}\[\]/:&+$=]|{_ESCAPED})++)*+)",
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*")
_OPAQUE = re.compile(rf"(?:[{_UNRESERVED};/?:@&=+$,\[\]#]|{_ESCAPED})++")
_ESCAPE = re.compile(_ESCAPED)
_ESCAPED_BYTE = re.compile(rb"%([0-9A-Fa-f]{2})")
_NOT_USER = re.compile(r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]")
_READABLE = re.compile(rf"[{_UNRESERVED}#]")  # what may stand without an escape and means the same then
_NEVER_IGNORED = ("user", "ttl", "method", "maddr", "transport")  # RFC 3261 19.1.4: in one URI only means not equal

_NAME_ADDRESS = re.compile(rf'[ \t]*(?:({QUOTED})[ \t]*|([^\x00-\x08\x0a-\x1f\x7f"<>,;:@\\]*+))<([^<>]*+)>', re.DOTALL)
_DISPLAY_TOKENS = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+(?: [A-Za-z0-9\-.!%*_+`'~]+)*")


@dataclass(frozen=True, slots=True)
class Uri:
    """``==`` compares as written; ``matches`` compares as RFC 3261 19.1.4 says. An IPv6 ``host`` has no brackets.

    ``tel:`` has its number in ``user`` and no ``host``.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    parameters: Parameters = NO_PARAMETERS
    headers: tuple[tuple[str, str], ...] = ()
    opaque: str = ""

    @classmethod
    def parse(cls, text: str) -> Uri:
        scheme, colon, rest = text.partition(":")
        lowered = scheme.lower()
        if lowered in ("sip", "sips") and colon:
            return _parse_sip(lowered, rest, text)
        if lowered == "tel" and (found := _TEL_URI.fullmatch(rest)):
            return cls("tel", user=found[1], parameters=_parse_parameters(found[2]))
        if colon and lowered != "tel" and _SCHEME.fullmatch(scheme) and _OPAQUE.fullmatch(rest):
            return cls(lowered, opaque=rest)
        raise SipError(400, "Malformed URI", text)

    def __str__(self) -> str:
        if self.opaque:
            return f"{self.scheme}:{self.opaque}" if self.scheme else self.opaque
        if self.scheme == "tel":
            return f"tel:{self.user}{self.parameters}"
        userinfo = ""
        if self.user is not None:
            userinfo = f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        headers = "?" + "&".join(f"{name}={value}" for name, value in self.headers) if self.headers else ""
        return f"{self.scheme}:{userinfo}{host_port(self.host, self.port)}{self.parameters}{headers}"

    @property
    def user_text(self) -> str:
        """The user with its escapes read: what a person calls the name or number."""
        return unescape(self.user or "")

    @property
    def transport(self) -> str | None:
        """The ``transport`` parameter in lower case."""
        value = self.parameters.get("transport")
        return value.lower() if value else None

    @property
    def address_of_record(self) -> str:
        """The key of RFC 3261 10.3 step 5: no parameters, escapes read where that is safe, host in lower case."""
        user = "" if self.user is None else _comparable(self.user) + "@"
        return f"{self.scheme}:{user}{host_port(_comparable_host(self.host), self.port)}" if self.host else str(self)

    def matches(self, other: Uri) -> bool:
        """Equal as RFC 3261 19.1.4 says. Not transitive: unknown parameters count only where both have them."""
        if self.scheme != other.scheme or self.port != other.port or self.opaque != other.opaque:
            return False
        if (self.user is None) != (other.user is None) or (self.password is None) != (other.password is None):
            return False
        return (
            _comparable(self.user or "") == _comparable(other.user or "")
            and _comparable(self.password or "") == _comparable(other.password or "")
            and _comparable_host(self.host) == _comparable_host(other.host)
            and _parameters_match(self.parameters, other.parameters)
            and _comparable_headers(self) == _comparable_headers(other)
        )


@dataclass(frozen=True, slots=True)
class NameAddress:
    """From, To, Contact, Route, Record-Route, P-Asserted-Identity...: ``"display name" <uri>;parameters``."""

    display_name: str
    uri: Uri
    parameters: Parameters = NO_PARAMETERS

    @classmethod
    def parse(cls, text: str) -> NameAddress:
        found = _NAME_ADDRESS.match(text)
        if found is None:
            return _parse_bare_address(text)
        quoted, plain, uri = found.groups()
        name = unquote(quoted) if quoted is not None else plain.strip(" \t")
        return cls(name, Uri.parse(uri), Parameters.parse(text.rstrip(" \t"), found.end()))

    def __str__(self) -> str:
        return f"{self._printed_name()}<{self.uri}>{self.parameters}"

    @property
    def tag(self) -> str | None:
        return self.parameters.get("tag")

    def with_tag(self, tag: str) -> NameAddress:
        return replace(self, parameters=self.parameters.with_("tag", tag))

    def _printed_name(self) -> str:
        if not self.display_name:
            return ""
        plain = _DISPLAY_TOKENS.fullmatch(self.display_name)
        return (self.display_name if plain else quote(self.display_name)) + " "


def unescape(text: str) -> str:
    """``%41`` -> ``A``; bytes that are not UTF-8 become surrogates, as everywhere here."""
    if "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPED_BYTE.sub(lambda found: bytes((int(found[1], 16),)), raw).decode("utf-8", "surrogateescape")


def escape_user(text: str) -> str:
    """Any text as the user part of a URI."""
    return _NOT_USER.sub(lambda found: _escape(found[0]), text)


def host_port(host: str, port: int | None) -> str:
    written = f"[{host}]" if ":" in host else host
    return written if port is None else f"{written}:{port}"


def read_host(six: str | None, name: str | None) -> str:
    """The host from the two groups of ``HOST``."""
    if six is None:
        return name or ""
    try:
        IPv6Address(six)
    except AddressValueError:
        raise SipError(400, "Malformed IPv6 address", six) from None
    return six


def read_port(text: str | None) -> int | None:
    if text is None:
        return None
    if int(text) > 65535:
        raise SipError(400, "Port is not a number from 0 to 65535", text)
    return int(text)


def _parse_sip(scheme: str, rest: str, text: str) -> Uri:
    found = _SIP_URI.fullmatch(rest)
    if found is None:
        raise SipError(400, "Malformed URI", text)
    user, password, six, name, port, parameters, headers = found.groups()
    return Uri(
        scheme,
        user,
        password,
        read_host(six, name),
        read_port(port),
        _parse_parameters(parameters),
        tuple(_parse_header(part) for part in headers.split("&")) if headers else (),
    )


def _parse_parameters(text: str) -> Parameters:
    if not text:
        return NO_PARAMETERS
    written: dict[str, tuple[str, str | None]] = {}
    for part in text[1:].split(";"):
        name, equals, value = part.partition("=")
        if not name or (equals and not value) or name.lower() in written:
            raise SipError(400, "Malformed URI parameter", text)
        written[name.lower()] = (name, value if equals else None)
    return Parameters.from_written(written)


def _parse_header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise SipError(400, "Malformed header in URI", text)
    return name, value


def _parse_bare_address(text: str) -> NameAddress:
    # Without angle brackets, parameters belong to the header, and "?" or "," may not stand at all (RFC 3261 20.10).
    uri, semicolon, parameters = text.strip(" \t").partition(";")
    if "?" in uri or "," in uri:
        raise SipError(400, "URI needs angle brackets", text)
    return NameAddress("", Uri.parse(uri.rstrip(" \t")), Parameters.parse(semicolon + parameters))


def _comparable(text: str) -> str:
    """Escapes of characters that need none are read, the others put in upper case."""
    if "%" not in text:
        return text

    def read(found: re.Match[str]) -> str:
        character = chr(int(found[0][1:], 16))
        return character if _READABLE.fullmatch(character) else found[0].upper()

    return _ESCAPE.sub(read, text)


def _comparable_host(host: str) -> str:
    return IPv6Address(host).compressed if ":" in host else host.lower()


def _parameters_match(one: Parameters, other: Parameters) -> bool:
    if any((name in one) != (name in other) for name in _NEVER_IGNORED):
        return False
    return all(_comparable_value(one[name]) == _comparable_value(other[name]) for name in one if name in other)


def _comparable_value(value: str | None) -> str | None:
    return None if value is None else _comparable(value).lower()


def _comparable_headers(uri: Uri) -> list[tuple[str, str]]:
    return sorted((_comparable(name).lower(), _comparable(value)) for name, value in uri.headers)


def _escape(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
