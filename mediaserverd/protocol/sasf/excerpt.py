"""A part of a recording as a recording of its own: its time 0 is where the part begins.

What held at that moment (codecs, a pause that had begun) is said again at time 0. Not responsible for the file around
it: whoever writes one signs it, as the first writer's signature is of the whole.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents, Event, SenderReport, Span
from mediaserverd.protocol.sasf.header import Content, Header
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.writer import SasfWriter

_LASTING: Final = ("codecs", "pause", "hold")  # events that hold until another one of the same side says otherwise
_ENDED_BY: Final = {"resume": "pause", "unhold": "hold"}
_UNITS_PER_MS: Final = UNITS_PER_SECOND // 1000
_NS_PER_UNIT: Final = 1_000_000_000 // UNITS_PER_SECOND

_Timed: TypeAlias = Packet | Event | SenderReport


def excerpt(contents: Contents, start: int, end: int) -> Contents:
    """From ``start`` up to ``end``, in units of 125 us."""
    end = min(end, contents.duration)
    arrival = contents.packets.arrival
    packets = contents.packets.where((arrival >= start) & (arrival < end))
    within = [replace(each, at=each.at - start) for each in contents.events if start <= each.at < end]
    reports = [replace(each, at=each.at - start) for each in contents.sender_reports if start <= each.at < end]
    spans = [each for each in contents.unreadable if each.end >= start and each.start < end]
    return replace(
        contents,
        packets=replace(packets, arrival=packets.arrival - start),
        events=(*_lasting(contents.events, start, end), *within),
        sender_reports=tuple(reports),
        end=None if contents.end is None else replace(contents.end, at=max(0, end - start)),
        duration=max(0, end - start),
        unreadable=tuple(Span(max(0, each.start - start), min(each.end, end) - start, each.why) for each in spans),
    )


def derived_header(
    original: Header, sha256: str, *, file_id: bytes, writer: str, content: Content, later: int = 0
) -> Header:
    """Of a file made of another one. ``sha256``: of the whole original, in hex; ``later``: how much later it begins."""
    source = {
        "sha256": sha256,
        "signer": base64.b64encode(original.signer).decode(),
        "file_id": original.file_id.hex(),
    }
    created_ns = original.created_ns + later * _NS_PER_UNIT
    return replace(original, file_id=file_id, created_ns=created_ns, writer=writer, content=content, source=source)


def write_contents(contents: Contents, writer: SasfWriter) -> None:
    """As they are. Spans that could not be read become events, as nothing else tells of them any more."""
    if contents.meta:
        writer.add_meta(contents.meta)
    unreadable = [
        Event(span.start, 0, {"event": "unreadable", "ms": (span.end - span.start) // _UNITS_PER_MS, "why": span.why})
        for span in contents.unreadable
    ]
    events = sorted((*contents.events, *unreadable), key=_time)
    streams: list[Iterable[_Timed]] = [events, contents.sender_reports, _packets(contents)]
    for record in heapq.merge(*streams, key=_time):
        match record:
            case Packet():
                writer.add_packet(record)
            case Event():
                writer.add_event(record.at, record.side, record.body)
            case SenderReport():
                writer.add_sender_report(record.at, record.side, record.ssrc, record.ntp, record.rtp)
    end = {} if contents.end is None else dict(contents.end.body)
    writer.close(contents.duration, str(end.pop("reason", "recovered")), end)


def _lasting(events: Iterable[Event], start: int, end: int) -> Iterator[Event]:
    """What holds at ``start``. A side's first codecs hold before them too (look-back), so they may come from behind."""
    standing: dict[tuple[int, str], Event] = {}
    for event in events:
        key = event.side, event.name
        if event.at >= start:
            if event.name == "codecs" and key not in standing:
                standing[key] = event
        elif event.name in _LASTING:
            standing[key] = event
        elif event.name in _ENDED_BY:
            standing = {(side, name): each for (side, name), each in standing.items() if name != _ENDED_BY[event.name]}
    return (replace(event, at=0) for event in standing.values() if not start <= event.at < end)


def _packets(contents: Contents) -> Iterator[Packet]:
    columns = contents.packets
    for side, arrival, kind, marker, sequence, timestamp, ssrc, start, length in zip(
        *(getattr(columns, name).tolist() for name in columns.__slots__), strict=True
    ):
        payload = contents.data[start : start + length].tobytes()
        yield Packet(side, arrival, kind, sequence, timestamp, ssrc, payload, bool(marker))


def _time(record: _Timed) -> int:
    return record.arrival if isinstance(record, Packet) else record.at
