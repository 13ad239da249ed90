"""One pass over the chunks of a file: which hold, which were changed, moved, taken out or put in, and where.

Not responsible for signatures (``verify``), nor for what the records say (``reader``). Linear in the size of the file,
whatever is in it: what is searched in vain behind broken chunks has a limit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from mediaserverd.protocol.sasf.chunks import (
    CHUNK_HEADER,
    CHUNK_MAGIC,
    MAX_BODY_BYTES,
    OVERHEAD_BYTES,
    TAG_BYTES,
    TRAILER,
    TRAILER_MAGIC,
    Chunk,
    Cipher,
    Kind,
    Seal,
    chunk_at,
)
from mediaserverd.protocol.sasf.faults import Finding, SasfError

MAX_FINDINGS: Final = 200  # what is wrong in more places is one sentence: all of it is wrong
MAX_VAIN_BYTES: Final = 64 << 20  # of bodies whose tag was tried and did not hold while searching for the next chunk
_CHUNKS_A_TURN: Final = 512  # between two reports of progress
_MAGIC: Final = CHUNK_MAGIC.to_bytes(2, "little")
_SEARCH_WINDOW: Final = 1 << 20


Progress: TypeAlias = Callable[[float], None]  # told how much is done, from 0 to 1


def unheard(_: float) -> None:
    """For those who do not ask for progress."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Records are lost between these two chunks."""

    before: Chunk | None
    after: Chunk | None
    why: str


@dataclass(frozen=True, slots=True)
class Body:
    """The records of a chunk, at ``start`` in ``Plaintext.data``."""

    chunk: Chunk
    start: int


class Plaintext:
    """Bodies of RECORDS chunks, decrypted one behind the other; of a file in clear, where they lie."""

    def __init__(self, view: memoryview, cipher: Cipher, size: int) -> None:
        self._view = view
        self._cipher = cipher
        self._filled = 0
        self.data = np.empty(size, np.uint8).data if cipher.encrypted else view

    def take(self, chunk: Chunk) -> Body | None:
        """None if its tag does not hold."""
        if not self._cipher.encrypted:
            held = self._cipher.holding(self._view, chunk)
            return None if held is None else Body(held, held.body_at)
        start, end = self._filled, self._filled + chunk.length
        if not self._cipher.decrypt(self._view, chunk, self.data[start:end]):
            return None
        self._filled = end
        return Body(chunk, start)


@dataclass(slots=True)
class Scan:
    """``chunks``: those that hold, in the order of the file. ``end``: where the last of them ends."""

    view: memoryview
    start: int
    cipher: Cipher
    plaintext: Plaintext
    chunks: list[Chunk] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    end: int = 0
    seal: Seal | None = None
    torn: bool = False
    progress: Progress = unheard
    _vain: int = 0
    _gaps: list[tuple[Chunk | None, Chunk, bool]] = field(default_factory=list)

    def run(self) -> Scan:
        at, highest, seen = self.start, None, set[int]()
        self.end = at
        while not self._ended(at):
            chunk = self._holding(at)
            junk = chunk is None
            if chunk is None:
                chunk = self._resumed(at)
            if chunk is None:
                self._tail(at, highest)
                break
            self._placed(chunk, highest, seen, at if junk else None)
            if highest is None or chunk.number > highest.number:
                highest = chunk
            at = self.end = chunk.end
            if not len(self.chunks) % _CHUNKS_A_TURN:
                self.progress(at / len(self.view))
        self._missing(sorted(seen))
        return self

    def _ended(self, at: int) -> bool:
        """Whether nothing more is here; behind a seal, whether its trailer is, and nothing behind that."""
        sealing = self.chunks[-1] if self.chunks and self.chunks[-1].kind == Kind.SEAL else None
        if sealing is None:
            return at == len(self.view)
        whole = len(self.view) - at == TRAILER.size
        return whole and self.view[at:] == TRAILER.pack(sealing.offset, TRAILER_MAGIC)

    def _holding(self, at: int) -> Chunk | None:
        """The chunk here, if its tag holds; kept with its records or its seal."""
        chunk = chunk_at(self.view, at)
        if chunk is None:
            return None
        if not self.cipher.knows(chunk):
            follows = bytes(self.view[chunk.end : chunk.end + 2])
            return chunk if _MAGIC.startswith(follows) else None
        if chunk.kind != Kind.RECORDS:
            return self.cipher.holding(self.view, chunk)
        body = self.plaintext.take(chunk)
        if body is None:
            return None
        self.bodies.append(body)
        return body.chunk

    def _resumed(self, at: int) -> Chunk | None:
        """The next chunk that holds behind one that does not: at its end if that is right, else wherever one is."""
        broken = chunk_at(self.view, at)
        if broken is not None:
            self._vain += broken.length
            chunk = self._holding(broken.end)
            if chunk is not None:
                return chunk
        at += 1
        while at < len(self.view):
            window = bytes(self.view[at : at + _SEARCH_WINDOW])
            place = window.find(_MAGIC)
            if place < 0:
                at += max(1, len(window) - 1)
                continue
            at += place
            chunk = self._tried(at)
            if chunk is not None or self._vain > MAX_VAIN_BYTES:
                return chunk
            at += 1
        return None

    def _tried(self, at: int) -> Chunk | None:
        candidate = chunk_at(self.view, at)
        if candidate is None:
            return None
        chunk = self._holding(at)
        if chunk is None:
            self._vain += candidate.length + OVERHEAD_BYTES
        return chunk

    def _placed(self, chunk: Chunk, highest: Chunk | None, seen: set[int], junk_at: int | None) -> None:
        expected = 0 if highest is None else highest.number + 1
        if chunk.number in seen:
            self._found(chunk.offset, chunk.number, chunk.time_ms, f"chunk {chunk.number} is there twice")
            if self.bodies and self.bodies[-1].chunk is chunk:
                self.bodies.pop()
        elif chunk.number < expected:
            self._found(
                chunk.offset, chunk.number, chunk.time_ms,
                f"reordered: chunk {chunk.number} stands behind chunk {expected - 1}",
            )  # fmt: skip
        if junk_at is not None:
            self._changed(junk_at, expected, chunk, highest)
        elif chunk.number > expected:
            self._gaps.append((highest, chunk, False))
        seen.add(chunk.number)
        if chunk.kind == Kind.SEAL:
            self._sealed(chunk)
        elif self.chunks and self.chunks[-1].kind == Kind.SEAL:
            self._found(chunk.offset, chunk.number, chunk.time_ms, f"chunk {chunk.number} was put behind the seal")
        self.chunks.append(chunk)

    def _changed(self, at: int, expected: int, chunk: Chunk, highest: Chunk | None) -> None:
        """Bytes that hold nowhere, up to a chunk that holds."""
        lost = chunk.number - expected
        time_ms = 0 if highest is None else highest.time_ms
        if lost > 0:
            which = f"chunk {expected}" if lost == 1 else f"chunks {expected} to {chunk.number - 1}"
            self._found(at, expected, time_ms, f"tampered: {which} changed")
            self._hole(highest, chunk, "tampered")
        else:
            self._found(at, None, time_ms, f"tampered: {chunk.offset - at} bytes were put in")

    def _sealed(self, chunk: Chunk) -> None:
        try:
            self.seal = Seal.parse(self.view[chunk.body_at : chunk.end - TAG_BYTES], chunk.offset)
        except SasfError as fault:
            self._found(chunk.offset, chunk.number, chunk.time_ms, fault.what)

    def _tail(self, at: int, highest: Chunk | None) -> None:
        """What is behind the last chunk that holds."""
        size = len(self.view) - at
        number, time_ms = (0, 0) if highest is None else (highest.number + 1, highest.time_ms)
        if self.chunks and self.chunks[-1].kind == Kind.SEAL:
            self._found(at, None, None, "the trailer is cut or changed, or something was put behind it")
            return
        self.torn = True
        if self._vain > MAX_VAIN_BYTES:
            self._found(at, number, time_ms, f"tampered: so much is broken behind chunk {number - 1} that it is left")
        elif _begins_a_chunk(self.view[at:]):
            self._found(
                at, number, time_ms, f"truncated: the file ends in chunk {number}, {size} bytes of it are there"
            )
        else:
            self._found(at, number, time_ms, f"tampered: the last {size} bytes are no chunk")
        self._hole(highest, None, "truncated")

    def _missing(self, seen: list[int]) -> None:
        """Numbers that were left out, and did not come up elsewhere."""
        for before, after, _ in self._gaps:
            first = 0 if before is None else before.number + 1
            there = bisect_left(seen, after.number) - bisect_right(seen, first - 1)
            if there == after.number - first:
                continue
            which = f"chunk {first} is" if after.number == first + 1 else f"chunks {first} to {after.number - 1} are"
            self._found(after.offset, first, after.time_ms, f"{which} missing")
            self._hole(before, after, "missing")

    def _hole(self, before: Chunk | None, after: Chunk | None, why: str) -> None:
        if len(self.holes) < MAX_FINDINGS:
            self.holes.append(Hole(before, after, why))

    def _found(self, offset: int, chunk: int | None, time_ms: int | None, what: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(offset, chunk, time_ms, what))


def hop(view: memoryview, offset: int) -> list[Chunk]:
    """The headers alone from here on, as long as one stands where the one before ends."""
    chunks: list[Chunk] = []
    while (chunk := chunk_at(view, offset)) is not None:
        chunks.append(chunk)
        offset = chunk.end
    return chunks


def _begins_a_chunk(tail: memoryview) -> bool:
    if len(tail) < CHUNK_HEADER.size:
        return bytes(tail[:2]) == _MAGIC[: len(tail)]
    magic, _, zero, length, _, _ = CHUNK_HEADER.unpack_from(tail)
    cut = length <= MAX_BODY_BYTES and len(tail) < OVERHEAD_BYTES + length
    return bool(magic == CHUNK_MAGIC and not zero and cut)
