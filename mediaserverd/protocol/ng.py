"""The ng control protocol on the wire: bytes <-> requests and replies.

Responsible for the two encodings (bencode and JSON) behind one cookie, for what is accepted as the same key or flag,
and for the fixed texts that proxies compare. Not responsible for what a command does, nor for retransmissions.

More is accepted than rtpengine does: every key and flag may be written in any case, with space, hyphen or underscore.
Proxies in the field mix all of these, and no two names of the protocol differ in them alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, TypeAlias

from mediaserverd.protocol import ng_flags

Value: TypeAlias = "int | str | list[Value] | dict[str, Value]"

SUBPROTOCOL = "ng.rtpengine.com"  # of the WebSocket door
NOTIFICATION_COOKIE = "*"  # what the media server says unasked

MAX_MESSAGE_BYTES = 256 << 10  # an SDP is at most 64 KiB; the rest is room for recording metadata
MAX_DEPTH = 16  # the deepest message of the protocol (a reply to `query`) has 9 levels
MAX_COOKIE_BYTES = 256  # rtpengine's clients use 20 to 60
_MAX_DIGITS = 20  # of a 64 bit number, or of a length
_MAX_EXCERPT = 60


class Encoding(Enum):
    BENCODE = "bencode"
    JSON = "json"


class Reason(StrEnum):
    """Texts of ``error-reason``. OpenSIPS fails over on the first five only, so they are exact to the letter."""

    SESSION_LIMIT = "Parallel session limit reached"
    NO_PORTS = "Ran out of ports"
    CPU_LIMIT = "CPU usage limit exceeded"
    LOAD_LIMIT = "Load limit exceeded"
    BANDWIDTH_LIMIT = "Bandwidth limit exceeded"
    NO_CALL_ID = "No call-id in message"
    NO_FROM_TAG = "No from-tag in message"
    NO_TO_TAG = "No to-tag in message"
    NO_SDP = "No SDP body in message"
    UNKNOWN_CALL = "Unknown call-id"
    BAD_SDP = "Failed to parse SDP"
    INCOMPLETE_SDP = "Incomplete SDP specification"
    BAD_DIALOGUE = "Invalid dialogue association"
    REWRITING = "Error rewriting SDP"
    UNKNOWN_COMMAND = "Unrecognized command"
    NO_COMMAND = 'Dictionary contains no key "command"'
    BAD_BENCODE = "Could not decode bencode dictionary"
    BAD_JSON = "Failed to parse JSON document"
    BAD_FORMAT = "Invalid NG data format"


class NgError(ValueError):
    """A message that cannot be understood: always the sender's fault. Answered under ``cookie`` where there is one."""

    def __init__(
        self, reason: str, *, cookie: str | None = None, encoding: Encoding = Encoding.BENCODE, excerpt: str = ""
    ):
        super().__init__(f"{reason}: {excerpt[:_MAX_EXCERPT]!r}" if excerpt else reason)
        self.reason = str(reason)
        self.cookie = cookie
        self.encoding = encoding


@dataclass(frozen=True, slots=True)
class Message:
    """One datagram or WebSocket message, in either direction."""

    cookie: str
    body: Mapping[str, Value]
    encoding: Encoding = Encoding.JSON


def encode(message: Message) -> bytes:
    cookie = _to_bytes(message.cookie)
    if message.encoding is Encoding.BENCODE:
        return cookie + b" " + bencode(dict(message.body))
    # Non-ASCII is escaped, so that bytes of an SDP that are no UTF-8 (kept as surrogates) survive too.
    return cookie + b" " + json.dumps(message.body, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Message:
    """``data`` as a message. Raises NgError, with the cookie if an answer is possible."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise NgError(Reason.BAD_FORMAT, excerpt=f"{len(data)} bytes")
    cookie_bytes, space, document = data.partition(b" ")
    if not space or not cookie_bytes or len(cookie_bytes) > MAX_COOKIE_BYTES:
        raise NgError(Reason.BAD_FORMAT, excerpt=_to_text(data[:_MAX_EXCERPT]))
    cookie = _to_text(cookie_bytes)
    match document[:1]:
        case b"d":
            return Message(cookie, _decode_bencode(document, cookie), Encoding.BENCODE)
        case b"{":
            return Message(cookie, _decode_json(document, cookie), Encoding.JSON)
        case _:
            raise NgError(Reason.BAD_FORMAT, cookie=cookie, excerpt=_to_text(document[:_MAX_EXCERPT]))


# --- bencode


def bencode(value: Value) -> bytes:
    match value:
        case int():
            return b"i%de" % value
        case str():
            data = _to_bytes(value)
            return b"%d:%b" % (len(data), data)
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            # Sorted as the format asks, although readers of ng do not insist.
            items = sorted((_to_bytes(key), item) for key, item in value.items())
            return b"d" + b"".join(b"%d:%b" % (len(key), key) + bencode(item) for key, item in items) + b"e"


def _decode_bencode(document: bytes, cookie: str) -> dict[str, Value]:
    try:
        value, end = _bdecode(document, 0, 0)
    except (ValueError, IndexError) as fault:
        raise NgError(Reason.BAD_BENCODE, cookie=cookie, excerpt=str(fault)) from None
    # Some clients end the datagram with a line feed or a NUL.
    if not isinstance(value, dict) or document[end:].strip(b"\r\n\0 "):
        raise NgError(Reason.BAD_BENCODE, cookie=cookie, excerpt=_to_text(document[end : end + _MAX_EXCERPT]))
    return value


def _bdecode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise ValueError(f"deeper than {MAX_DEPTH} levels")
    match data[at : at + 1]:
        case b"i":
            end = _find(data, b"e", at)
            return _number(data[at + 1 : end]), end + 1
        case b"l":
            return _bdecode_list(data, at + 1, depth)
        case b"d":
            return _bdecode_dict(data, at + 1, depth)
        case _:
            return _bdecode_text(data, at)


def _bdecode_list(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    items: list[Value] = []
    while data[at] != 0x65:  # e
        item, at = _bdecode(data, at, depth + 1)
        items.append(item)
    return items, at + 1


def _bdecode_dict(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    items: dict[str, Value] = {}
    while data[at] != 0x65:
        key, at = _bdecode_text(data, at)
        item, at = _bdecode(data, at, depth + 1)
        items.setdefault(key, item)
    return items, at + 1


def _bdecode_text(data: bytes, at: int) -> tuple[str, int]:
    colon = _find(data, b":", at)
    length = _number(data[at:colon])
    end = colon + 1 + length
    if length < 0 or end > len(data):
        raise ValueError(f"string of {length} bytes at {at} does not fit")
    return _to_text(data[colon + 1 : end]), end


def _find(data: bytes, delimiter: bytes, at: int) -> int:
    found = data.find(delimiter, at, at + _MAX_DIGITS + 2)
    if found < 0:
        raise ValueError(f"no {delimiter.decode()!r} after {at}")
    return found


def _number(digits: bytes) -> int:
    text = digits.removeprefix(b"-")
    if not text.isdigit() or len(text) > _MAX_DIGITS:  # bytes.isdigit is ASCII only
        raise ValueError(f"no number: {_to_text(digits[:_MAX_DIGITS])}")
    return int(digits)


# --- JSON


def _decode_json(document: bytes, cookie: str) -> dict[str, Value]:
    try:
        value = _plain(json.loads(document), 0)
    except (ValueError, RecursionError) as fault:
        raise NgError(Reason.BAD_JSON, cookie=cookie, encoding=Encoding.JSON, excerpt=str(fault)) from None
    assert isinstance(value, dict)  # the first byte was an opening brace
    return value


def _plain(value: Any, depth: int) -> Value:
    """A JSON value in the types that bencode knows: true is 1, null is the empty string, 1.5 is the string 1.5."""
    if depth > MAX_DEPTH:
        raise ValueError(f"deeper than {MAX_DEPTH} levels")
    match value:
        case bool() | int():
            return int(value)
        case str():
            return value
        case list():
            return [_plain(item, depth + 1) for item in value]
        case dict():
            return {key: _plain(item, depth + 1) for key, item in value.items()}
        case None:
            return ""
        case _:
            return str(value)


def _to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate out of a JSON escape; bencode has no way to say it
        return text.encode("utf-8", "replace")


# --- requests


@dataclass(frozen=True, slots=True)
class Request:
    """A message to the media server, with keys and flags in their normal form (lower case, hyphens)."""

    cookie: str
    encoding: Encoding
    command: str  # as in the protocol's documentation, in lower case: "start recording"
    fields: Mapping[str, Value] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    def text(self, *names: str) -> str | None:
        """The first of these keys that is there, as text; an empty one counts as absent."""
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, str | int) and value != "":
                return str(value)
        return None

    def number(self, name: str, default: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        try:
            return int(value[: _MAX_DIGITS + 1])
        except ValueError:
            return default

    def words(self, name: str) -> tuple[str, ...]:
        """A list of words in normal form, also when the client sent one string."""
        value = self.fields.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        return tuple(normal(str(item)) for item in items if isinstance(item, str | int))

    def says(self, name: str) -> bool | None:
        """A key with the values yes/on/true/1 or no/off/false/0, or a flag of that name. None: nothing said."""
        value = self.text(name)
        if value is None:
            return True if name in self.flags else None
        return value.lower() in ("yes", "on", "true", "1")

    def reply(self, body: Mapping[str, Value]) -> Message:
        return Message(self.cookie, body, self.encoding)


def normal(name: str) -> str:
    """The one form of a key or flag: ``call ID``, ``call_id`` and ``Call-ID`` are ``call-id``."""
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def request_of(message: Message) -> Request:
    """``message`` as a request. Raises NgError if it names no command."""
    fields: dict[str, Value] = {}
    for key, value in message.body.items():
        fields.setdefault(normal(key), value)
    command = fields.pop("command", None)
    if not isinstance(command, str) or not command:
        raise NgError(Reason.NO_COMMAND, cookie=message.cookie, encoding=message.encoding)
    flags = set(_flag_list(fields.pop("flags", [])))
    written = fields.pop("rtpp-flags", "")
    if isinstance(written, str) and written:
        flags |= _take_flag_string(written, fields)
    return Request(message.cookie, message.encoding, normal(command).replace("-", " "), fields, frozenset(flags))


def _flag_list(value: Value) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [normal(item) for item in items if isinstance(item, str) and item]


def _take_flag_string(written: str, fields: dict[str, Value]) -> set[str]:
    """What ``rtpp-flags`` says. Keys that the message has itself win; one that comes again makes a list."""
    flags: set[str] = set()
    said: dict[str, Value] = {}
    for key, value in ng_flags.items_of(written):
        name = normal(key)
        if value is not None:
            said[name] = [*_as_list(said[name]), *_as_list(value)] if name in said else value  # direction=a direction=b
        elif name.startswith("replace-"):
            said["replace"] = [*_as_list(said.get("replace", [])), name.removeprefix("replace-")]
        elif "RTP/" in key.upper():
            said["transport-protocol"] = key
        else:
            flags.add(name)
    for name, value in said.items():
        fields.setdefault(name, value)
    return flags


def _as_list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


# --- replies


def ok(**extra: Value) -> dict[str, Value]:
    return {"result": "ok", **extra}


def error(reason: str) -> dict[str, Value]:
    return {"result": "error", "error-reason": str(reason)}


def refusal(request: Request, reason: Reason) -> dict[str, Value]:
    """No room: ``load limit`` for clients that say that they know it, else an error; both then take the next server."""
    if "load-limit" in request.words("supports"):
        return {"result": "load limit", "message": str(reason)}
    return error(reason)


def error_message(fault: NgError) -> Message | None:
    """The answer to a broken message; None if it had no cookie to answer under."""
    return None if fault.cookie is None else Message(fault.cookie, error(fault.reason), fault.encoding)


def notification(kind: str, call_id: str, **extra: Value) -> Message:
    return Message(NOTIFICATION_COOKIE, {"notification": kind, "call-id": call_id, **extra})
