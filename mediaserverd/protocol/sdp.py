"""Session descriptions (RFC 8866): bytes <-> values. What a description says, not what two of them agree on
(that is ``negotiation``).

A line that this module does not know is kept and printed again in its place. Not taken literally from the RFC:

- Lines end in CRLF or LF, and empty lines at the end are ignored (9 in 10 hand-made senders).
- ``s=`` and ``t=`` may be absent; they are printed as ``s=-`` and ``t=0 0``.
- Lines may come in any order after ``v=`` within the session or one media part; they are printed in the RFC's order.
- Bytes that are not UTF-8 are carried through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mediaserverd.protocol.codec import Codec as Codec
from mediaserverd.protocol.direction import Direction as Direction

MAX_BYTES: Final = 65_535  # nothing longer fits the datagram that SIP over UDP brings it in
MAX_MEDIA: Final = 64  # a phone sends 1 to 4; every part costs the media server two ports
MAX_EXCERPT: Final = 80  # of offending text in an error: enough to find it in a capture
MAX_NUMBER_DIGITS: Final = 20  # of the o= numbers: 64 bits

# Lines of one group keep the order in which they came: an r= belongs to the t= before it.
_SESSION_ORDER: Final = ("v", "o", "s", "i", "u", "ep", "c", "b", "trz", "k")
_MEDIA_ORDER: Final = ("m", "i", "c", "b", "k")


class SdpError(ValueError):
    """The sender's fault. ``line`` counts from 1; 0 means the description as a whole."""

    def __init__(self, line: int, text: str, reason: str) -> None:
        self.line, self.text, self.reason = line, text[:MAX_EXCERPT], reason
        super().__init__(f"line {line}: {reason}: {self.text!r}")


_DIRECTION_NAMES: Final = frozenset(each.value for each in Direction)


@dataclass(frozen=True, slots=True)
class Line:
    """A line whose value needs no looking into here, kept for printing."""

    type: str
    value: str

    def __str__(self) -> str:
        return f"{self.type}={self.value}"


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    value: str | None = None

    def __str__(self) -> str:
        return f"a={self.name}" if self.value is None else f"a={self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Origin:
    username: str
    session_id: int
    version: int
    address: str
    network: str = "IN"
    address_type: str = "IP4"

    def __str__(self) -> str:
        return f"o={self.username} {self.session_id} {self.version} {self.network} {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    address: str
    network: str = "IN"
    address_type: str = "IP4"

    @property
    def is_zero(self) -> bool:
        return self.address in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def __str__(self) -> str:
        return f"c={self.network} {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One m= line and what belongs to it. ``lines`` are its lines other than m=, c= and a=."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def refused(self) -> bool:
        return self.port == 0

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of that name; empty for a flag."""
        return _first(self.attributes, name)

    def attribute_values(self, name: str) -> tuple[str, ...]:
        return tuple(each.value or "" for each in self.attributes if each.name == name)

    @property
    def own_direction(self) -> Direction | None:
        return _direction(self.attributes)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """In the order of preference. A dynamic payload type without a readable a=rtpmap is left out."""
        maps = _by_payload_type(self.attribute_values("rtpmap"))
        parameters = _by_payload_type(self.attribute_values("fmtp"))
        numbers = (int(text) for text in self.formats if _is_number(text, 3) and "RTP" in self.protocol)
        found = (Codec.described(number, maps.get(number, ""), parameters.get(number, "")) for number in numbers)
        return tuple(codec for codec in found if codec)

    @property
    def packet_time_ms(self) -> float | None:
        text = self.attribute("ptime") or ""
        whole, _, fraction = text.partition(".")
        readable = _is_number(whole, 6) and (not fraction or _is_number(fraction, 6))
        return float(text) if readable else None

    @property
    def rtcp_port(self) -> int:
        """RFC 5761: the RTP port if multiplexed; RFC 3605: a=rtcp; else RFC 3550: the next port."""
        if self.attribute("rtcp-mux") is not None:
            return self.port
        text = (self.attribute("rtcp") or "").partition(" ")[0]
        return int(text) if _is_number(text, 5) and int(text) <= 65535 else self.port + 1

    def with_attribute(self, name: str, value: str | None = None) -> MediaDescription:
        """A copy in which this is the only attribute of that name."""
        return replace(self, attributes=_replaced(self.attributes, Attribute(name, value)))

    def without_attribute(self, *names: str) -> MediaDescription:
        return replace(self, attributes=tuple(each for each in self.attributes if each.name not in names))

    def with_direction(self, direction: Direction) -> MediaDescription:
        return self.without_attribute(*_DIRECTION_NAMES).with_attribute(direction.value)

    def with_port(self, port: int) -> MediaDescription:
        return replace(self, port=port)

    def with_connection(self, connection: Connection | None) -> MediaDescription:
        return replace(self, connection=connection)

    def printed_lines(self) -> list[str]:
        port = str(self.port) if self.port_count == 1 else f"{self.port}/{self.port_count}"
        media = Line("m", " ".join((self.media, port, self.protocol, *self.formats)))
        ordered = _in_order([media, *_present(self.connection), *self.lines], _MEDIA_ORDER)
        return [*ordered, *map(str, self.attributes)]


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. ``lines`` are the session's lines other than v= o= s= c= a=."""

    origin: Origin
    name: str = "-"
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    lines: tuple[Line, ...] = (Line("t", "0 0"),)
    media: tuple[MediaDescription, ...] = ()

    def attribute(self, name: str) -> str | None:
        """The value of the first session-level attribute of that name; empty for a flag."""
        return _first(self.attributes, name)

    def connection_of(self, media: MediaDescription) -> Connection | None:
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> Direction:
        """With the session's direction as fallback. The zero address of RFC 2543 means: do not send to me.
        With ICE it means no more than that the address is not known yet (RFC 8840 4.1.1)."""
        stated = media.own_direction or _direction(self.attributes) or Direction.SENDRECV
        connection = self.connection_of(media)
        ice = media.attribute("ice-ufrag") is not None or self.attribute("ice-ufrag") is not None
        if connection is None or not connection.is_zero or ice:
            return stated
        return Direction.of(sends=stated.sends, receives=False)

    @property
    def audio(self) -> MediaDescription | None:
        """The first audio part that is not refused."""
        return next((each for each in self.media if each.media == "audio" and not each.refused), None)

    def with_origin(self, origin: Origin) -> SessionDescription:
        return replace(self, origin=origin)

    def with_connection(self, connection: Connection | None) -> SessionDescription:
        return replace(self, connection=connection)

    def with_attribute(self, name: str, value: str | None = None) -> SessionDescription:
        return replace(self, attributes=_replaced(self.attributes, Attribute(name, value)))

    def without_attribute(self, *names: str) -> SessionDescription:
        return replace(self, attributes=tuple(each for each in self.attributes if each.name not in names))

    def with_media(self, media: Sequence[MediaDescription]) -> SessionDescription:
        return replace(self, media=tuple(media))

    def with_direction(self, direction: Direction) -> SessionDescription:
        """A copy in which every media part says this, and the session level nothing."""
        media = [each.with_direction(direction) for each in self.media]
        return self.without_attribute(*_DIRECTION_NAMES).with_media(media)

    def __str__(self) -> str:
        top: list[Line | Origin | Connection] = [Line("v", "0"), self.origin, Line("s", self.name)]
        lines = _in_order([*top, *_present(self.connection), *self.lines], _SESSION_ORDER)
        lines += map(str, self.attributes)
        for each in self.media:
            lines += each.printed_lines()
        return "\r\n".join(lines) + "\r\n"

    def encode(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")


def parse(source: bytes | str) -> SessionDescription:
    """Raises ``SdpError`` and nothing else."""
    numbered = _split(source)
    starts = [index for index, (_, line) in enumerate(numbered) if line.type == "m"]
    if len(starts) > MAX_MEDIA:
        raise SdpError(numbered[starts[MAX_MEDIA]][0], "m=", f"more than {MAX_MEDIA} media parts")
    ends = [*starts[1:], len(numbered)]
    session = _session(numbered[: starts[0]] if starts else numbered)
    parts = (numbered[start:end] for start, end in zip(starts, ends, strict=False))
    return session.with_media([_media(part) for part in parts])


_Numbered = tuple[int, Line]


def _split(source: bytes | str) -> list[_Numbered]:
    text = _text(source)
    while text.endswith(("\n", "\r")):
        text = text[:-1]
    numbered = [(number, _line(number, raw.removesuffix("\r"))) for number, raw in enumerate(text.split("\n"), 1)]
    if numbered[0][1] != Line("v", "0"):
        raise SdpError(1, str(numbered[0][1]), "a description starts with v=0")
    return numbered[1:]


def _text(source: bytes | str) -> str:
    try:
        data = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
    except UnicodeEncodeError as error:
        raise SdpError(0, "", "text that no bytes stand for") from error
    if len(data) > MAX_BYTES:
        raise SdpError(0, "", f"longer than {MAX_BYTES} bytes")
    return data.decode("utf-8", "surrogateescape")


def _line(number: int, raw: str) -> Line:
    if len(raw) < 2 or raw[1] != "=" or not (raw[0].isascii() and raw[0].isalpha()):
        raise SdpError(number, raw, "not of the form letter=value")
    if "\r" in raw or "\0" in raw:
        raise SdpError(number, raw, "a carriage return or NUL within a line")
    return Line(raw[0], raw[2:])


def _session(numbered: list[_Numbered]) -> SessionDescription:
    origin, name, connection = None, None, None
    attributes: list[Attribute] = []
    rest: list[Line] = []
    for number, line in numbered:
        match line.type:
            case "v":
                raise SdpError(number, str(line), "a second v= line")
            case "o" if origin is None:
                origin = _origin(number, line)
            case "s" if name is None:
                name = line.value
            case "c" if connection is None:
                connection = _connection(number, line)
            case "o" | "s" | "c":
                raise SdpError(number, str(line), "given twice")
            case "a":
                attributes.append(_attribute(number, line))
            case _:
                rest.append(line)
    if origin is None:
        raise SdpError(0, "", "no o= line")
    if not any(line.type == "t" for line in rest):
        rest.append(Line("t", "0 0"))
    return SessionDescription(
        origin, "-" if name is None else name, connection, tuple(attributes), _sorted(rest, _SESSION_ORDER)
    )


def _media(numbered: list[_Numbered]) -> MediaDescription:
    media = _media_line(*numbered[0])
    connection = None
    attributes: list[Attribute] = []
    rest: list[Line] = []
    for number, line in numbered[1:]:
        match line.type:
            case "v" | "o" | "s" | "t":
                raise SdpError(number, str(line), "belongs before the first m= line")
            case "c" if connection is None:
                connection = _connection(number, line)
            case "a":
                attributes.append(_attribute(number, line))
            case _:
                rest.append(line)
    return replace(media, connection=connection, attributes=tuple(attributes), lines=_sorted(rest, _MEDIA_ORDER))


def _media_line(number: int, line: Line) -> MediaDescription:
    match line.value.split(" "):
        case [media, ports, protocol, *formats] if media and protocol and formats and all(formats):
            port, slash, count = ports.partition("/")
            countable = _is_number(count, 5) and int(count) > 0 if slash else True
            if _is_number(port, 5) and int(port) <= 65535 and countable:
                return MediaDescription(media, int(port), protocol, tuple(formats), int(count) if slash else 1)
            raise SdpError(number, str(line), "not a port")
        case _:
            raise SdpError(number, str(line), "not of the form m=media port protocol formats")


def _origin(number: int, line: Line) -> Origin:
    match line.value.split(" "):
        case [username, session_id, version, network, kind, address] if username and network and kind and address:
            if _is_number(session_id, MAX_NUMBER_DIGITS) and _is_number(version, MAX_NUMBER_DIGITS):
                return Origin(username, int(session_id), int(version), address, network, kind)
            raise SdpError(number, str(line), "session id and version are numbers")
        case _:
            raise SdpError(number, str(line), "not of the form o=user id version IN IP4 address")


def _connection(number: int, line: Line) -> Connection:
    match line.value.split(" "):
        case [network, kind, address] if network and kind and address:
            return Connection(address, network, kind)
        case _:
            raise SdpError(number, str(line), "not of the form c=IN IP4 address")


def _attribute(number: int, line: Line) -> Attribute:
    name, colon, value = line.value.partition(":")
    if not name:
        raise SdpError(number, str(line), "an attribute without name")
    return Attribute(name, value if colon else None)


def _by_payload_type(values: Sequence[str]) -> dict[int, str]:
    pairs = (value.partition(" ") for value in values)
    return {int(number): text.strip() for number, _, text in pairs if _is_number(number, 3)}


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits


def _first(attributes: Sequence[Attribute], name: str) -> str | None:
    return next((each.value or "" for each in attributes if each.name == name), None)


def _direction(attributes: Sequence[Attribute]) -> Direction | None:
    return next((Direction(each.name) for each in attributes if each.name in _DIRECTION_NAMES), None)


def _replaced(attributes: Sequence[Attribute], new: Attribute) -> tuple[Attribute, ...]:
    names = [each.name for each in attributes]
    if new.name not in names:
        return (*attributes, new)
    place = names.index(new.name)
    after = tuple(each for each in attributes[place + 1 :] if each.name != new.name)
    return (*attributes[:place], new, *after)


def _present(connection: Connection | None) -> list[Connection]:
    return [connection] if connection else []


def _rank(letter: str, order: Sequence[str]) -> int:
    # An unknown letter goes behind the known ones, before the attributes.
    return next((rank for rank, group in enumerate(order) if letter in group), len(order))


def _sorted(lines: Sequence[Line], order: Sequence[str]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: _rank(line.type, order)))


def _in_order(lines: Sequence[Line | Origin | Connection], order: Sequence[str]) -> list[str]:
    return sorted(map(str, lines), key=lambda text: _rank(text[0], order))
