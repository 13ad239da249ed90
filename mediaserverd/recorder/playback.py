"""Stored recordings as those hear or take them who may: opened with the vault's keys, rendered beside this process.

What is decrypted is never written to a disk. Files of formats that can only be made whole are kept in memory for a
while, bounded, so that a player can ask for their parts. Not responsible for who may, nor for HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mediaserverd.audio.cuts import Cuts
from mediaserverd.audio.workshop import Workshop
from mediaserverd.protocol.sasf import archive
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.keys import Keybox
from mediaserverd.protocol.sasf.manifest import Manifest
from mediaserverd.protocol.sasf.opening import MAX_OPENING_BYTES, parse_opening
from mediaserverd.recorder import rendering
from mediaserverd.recorder.catalogue.custody import Custody
from mediaserverd.recorder.rendering import Part, Parts, Source
from mediaserverd.recorder.store import Store
from mediaserverd.recorder.vault import Vault

KEPT_BYTES: Final = 128 << 20  # of files that were rendered whole
PART_BYTES: Final = 1 << 20  # of a WAV file, rendered at a time: a minute at 8 kHz, and no worker waits for a listener

Pieces = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]


class Locked(Exception):
    """The recording is encrypted, and no key that opens it is here."""

    def __init__(self, key_ids: tuple[str, ...]) -> None:
        super().__init__(f"it is encrypted for keys {', '.join(key_ids)}, none of them is here")
        self.key_ids = key_ids


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the store. ``custody``: what opens it, if it is encrypted. ``source_sha256``: as it was fetched.
    ``cuts``: what is left out of a WAV."""

    store_key: str
    size: int
    sha256: str
    source_sha256: str
    encrypted: bool
    compressed: bool
    custody: Custody | None
    is_wav: bool = False
    cuts: Cuts = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """A stored segment as a piece of what is heard (``timeline.Piece``)."""

    stored: Stored
    silence_before_ms: int = 0
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes that can be had in parts. ``sha256`` is empty where only making all of them tells: then ``digest`` does.

    ``size`` None: they are made while they are read, and can only be read from the first to the last.
    """

    etag: str
    size: int | None
    sha256: str
    pieces: Pieces  # (first byte, byte behind the last one)
    digest: Callable[[], Awaitable[str]] | None = None


class Chain:
    """Blocks of bytes one behind the other, of which those that lie elsewhere are read when they are wanted."""

    def __init__(self, blocks: Sequence[bytes | Representation]) -> None:
        self._blocks = blocks
        self.size = sum(map(_size, blocks))

    async def pieces(self, first: int, end: int) -> AsyncIterator[bytes]:
        return self._pieces(first, end)

    async def _pieces(self, first: int, end: int) -> AsyncIterator[bytes]:
        at = 0
        for block in self._blocks:
            start, stop = max(0, first - at), min(_size(block), end - at)
            if start < stop and isinstance(block, bytes):
                yield block[start:stop]
            elif start < stop and isinstance(block, Representation):
                async for piece in await block.pieces(start, stop):
                    yield piece
            at += _size(block)

    async def digest(self) -> str:
        sha256 = hashlib.sha256()
        async for piece in self._pieces(0, self.size):
            sha256.update(piece)
        return sha256.hexdigest()


def _size(block: bytes | Representation) -> int:
    return len(block) if isinstance(block, bytes) else block.size or 0


class _Kept:
    """Files that were rendered whole, by etag; those that were asked for last."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def find(self, etag: str) -> bytes | None:
        if etag in self._files:
            self._files.move_to_end(etag)
        return self._files.get(etag)

    def keep(self, etag: str, content: bytes) -> bytes:
        self._files[etag] = content
        self._files.move_to_end(etag)
        while len(self._files) > 1 and sum(map(len, self._files.values())) > KEPT_BYTES:
            self._files.popitem(last=False)
        return content

    async def keeping(self, etag: str, first: bytes, others: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        """Passes the pieces of a file on, and keeps it if all of them came and it is not too long."""
        made, size = [first], len(first)
        async with contextlib.aclosing(others):
            yield first
            async for piece in others:
                size += len(piece)
                if size <= KEPT_BYTES:
                    made.append(piece)
                yield piece
        if size <= KEPT_BYTES:
            self.keep(etag, b"".join(made))


class Playback:
    """Raises Locked, KeyFault, SasfError and WavFault (it cannot be read), FileNotFoundError; and what store and
    workshop do."""

    def __init__(self, store: Store, vault: Vault, workshop: Workshop, name: str, version: str) -> None:
        self._store = store
        self._vault = vault
        self._workshop = workshop
        self._name = name
        self._version = version  # another one may render other bytes
        self._kept = _Kept()

    def as_stored(self, stored: Stored) -> Representation:
        def pieces(first: int, end: int) -> Awaitable[AsyncIterator[bytes]]:
            return self._store.read(stored.store_key, first, end)

        return Representation(f'"{stored.sha256}"', stored.size, stored.sha256, pieces)

    async def with_keys(self, stored: Stored) -> Representation:
        """The file with its keys in it again: what was recorded, byte by byte, unless it was compressed since."""
        if stored.custody is None:
            return self.as_stored(stored)
        beginning = b"".join([piece async for piece in await self._read(stored, 0, MAX_OPENING_BYTES)])
        opening = parse_opening(beginning)
        keybox, at = stored.custody.content.ljust(len(opening.keybox)), opening.keybox_at

        async def pieces(first: int, end: int) -> AsyncIterator[bytes]:
            return _patched(await self._store.read(stored.store_key, first, end), first, keybox, at)

        sha256 = "" if stored.compressed else stored.source_sha256
        return Representation(f'"{stored.sha256}-keys"', stored.size, sha256, pieces)

    async def archived(self, manifest: Manifest, files: Sequence[Stored], *, keys: bool) -> Representation:
        """All segments in one file. ``manifest``: without what only the files say."""
        parts = [await self.with_keys(each) if keys else self.as_stored(each) for each in files]
        ids = [await self._file_id(each) for each in files]
        segments = tuple(replace(one, file_id=each) for one, each in zip(manifest.segments, ids, strict=True))
        told = replace(manifest, segments=segments, writer=self._name)
        opening = archive.beginning(told, await asyncio.to_thread(self._vault.signer))
        blocks: list[bytes | Representation] = [opening]
        for segment, part, each in zip(segments, parts, files, strict=True):
            blocks += [archive.member_header(segment.file, each.size), part, archive.padding(each.size)]
        chain = Chain((*blocks, archive.END))
        identity = hashlib.sha256(opening + "".join(each.etag for each in parts).encode()).hexdigest()
        return Representation(f'"{identity}"', chain.size, "", chain.pieces, chain.digest)

    async def _file_id(self, stored: Stored) -> str:
        """Empty for what cannot be read, which is kept as evidence."""
        try:
            beginning = b"".join([piece async for piece in await self._read(stored, 0, MAX_OPENING_BYTES)])
            return parse_opening(beginning).header.file_id.hex()
        except SasfError:
            return ""

    async def rendered_wav(self, heard: Sequence[Heard], encoder: str) -> Representation:
        parts = await self._parts(heard)
        size = await self._workshop.run(rendering.measure, parts, encoder)

        async def render(first: int, end: int) -> AsyncIterator[bytes]:
            for start in range(first, end, PART_BYTES):
                last = min(start + PART_BYTES, end) - 1
                yield await self._workshop.run(rendering.part, parts, encoder, start, last)

        async def pieces(first: int, end: int) -> AsyncIterator[bytes]:
            return render(first, end)

        def digest() -> Awaitable[str]:
            return self._workshop.run(rendering.digest, parts, encoder)

        return Representation(self._etag(heard, encoder), size, "", pieces, digest)

    async def rendered_whole(self, heard: Sequence[Heard], encoder: str, *, at_once: bool) -> Representation:
        """``at_once``: begin to send before all is made, unless it is kept from an earlier time."""
        etag = self._etag(heard, encoder)
        content = self._kept.find(etag)
        if content is None:
            parts = await self._parts(heard)
            if at_once:
                return Representation(etag, None, "", lambda _first, _end: self._stream(etag, parts, encoder))
            stream = self._workshop.stream(rendering.stream, parts, encoder)
            content = self._kept.keep(etag, b"".join([piece async for piece in stream]))
        made = content
        sha256 = (await asyncio.to_thread(hashlib.sha256, made)).hexdigest()

        async def pieces(first: int, end: int) -> AsyncIterator[bytes]:
            return _in_pieces(made, first, end)

        return Representation(etag, len(made), sha256, pieces)

    async def _stream(self, etag: str, parts: Parts, encoder: str) -> AsyncIterator[bytes]:
        """What is wrong with the recording, or with the workshop, is raised before anything is sent."""
        stream = self._workshop.stream(rendering.stream, parts, encoder)
        return self._kept.keeping(etag, await anext(stream), stream)

    def _etag(self, heard: Sequence[Heard], encoder: str) -> str:
        return f'"{_identity(heard)}-{encoder}-{self._version}"'

    def forget(self) -> None:
        """What was rendered: something was deleted, and should not be heard from here either."""
        self._kept = _Kept()

    async def _parts(self, heard: Sequence[Heard]) -> list[Part]:
        return [Part(await self._source(each.stored), each.silence_before_ms, each.until_ms) for each in heard]

    async def _source(self, stored: Stored) -> Source:
        key = await asyncio.to_thread(self._unlock, stored.custody) if stored.custody is not None else None
        path = self._store.path(stored.store_key)
        if path is None:
            content = b"".join([piece async for piece in await self._read(stored, 0, stored.size)])
        return Source(path or content, key, stored.sha256, stored.is_wav, stored.cuts)

    def _unlock(self, custody: Custody) -> bytes:
        keybox = Keybox.parse(custody.content)
        key = self._vault.unlock(keybox, custody.file_id)
        if key is None:
            raise Locked(tuple(wrapped.key_id for wrapped in keybox.keys))
        return key

    def _read(self, stored: Stored, first: int, end: int) -> Awaitable[AsyncIterator[bytes]]:
        return self._store.read(stored.store_key, first, min(end, stored.size))


def _identity(heard: Sequence[Heard]) -> str:
    """Of what is heard; of one segment alone, that of its file."""
    if len(heard) == 1:
        return heard[0].stored.sha256
    told = [f"{each.stored.sha256} {each.silence_before_ms} {each.until_ms}" for each in heard]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


async def _patched(pieces: AsyncIterator[bytes], at: int, keybox: bytes, keybox_at: int) -> AsyncIterator[bytes]:
    """``at``: where in the file the first piece begins."""
    keybox_end = keybox_at + len(keybox)
    async for piece in pieces:
        start, end = max(at, keybox_at), min(at + len(piece), keybox_end)
        if start < end:
            middle = keybox[start - keybox_at : end - keybox_at]
            piece = piece[: start - at] + middle + piece[end - at :]
        yield piece
        at += len(piece)


async def _in_pieces(content: bytes, first: int, end: int) -> AsyncIterator[bytes]:
    for start in range(first, end, PART_BYTES):
        yield content[start : min(start + PART_BYTES, end)]
