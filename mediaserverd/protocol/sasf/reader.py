"""Reads a file: what its header says, whether it was closed, and what was recorded. Needs neither daemon nor engine.

Responsible for finding and decrypting the chunks of a span of time, and for saying which spans could not be read. Not
responsible for who wrote it (``verify``).
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from mediaserverd.protocol.sasf.chunks import (
    INDEX_ENTRY,
    TAG_BYTES,
    TRAILER,
    TRAILER_MAGIC,
    Chunk,
    Cipher,
    Kind,
    Seal,
    chunk_at,
)
from mediaserverd.protocol.sasf.columns import Unpacked, unpack_bodies
from mediaserverd.protocol.sasf.contents import Contents, Event, Packets, SenderReport, Span
from mediaserverd.protocol.sasf.faults import Finding, SasfError, WrongKey, json_object
from mediaserverd.protocol.sasf.header import Header, key_check
from mediaserverd.protocol.sasf.keys import Keybox, PrivateKey, key_id, unwrap
from mediaserverd.protocol.sasf.opening import Opening, parse_opening
from mediaserverd.protocol.sasf.records import REPORT, Record, RecordKind
from mediaserverd.protocol.sasf.scan import Body, Hole, Plaintext, Progress, Scan, hop, unheard

State: TypeAlias = Literal["closed", "recovered", "open", "truncated"]
UNITS_PER_MS: Final = 8
_INDEX_COLUMNS: Final = np.dtype([("number", "<u4"), ("time", "<u4"), ("offset", "<u8")])


class SasfReader:
    """``data`` may be mapped and is not copied. ``keybox``: instead of the file's own, which may have been taken out.
    ``progress``: of ``scan``.

    Raises SasfError for what is no SASF file. A key that does not fit is told by what needs one.
    """

    def __init__(
        self,
        data: bytes | memoryview | mmap.mmap,
        private_keys: Sequence[PrivateKey] = (),
        keybox: Keybox | None = None,
        key: bytes | None = None,
        progress: Progress = unheard,
    ) -> None:
        self.view = memoryview(data)
        self.opening: Opening = parse_opening(self.view)
        self._given_keybox = keybox
        self._progress = progress
        self.key_id: str | None = None
        self._key = self._fitting(key) or self._unwrapped(private_keys)

    @property
    def header(self) -> Header:
        return self.opening.header

    @property
    def readable(self) -> bool:
        """Whether its records can be read: in clear, or with one of the keys given."""
        return self._key is not None or not self.header.encrypted

    @property
    def keybox(self) -> Keybox:
        """The one that is used. SasfError if it is the file's, and broken."""
        if self._given_keybox is not None:
            return self._given_keybox
        return Keybox.parse(self.opening.keybox, self.opening.keybox_at)

    @cached_property
    def seal(self) -> Seal | None:
        """By the trailer; by the headers of all chunks if that is not there."""
        chunk = self._sealing_chunk()
        if chunk is None:
            return None
        try:
            return Seal.parse(self.view[chunk.body_at : chunk.end - TAG_BYTES], chunk.offset)
        except SasfError:
            return None

    @cached_property
    def state(self) -> State:
        if self.seal is not None:
            return self.seal.state
        chunks = hop(self.view, self.opening.size)
        end = chunks[-1].end if chunks else self.opening.size
        return "open" if end == len(self.view) else "truncated"

    @cached_property
    def cipher(self) -> Cipher:
        return Cipher(self.opening.digest, self._key, encrypted=self.header.encrypted)

    @cached_property
    def scan(self) -> Scan:
        """Every chunk looked at, every tag that can be checked, checked."""
        start = self.opening.size
        room = len(self.view) - start if self._key is not None else 0
        plaintext = Plaintext(self.view, self.cipher, room)
        return Scan(self.view, start, self.cipher, plaintext, progress=self._progress).run()

    def contents(self, start_ms: int = 0, end_ms: int | None = None) -> Contents:
        """Everything, or the packets, events and reports of a span; META and the events of the first chunk always.

        Raises WrongKey. A span is read without reading the whole file, unless something in it is broken.
        """
        if not self.readable:
            raise WrongKey(self._why_unreadable())
        if start_ms <= 0 and end_ms is None:
            return self._whole()[0]
        stop = (1 << 32) if end_ms is None else end_ms
        return self._part(start_ms, stop) or _cut(self._whole()[0], start_ms, stop)

    def broken_records(self) -> list[Finding]:
        """Chunks that hold, whose records break the rules: the fault of whoever wrote them."""
        return self._whole()[1] if self.readable else []

    def _fitting(self, key: bytes | None) -> bytes | None:
        """A key that was unwrapped elsewhere, by who has the private keys."""
        if key is None or not self.header.encrypted:
            return None
        return key if key_check(key) == self.header.key_check else None

    def _unwrapped(self, private_keys: Sequence[PrivateKey]) -> bytes | None:
        if not self.header.encrypted or not private_keys:
            return None
        try:
            keybox = self.keybox
        except SasfError:  # told by whatever needs the key
            return None
        for private in private_keys:
            key = unwrap(keybox, self.header.file_id, [private])
            if key is not None and key_check(key) == self.header.key_check:
                self.key_id = key_id(private.public_key())
                return key
        return None

    def _why_unreadable(self) -> str:
        try:
            wanted = ", ".join(each.key_id for each in self.keybox.keys)
        except SasfError as fault:
            return str(fault)
        if wanted:
            return f"it is encrypted for {wanted}, of which no key was given"
        return "no keys are in it: its recorder keeps them, or they were destroyed"

    def _sealing_chunk(self) -> Chunk | None:
        at = len(self.view) - TRAILER.size
        if at >= self.opening.size:
            offset, magic = TRAILER.unpack_from(self.view, at)
            chunk = chunk_at(self.view, offset) if magic == TRAILER_MAGIC and offset < at else None
            if chunk is not None and self._is_seal(chunk):
                return chunk
        return next((each for each in reversed(hop(self.view, self.opening.size)) if self._is_seal(each)), None)

    def _is_seal(self, chunk: Chunk) -> bool:
        return chunk.kind == Kind.SEAL and self.cipher.holding(self.view, chunk) is not None

    def _whole(self) -> tuple[Contents, list[Finding]]:
        scan = self.scan
        bodies = sorted(scan.bodies, key=lambda body: body.chunk.number)
        assembly = _Assembly(scan.plaintext.data, bodies)
        spans = [self._span(hole, scan) for hole in scan.holes] + assembly.unreadable
        return assembly.contents(self.seal, spans), assembly.findings

    def _span(self, hole: Hole, scan: Scan) -> Span:
        start = 0 if hole.before is None else _last_time(hole.before, scan)
        end = start if hole.after is None else hole.after.time_ms * UNITS_PER_MS
        return Span(start, max(start, end), hole.why)

    def _part(self, start_ms: int, end_ms: int) -> Contents | None:
        """None if something between these times is not as it should be: then the whole must be looked at."""
        chunks = self._chunks_between(start_ms, end_ms)
        if chunks is None:
            return None
        plaintext = Plaintext(self.view, self.cipher, sum(chunk.length for chunk in chunks))
        bodies = [plaintext.take(chunk) for chunk in chunks]
        whole = [body for body in bodies if body is not None]
        if len(whole) < len(bodies):
            return None
        assembly = _Assembly(plaintext.data, whole)
        return _cut(assembly.contents(self.seal, assembly.unreadable), start_ms, end_ms)

    def _chunks_between(self, start_ms: int, end_ms: int) -> list[Chunk] | None:
        """The first chunk, and those whose records may lie between these times. None if any is not in its place."""
        first = chunk = chunk_at(self.view, self._indexed(start_ms))
        found: list[Chunk] = []
        # One more than needed at both ends: a packet may have been overtaken on its way to the file.
        while chunk is not None and chunk.kind != Kind.SEAL and not (found and found[-1].time_ms >= end_ms):
            if chunk.kind == Kind.RECORDS:
                if chunk.time_ms <= start_ms:
                    del found[:-1]
                found.append(chunk)
            following = chunk_at(self.view, chunk.end)
            if following is None and chunk.end != len(self.view):
                return None
            if following is not None and following.number != chunk.number + 1:
                return None
            chunk = following
        opening = chunk_at(self.view, self.opening.size)
        if first is None or opening is None or opening.number:
            return None
        return found if found[:1] == [opening] else [opening, *found]

    def _indexed(self, start_ms: int) -> int:
        """Where to begin looking for a time: at what the INDEX says, else at the first chunk."""
        chunk = chunk_at(self.view, self.seal.index) if self.seal is not None and self.seal.index else None
        if chunk is None or chunk.kind != Kind.INDEX or self.cipher.holding(self.view, chunk) is None:
            return self.opening.size
        body = self.view[chunk.body_at : chunk.body_at + chunk.length - chunk.length % INDEX_ENTRY.size]
        entries = np.frombuffer(body, _INDEX_COLUMNS)
        place = int(np.searchsorted(entries["time"], start_ms, "right")) - 2
        if place < 0:
            return self.opening.size
        number, time_ms, offset = entries[place].tolist()
        indexed = chunk_at(self.view, offset)
        said = (Kind.RECORDS, number, time_ms)
        fits = indexed is not None and (indexed.kind, indexed.number, indexed.time_ms) == said
        return offset if fits else self.opening.size


class _Assembly:
    """Contents made of bodies."""

    def __init__(self, data: memoryview, bodies: list[Body]) -> None:
        self._data = data
        self._bodies = bodies
        self._unpacked: Unpacked = unpack_bodies(
            data, [body.start for body in bodies], [body.chunk.length for body in bodies]
        )
        self._meta: dict[str, Any] = {}
        self._events: list[Event] = []
        self._reports: list[SenderReport] = []
        self._end: Event | None = None
        self.findings: list[Finding] = []
        self.unreadable: list[Span] = []
        for place, why in self._unpacked.broken:
            self._broken_body(place, why)
        for record in self._unpacked.others:
            self._record(record)

    def contents(self, seal: Seal | None, unreadable: list[Span]) -> Contents:
        return Contents(
            meta=self._meta,
            packets=Packets(*self._unpacked.columns),
            events=tuple(self._events),
            sender_reports=tuple(self._reports),
            end=self._end,
            duration=self._duration(seal),
            unreadable=tuple(sorted(unreadable, key=lambda span: span.start)),
            data=np.frombuffer(self._data, np.uint8),
        )

    def _duration(self, seal: Seal | None) -> int:
        if self._end is not None:
            return self._end.at
        last_packet = int(self._unpacked.columns[1].max(initial=0))
        last_record = max((record.at for record in self._unpacked.others), default=0)
        sealed = 0 if seal is None else seal.duration_ms * UNITS_PER_MS
        return max(last_packet, last_record, sealed)

    def _broken_body(self, place: int, why: str) -> None:
        chunk = self._bodies[place].chunk
        start = chunk.time_ms * UNITS_PER_MS
        after = self._bodies[place + 1].chunk.time_ms * UNITS_PER_MS if place + 1 < len(self._bodies) else start
        self.findings.append(Finding(chunk.offset, chunk.number, chunk.time_ms, f"chunk {chunk.number}: {why}"))
        self.unreadable.append(Span(start, max(start, after), "broken records"))

    def _record(self, record: Record) -> None:
        data = self._data[record.start : record.start + record.length]
        if record.kind == RecordKind.SENDER_REPORT:
            if record.length == REPORT.size:
                self._reports.append(SenderReport(record.at, record.side, *REPORT.unpack(data)))
            return
        try:
            self._document(record, json_object(data, "a record", record.start))
        except SasfError as fault:
            time_ms = record.at // UNITS_PER_MS
            self.findings.append(Finding(0, None, time_ms, fault.what))
            self.unreadable.append(Span(record.at, record.at, fault.what))

    def _document(self, record: Record, body: dict[str, Any]) -> None:
        match record.kind:
            case RecordKind.META:
                self._meta = self._meta or body
            case RecordKind.EVENT:
                self._events.append(Event(record.at, record.side, body))
            case RecordKind.END:
                self._end = Event(record.at, record.side, body)


def _last_time(chunk: Chunk, scan: Scan) -> int:
    """Of the records in a chunk: up to there the file can be read."""
    bodies = [body for body in scan.bodies if body.chunk is chunk]
    unpacked = unpack_bodies(scan.plaintext.data, [body.start for body in bodies], [chunk.length for _ in bodies])
    last_record = max((record.at for record in unpacked.others), default=chunk.time_ms * UNITS_PER_MS)
    return max(last_record, int(unpacked.columns[1].max(initial=0)))


def _cut(contents: Contents, start_ms: int, end_ms: int) -> Contents:
    start, end = start_ms * UNITS_PER_MS, end_ms * UNITS_PER_MS
    arrival = contents.packets.arrival
    return Contents(
        meta=contents.meta,
        packets=contents.packets.where((arrival >= start) & (arrival < end)),
        events=tuple(event for event in contents.events if event.at < end),
        sender_reports=tuple(report for report in contents.sender_reports if start <= report.at < end),
        end=contents.end,
        duration=contents.duration,
        unreadable=tuple(span for span in contents.unreadable if span.end >= start and span.start < end),
        data=contents.data,
    )
