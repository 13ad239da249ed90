"""Lexical rules that all SIP headers share (RFC 3261 section 25): tokens, quoted strings, parameters, lists; the error.

Not here: what a header means (``headers``), URIs (``uri``), whole messages (``message``).

Text is UTF-8 decoded with ``surrogateescape``, so any byte survives parsing and printing. Patterns are possessive
(``++``, ``*+``): a hostile header costs linear time.

Deviations from the RFC, each seen from devices in the field and harmless to those that follow it:

- a parameter value may hold any visible character that does not separate (tags and branches with ``=`` or ``|``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediaserverd.protocol.sip.message import Request

MAX_ELEMENTS = 256  # of one list: as many as hops that Max-Forwards allows; a datagram full of Contacts costs 20 ms
EXCERPT_LIMIT = 80  # characters of offending text in an error: enough to find the place, too few to flood a log

TOKEN_CHARACTERS = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 - a set of characters, not a secret
QUOTED = r'"(?:[^"\\]++|\\.)*+"'
VISIBLE = r'[^\x00-\x20\x7f;,"<>]'

_TOKEN = re.compile(rf"[{TOKEN_CHARACTERS}]+")
_VALUE = re.compile(rf"(?:{QUOTED}|{VISIBLE}++)", re.DOTALL)
_PARAMETER = re.compile(
    rf"[ \t]*;[ \t]*([{TOKEN_CHARACTERS}]++)(?:[ \t]*=[ \t]*({QUOTED}|{VISIBLE}++))?[ \t]*", re.DOTALL
)
_ELEMENT = re.compile(rf'(?:[^,"<]++|{QUOTED}|<[^>]*+>)*+', re.DOTALL)
_ESCAPED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_TO_ESCAPE = re.compile(
    r'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f"\\]'
)  # what qdtext excludes, CR and LF apart: they never pass


class SipError(Exception):
    """The peer broke the protocol: what to answer (``status``, ``reason``) and the offending text (``excerpt``).

    ``request`` is the broken request as far as it was understood, given only if it can be answered at all:
    ``error.request.response(error.status, error.reason, headers=error.headers)``. Else drop the message.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        excerpt: str = "",
        *,
        headers: tuple[tuple[str, str], ...] = (),
        request: Request | None = None,
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.excerpt = excerpt if len(excerpt) <= EXCERPT_LIMIT else excerpt[:EXCERPT_LIMIT] + "…"
        self.headers = headers
        self.request = request

    def __str__(self) -> str:
        return f"{self.status} {self.reason}" + (f": {self.excerpt!r}" if self.excerpt else "")


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def quote(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(lambda found: "\\" + found[0], text) + '"'


def unquote(text: str) -> str:
    """The content of a quoted string; any other text as it is."""
    if not text.startswith('"'):
        return text
    content = text[1:-1]
    if "\\" not in content:
        return content
    plain = _ESCAPED_PAIR.sub(r"\1", content)
    # Backslashes may have stood within one UTF-8 character; without them it is that character.
    return plain if plain.isascii() else plain.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def split_list(text: str) -> list[str]:
    """The elements of a comma-separated header value; commas within quotes and angle brackets do not separate."""
    if "," not in text:
        return [text]
    if text.count(",") >= MAX_ELEMENTS:
        raise SipError(400, f"More than {MAX_ELEMENTS} elements in a list", text)
    if '"' not in text and "<" not in text:
        return [element.strip(" \t") for element in text.split(",")]
    elements = []
    position = 0
    while True:
        found = _ELEMENT.match(text, position)
        end = found.end() if found else position
        elements.append(text[position:end].strip(" \t"))
        if end == len(text):
            return elements
        if text[end] != ",":
            raise SipError(400, "Unbalanced quotes or brackets", text[end:])
        position = end + 1


def parse_number(text: str, what: str, limit: int) -> int:
    """A decimal number from 0 to ``limit``."""
    # The length is checked first: Python itself refuses to convert thousands of digits, with an error of its own.
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > limit:
        raise SipError(400, f"{what} is not a number from 0 to {limit}", text)
    return int(text)


class Parameters(Mapping[str, str | None]):
    """``;name=value;flag``: ordered, immutable, names case-insensitive, a flag's value is None.

    Values are kept as written (so printing loses nothing) and read unquoted.
    """

    __slots__ = ("_written",)

    _written: dict[str, tuple[str, str | None]]  # lower-case name -> (name, value), both as written

    def __init__(self, items: Mapping[str, str | None] | Iterable[tuple[str, str | None]] = ()) -> None:
        pairs = items.items() if isinstance(items, Mapping) else items
        self._written = {name.lower(): (name, _writable(value)) for name, value in pairs}

    @classmethod
    def parse(cls, text: str, position: int = 0) -> Parameters:
        """All of ``text`` from ``position`` on: ``;a=b ; c``, or nothing."""
        if position == len(text):
            return NO_PARAMETERS
        written: dict[str, tuple[str, str | None]] = {}
        while position < len(text):
            found = _PARAMETER.match(text, position)
            if found is None:
                raise SipError(400, "Malformed parameter", text[position:])
            name, value = found.groups()
            if name.lower() in written:
                raise SipError(400, "Repeated parameter", text[position:])
            written[name.lower()] = (name, value)
            position = found.end()
        return cls.from_written(written)

    @classmethod
    def from_written(cls, written: dict[str, tuple[str, str | None]]) -> Parameters:
        """For parsers: lower-case name -> name and value exactly as they stood in the message."""
        made = cls.__new__(cls)
        made._written = written
        return made

    def __getitem__(self, name: str) -> str | None:
        value = self._written[name.lower()][1]
        return None if value is None else unquote(value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._written

    def __iter__(self) -> Iterator[str]:
        return iter(self._written)

    def __len__(self) -> int:
        return len(self._written)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(frozenset(self._values().items()))

    def __str__(self) -> str:
        return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self._written.values())

    def __repr__(self) -> str:
        return f"Parameters({str(self)!r})"

    def with_(self, name: str, value: str | None = None) -> Parameters:
        """The same parameters, ``name`` set (in its place if it was there, else at the end)."""
        return self.from_written({**self._written, name.lower(): (name, _writable(value))})

    def without(self, *names: str) -> Parameters:
        gone = {name.lower() for name in names}
        return self.from_written({name: value for name, value in self._written.items() if name not in gone})

    def written(self) -> Iterable[tuple[str, str | None]]:
        """Names and values as they stand in the message, quotes included."""
        return self._written.values()

    def _values(self) -> dict[str, str | None]:
        return {name: value for name, (_, value) in self._written.items()}


def _writable(value: str | None) -> str | None:
    if value is None or _VALUE.fullmatch(value):
        return value
    return quote(value)


NO_PARAMETERS = Parameters()


def legible(text: str) -> str:
    """For people, and for JSON, which holds no bytes that are not UTF-8: those are read as the ISO 8859-1 that old
    phones and carriers mean by them."""
    return _NOT_UTF8.sub(lambda found: chr(ord(found[0]) - 0xDC00), text)
