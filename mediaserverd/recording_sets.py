"""Recording files as somebody has them: one segment, several of one recording, or an archive of them.

Responsible for opening them, for telling which belong together, and for what is heard of each where, which an archive
says and single files let one guess. Not responsible for what is then done with them (``recording_files``).
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mediaserverd.audio.render import Rendering
from mediaserverd.protocol.sasf.archive import Archive, is_archive, read_archive
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.keys import PrivateKey
from mediaserverd.protocol.sasf.manifest import Gap
from mediaserverd.protocol.sasf.opening import parse_opening
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.scan import Progress, unheard
from mediaserverd.recorder.states import SegmentState
from mediaserverd.recorder.timeline import Part, Piece, timeline

Data = memoryview
OnFault = Callable[[str], None]
UNITS_PER_MS = UNITS_PER_SECOND // 1000


@dataclass(frozen=True, slots=True)
class Bundle:
    """What belongs to one recording. ``files``: name and bytes of each segment."""

    name: str
    files: tuple[tuple[str, Data], ...]
    archive: Archive | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """``piece``: what is heard of it, and how much silence before it."""

    name: str
    reader: SasfReader
    piece: Piece

    @property
    def number(self) -> int:
        return self.reader.header.segment


@dataclass(frozen=True, slots=True)
class Recording:
    """``segments`` by number; at least one. ``gaps``: as the archive says, else by the clocks of those who wrote."""

    name: str
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...]
    archive: Archive | None

    @property
    def is_one_file(self) -> bool:
        return len(self.segments) == 1 and self.archive is None


@dataclass(frozen=True, slots=True)
class Extract:
    """A part of a recording within one segment: from ``start`` to ``end`` of its contents, ``at`` this time of the
    recording, after so much silence. All in units of 125 us."""

    segment: Segment
    contents: Contents
    start: int
    end: int
    at: int
    silence_before: int


def bundles(files: Sequence[Path], on_fault: OnFault) -> list[Bundle]:
    """Segments of one recording together. Copies of one segment, of which one may have been changed, are no two
    segments."""
    single: dict[tuple[str, int], list[tuple[str, Data]]] = {}
    seen: Counter[tuple[str, int]] = Counter()
    archives: list[Bundle] = []
    for file in files:
        try:
            data = _mapped(file)
            if is_archive(data):
                archives.append(_archived(file, data))
                continue
            header = parse_opening(data).header
            segment = header.recording_id, header.segment
            single.setdefault((header.recording_id, seen[segment]), []).append((str(file), data))
            seen[segment] += 1
        except SasfError as fault:
            on_fault(f"{file}: {fault}")
        except OSError as fault:
            on_fault(f"{file}: {fault.strerror}")
    return [Bundle(", ".join(name for name, _ in each), tuple(each)) for each in single.values()] + archives


def opened(bundle: Bundle, keys: Sequence[PrivateKey], progress: Progress = unheard) -> Recording:
    """Raises SasfError. ``progress`` is told of all segments together, whenever they are scanned."""
    total = sum(len(data) for _, data in bundle.files)
    readers, before = list[tuple[str, SasfReader]](), 0
    for name, data in bundle.files:
        readers.append((name, SasfReader(data, keys, progress=_share(progress, before, len(data), total))))
        before += len(data)
    readers.sort(key=lambda each: each[1].header.segment)
    numbers = [reader.header.segment for _, reader in readers]
    if len(set(numbers)) < len(numbers):
        raise SasfError(f"two of them are the same segment of {readers[0][1].header.recording_id}")
    pieces, gaps = _archived_pieces(bundle.archive) if bundle.archive else _guessed_pieces(readers)
    segments = tuple(
        Segment(name, reader, pieces.get(reader.header.segment, Piece(reader.header.segment)))
        for name, reader in readers
    )
    return Recording(bundle.name, segments, gaps, bundle.archive)


def extracts(
    recording: Recording, read: Callable[[Segment], Contents], start: int = 0, end: int | None = None
) -> tuple[list[Extract], int]:
    """What lies between these times of the recording; and how long all of it is."""
    found, at, done = list[Extract](), 0, start
    for segment in recording.segments:
        contents, piece = read(segment), segment.piece
        begin = at + piece.silence_before_ms * UNITS_PER_MS
        until = contents.duration if piece.until_ms is None else piece.until_ms * UNITS_PER_MS
        at = begin + min(contents.duration, until)
        first, last = max(start, begin), at if end is None else min(end, at)
        if first < last:
            found.append(Extract(segment, contents, first - begin, last - begin, first, first - done))
            done = last
    return found, at


def _mapped(file: Path) -> Data:
    """What is not needed stays on the disk."""
    with file.open("rb") as stream:
        if not file.stat().st_size:
            raise SasfError("empty, not a SASF file")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _archived(file: Path, data: Data) -> Bundle:
    archive = read_archive(data)
    if not archive.files:
        raise SasfError("not one segment of the recording is in it")
    return Bundle(str(file), tuple(archive.files.items()), archive)


def _share(progress: Progress, before: int, size: int, total: int) -> Progress:
    return lambda done: progress((before + done * size) / total)


def _archived_pieces(archive: Archive) -> tuple[dict[int, Piece], tuple[Gap, ...]]:
    """Where a segment was taken out of the archive, as much of it as is known is silent."""
    pieces: dict[int, Piece] = {}
    silence = 0
    for each in archive.manifest.segments:
        silence += each.silence_before_ms
        if each.file in archive.files:
            pieces[each.number] = Piece(each.number, silence, each.until_ms)
            silence = 0
        else:
            silence += each.until_ms or 0
    return pieces, archive.manifest.gaps


def _guessed_pieces(readers: Sequence[tuple[str, SasfReader]]) -> tuple[dict[int, Piece], tuple[Gap, ...]]:
    if len(readers) == 1:
        return {}, ()
    zero = readers[0][1].header.created_ns
    joined = timeline([_part(reader, (reader.header.created_ns - zero) // 1_000_000) for _, reader in readers])
    return {piece.number: piece for piece in joined.pieces}, joined.gaps


def _part(reader: SasfReader, begin_ms: int) -> Part:
    sealed = reader.seal.duration_ms if reader.seal else 0
    part = Part(
        number=reader.header.segment,
        state=SegmentState.STORED,
        reason=reader.seal.reason if reader.seal else "not closed",
        ended_because="",
        started=True,
        begin_ms=begin_ms,
        duration_ms=sealed,
    )
    if not reader.readable:
        return part
    contents = reader.contents()
    rendering = Rendering(contents)
    heard_from, heard_to = rendering.heard_ms or (None, None)
    return replace(
        part,
        duration_ms=contents.duration // UNITS_PER_MS,
        heard_from_ms=heard_from,
        heard_to_ms=heard_to,
        is_silent=rendering.heard_ms is None,
        silences_ms=tuple((start, end) for start, end in rendering.silences_ms),
        outages_ms=tuple((start, end) for start, end in rendering.outages_ms),
        cuts=rendering.cuts,
    )
