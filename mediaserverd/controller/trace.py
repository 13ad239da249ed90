"""Who said what in a call, for the ladder that ``diag`` draws: SIP with each phone, ng with the media servers.

Kept of a message: when, from whom to whom, method or status, CSeq, and whether a description was in it. No bodies, URIs
or credentials. Bounded for each call (its beginning and its end are kept) and for all (the oldest that ended go first).
Not responsible for drawing it, nor for what the messages did.

What came before a call was let in (its challenge) is found again by its Call-ID, if it is not long ago.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

from mediaserverd.call.events import CALLER
from mediaserverd.controller.archive import ENDED_LIMIT
from mediaserverd.controller.ledger import utc_text
from mediaserverd.protocol.sip.flow import Flow

FIRST_LINES: Final = 200  # of a call: its set-up with ten phones that ring, and an hour of holds
LAST_LINES: Final = 100  # and how it ended
LINES_IN_ALL: Final = 200_000  # of all calls: 40 for each of 5000 that run; a usual call has 25 of 190 bytes each
LANES: Final = 24  # of a call; the phones of a larger workgroup share the last one
UNCLAIMED: Final = 256  # messages of INVITEs that are no call yet: half a second of challenges at 50 calls/s
KEPT_FIRST: Final = 30  # lines that the next process is told of: 3 KB of its call's record at most, usually 2
KEPT_LAST: Final = 15
TAKEN_OVER: Final = "the controller's next process goes on"
TEXT_LIMIT: Final = 60
CALL_ID_LIMIT: Final = 200  # a longer one is cut, as everything here that strangers choose

CONTROLLER: Final = "controller"
_NAMES: Final = {
    name: long
    for long, names in {"call-id": (b"call-id", b"i"), "cseq": (b"cseq",), "type": (b"content-type", b"c")}.items()
    for name in names
}


class Line(NamedTuple):
    """``note``: the CSeq of a SIP message, how long a media server took to reply. ``sdp``: a description was in it.
    ``fault``: a media server tells of something that went wrong."""

    at: float
    source: str
    target: str
    text: str
    note: str
    sdp: bool
    fault: bool = False


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """The beginning and the end of a trace, for the next process. ``lanes``: name and who it is."""

    lanes: tuple[tuple[str, str], ...]
    first: tuple[Line, ...]
    last: tuple[Line, ...]
    left_out: int


@dataclass(slots=True)
class Trace:
    """``lanes``: name -> who it is for people. ``left_out`` lines are missing between ``first`` and ``last``."""

    lanes: dict[str, str] = field(default_factory=dict)
    first: list[Line] = field(default_factory=list)
    last: deque[Line] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    left_out: int = 0
    sip_call_ids: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        return len(self.first) + len(self.last)

    def lane(self, name: str, who: str) -> str:
        """The lane to use: this one, or the last one of those that there may be."""
        if name not in self.lanes and len(self.lanes) >= LANES:
            return next(reversed(self.lanes))
        self.lanes.setdefault(name, _printable(who))
        return name

    def record(self) -> TraceRecord:
        rest = [*self.first[KEPT_FIRST:], *self.last]
        cut = max(0, len(rest) - KEPT_LAST)
        return TraceRecord(
            tuple(self.lanes.items()), tuple(self.first[:KEPT_FIRST]), tuple(rest[cut:]), self.left_out + cut
        )

    @classmethod
    def of(cls, kept: TraceRecord) -> Self:
        return cls(dict(kept.lanes), list(kept.first), deque(kept.last, maxlen=LAST_LINES), kept.left_out)

    def add(self, line: Line) -> int:
        """How many lines there are more than before."""
        if len(self.first) < FIRST_LINES and not self.left_out and not self.last:
            self.first.append(line)
            return 1
        full = len(self.last) == LAST_LINES
        self.left_out += full
        self.last.append(line)
        return 0 if full else 1


class _Message(NamedTuple):
    """A SIP message as it passes, on its way from or to an address."""

    call_id: str
    text: str
    cseq: str
    sdp: bool


class Traces:
    """``clock``: seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running: dict[str, Trace] = {}
        self._ended: OrderedDict[str, Trace] = OrderedDict()
        self._legs: dict[str, tuple[str, str]] = {}  # SIP Call-ID -> id of the call, lane
        self._unclaimed: deque[tuple[float, bool, _Message]] = deque(maxlen=UNCLAIMED)
        self._lines = 0

    # From one process to the next

    def record(self, call_id: str) -> TraceRecord | None:
        """None: nothing is known of a running call of that id."""
        trace = self._running.get(call_id)
        return None if trace is None else trace.record()

    def take_over(self, call_id: str, kept: TraceRecord) -> None:
        """What an earlier process wrote down. What it saw after that is not known."""
        trace = self._running[call_id] = Trace.of(kept)
        self._lines += trace.size
        self._add(trace, Line(self._clock(), CONTROLLER, CONTROLLER, TAKEN_OVER, "", sdp=False))

    # What passes

    def received(self, data: bytes) -> None:
        self._passed(data, sent=False)

    def sent(self, data: bytes) -> None:
        self._passed(data, sent=True)

    def follow(self, sip_call_id: str, call_id: str, leg: str, who: str, flow: Flow) -> None:
        """From now on, messages with that Call-ID belong to this leg of this call; and those that have just passed."""
        key = sip_call_id[:CALL_ID_LIMIT]
        trace = self._running.setdefault(call_id, Trace({CONTROLLER: CONTROLLER}))
        host = f"[{flow.remote[0]}]" if ":" in flow.remote[0] else flow.remote[0]
        lane = trace.lane(leg, f"{who} {host}:{flow.remote[1]} {flow.transport}".strip())
        trace.sip_call_ids.add(key)
        self._legs[key] = (call_id, lane)
        for at, sent, message in [each for each in self._unclaimed if each[2].call_id == key]:
            self._add(trace, _sip_line(at, lane, message, sent=sent))
            self._unclaimed.remove((at, sent, message))

    def asked(self, server: str, command: Mapping[str, Any]) -> None:
        """A command goes to a media server."""
        side = f" ({command.get('from-tag')})" if command.get("command") == "offer" else ""
        self._media(server, command, f"{command.get('command')}{side}", ours=True, sdp="sdp" in command)

    def replied(self, server: str, command: Mapping[str, Any], reply: Mapping[str, Any], seconds: float) -> None:
        """``reply`` may stand for one that never came."""
        why = reply.get("error-reason") or reply.get("message") or reply.get("warning")
        text = f"{command.get('command')}: {reply.get('result')}{f': {why}' if why else ''}"
        note, fault = f"{1000 * seconds:.0f} ms", reply.get("result") != "ok"
        self._media(server, command, text, ours=False, sdp="sdp" in reply, note=note, fault=fault)

    def notified(self, server: str, notification: Mapping[str, Any]) -> None:
        reason = notification.get("reason")
        text = f"{notification.get('notification')}{f': {reason}' if reason else ''}"
        fault = notification.get("notification") not in ("dtmf", "audio-back")  # which digit, is nobody's business here
        self._media(server, notification, text, ours=False, fault=fault)

    def lost(self, server: str, reason: str) -> None:
        """To all calls that have spoken to that media server."""
        for call_id, trace in list(self._running.items()):
            if f"media {server}" in trace.lanes:
                self._media(server, {"call-id": call_id}, f"lost: {reason}", ours=False, fault=True)

    def ended(self, call_id: str) -> None:
        """Late answers still come."""
        if (trace := self._running.pop(call_id, None)) is not None:
            self._ended[call_id] = trace
            if len(self._ended) > ENDED_LIMIT:
                self._forget_oldest()

    # What is asked for

    def ladder(self, call_id: str) -> dict[str, Any] | None:
        """All that is kept of a call, as plain values. None: nothing is."""
        trace = self._trace(call_id)
        if trace is None:
            return None
        return {
            "call_id": call_id,
            "lanes": [{"id": name, "name": who, "kind": _kind(name)} for name, who in _in_order(trace.lanes)],
            "lines": [_plain(line) for line in [*trace.first, *trace.last]],
            "left_out": trace.left_out,
            "left_out_after": len(trace.first),
        }

    # Within

    def _trace(self, call_id: str) -> Trace | None:
        return self._running.get(call_id) or self._ended.get(call_id)

    def _passed(self, data: bytes, *, sent: bool) -> None:
        message = _message(data)
        if message is None:
            return
        leg = self._legs.get(message.call_id)
        if leg is None:
            if message.cseq.endswith((" INVITE", " ACK")):
                self._unclaimed.append((self._clock(), sent, message))
            return
        call_id, lane = leg
        if (trace := self._trace(call_id)) is not None:
            self._add(trace, _sip_line(self._clock(), lane, message, sent=sent))

    def _media(
        self,
        server: str,
        about: Mapping[str, Any],
        text: str,
        *,
        ours: bool,
        sdp: bool = False,
        note: str = "",
        fault: bool = False,
    ) -> None:
        trace = self._trace(str(about.get("call-id")))
        if trace is None:
            return
        lane = trace.lane(f"media {server}", server)
        ends = (CONTROLLER, lane) if ours else (lane, CONTROLLER)
        self._add(trace, Line(self._clock(), *ends, _printable(text), note, sdp, fault))

    def _add(self, trace: Trace, line: Line) -> None:
        if self._lines >= LINES_IN_ALL and not self._forget_oldest():
            trace.left_out += 1
            return
        self._lines += trace.add(line)

    def _forget_oldest(self) -> bool:
        """Of those that have ended. False: none has."""
        if not self._ended:
            return False
        _, trace = self._ended.popitem(last=False)
        self._lines -= trace.size
        for key in trace.sip_call_ids:
            self._legs.pop(key, None)
        return True


def _sip_line(at: float, lane: str, message: _Message, *, sent: bool) -> Line:
    ends = (CONTROLLER, lane) if sent else (lane, CONTROLLER)
    return Line(at, *ends, message.text, message.cseq, message.sdp)


def _message(data: bytes) -> _Message | None:
    """What the ladder shows of a SIP message; None if it is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *fields = head.lstrip().split(b"\r\n")
    found: dict[str, str] = {}
    for line in fields:
        name, _, value = line.partition(b":")
        if (known := _NAMES.get(name.rstrip().lower())) is not None:
            found.setdefault(known, value.strip().decode("utf-8", "surrogateescape"))
    words = first.split(b" ", 2)
    is_response = words[0].upper() == b"SIP/2.0"
    if "call-id" not in found or not (is_response or words[-1].upper().startswith(b"SIP/2.0")):
        return None
    text = b" ".join(words[1:]) if is_response else words[0]
    sdp = bool(body) and found.get("type", "").lower().startswith("application/sdp")
    call_id, cseq = found["call-id"][:CALL_ID_LIMIT], _printable(found.get("cseq", ""))
    return _Message(call_id, _printable(text.decode("utf-8", "replace")), cseq, sdp)


def _printable(text: str) -> str:
    """In a length and with characters that do no harm to whoever shows it; equal ones are kept once."""
    cut = text[:TEXT_LIMIT].strip()
    return sys.intern(cut if cut.isprintable() else "".join(each if each.isprintable() else "?" for each in cut))


def _kind(lane: str) -> str:
    return "controller" if lane == CONTROLLER else "media" if lane.startswith("media ") else "phone"


def _in_order(lanes: Mapping[str, str]) -> list[tuple[str, str]]:
    """The calling phone, us, the called ones, the media servers."""
    order = {"phone": 2, "media": 3, "controller": 1}
    return sorted(lanes.items(), key=lambda lane: 0 if lane[0] == CALLER else order[_kind(lane[0])])


def _plain(line: Line) -> dict[str, Any]:
    return {
        "at": utc_text(datetime.fromtimestamp(line.at, UTC)),
        "from": line.source,
        "to": line.target,
        "text": line.text,
        "note": line.note,
        "sdp": line.sdp,
        "fault": line.fault,
    }
