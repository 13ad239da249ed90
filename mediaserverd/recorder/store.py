"""The object store: a local folder, or whatever obstore knows (S3, GCS, Azure). Not responsible for what lies in it.

``put`` returns only when the object was read back and is what was given, and, in a local folder, when it would survive
a power cut: after that the only other copy, the one on the media server, is deleted.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from mediaserverd.process.role import StartFault

log = structlog.get_logger()

PIECE_BYTES = 1 << 20
PROBE_KEY = ".mediaserverd-probe"

# What obstore's local store leaves of an object that was being written when the process died: "name#number".
_LEFTOVER = re.compile(r"#\d+$")


class StoreFault(Exception):
    def __init__(self, explanation: str, *, full: bool = False) -> None:
        super().__init__(explanation)
        self.full = full


class Store:
    def __init__(self, url: str) -> None:
        """Raises StartFault when the URL is none that a store is known for."""
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        try:
            self._store: ObjectStore = (
                LocalStore(self._folder, mkdir=True) if self._folder is not None else from_url(url)
            )
        except (BaseError, OSError, ValueError) as fault:
            raise StartFault(
                f"cannot use the store {url}: {_told(fault)}; store_url must name a folder that can be written "
                "(file:///...) or an object store (s3://bucket/...)"
            ) from fault

    async def put(self, key: str, source: Path, size: int, sha256: str) -> None:
        """Writes, or writes over, an object from a file. Raises StoreFault."""
        try:
            await obstore.put_async(self._store, key, source)
            if self._folder is not None:
                await asyncio.to_thread(_make_durable, self._folder, self._folder / key)
        except (BaseError, OSError) as fault:
            raise _fault(fault) from fault
        if not await self.holds(key, size, sha256):
            raise StoreFault(f"{key} reads back from the store other than it was written")

    async def holds(self, key: str, size: int, sha256: str) -> bool:
        """Whether the store has this very content under the key, by reading it."""
        try:
            result = await obstore.get_async(self._store, key)
            if result.meta["size"] != size:
                return False
            digest = hashlib.sha256()
            async for piece in result.stream(min_chunk_size=PIECE_BYTES):
                await asyncio.to_thread(digest.update, piece)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as fault:
            raise _fault(fault) from fault
        return digest.hexdigest() == sha256

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Opens the bytes from start up to but without end. Raises FileNotFoundError, StoreFault."""
        try:
            result = await obstore.get_async(self._store, key, options={"range": (start, end)})
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as fault:
            raise _fault(fault) from fault

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in result.stream(min_chunk_size=PIECE_BYTES // 4):
                yield bytes(piece)

        return pieces()

    def path(self, key: str) -> Path | None:
        """Where the object lies, if it is a file of this host."""
        return self._folder / key if self._folder is not None else None

    async def remove(self, key: str) -> None:
        """Also when it is gone already."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as fault:
            raise _fault(fault) from fault

    async def probe(self) -> str:
        """Why the store cannot be written now; empty when it can."""
        try:
            await obstore.put_async(self._store, PROBE_KEY, b"mediaserverd was here\n")
            await obstore.delete_async(self._store, PROBE_KEY)
        except (BaseError, OSError) as fault:
            return _told(fault)
        return ""

    async def sweep(self, before: datetime) -> int:
        """Removes what a kill at an earlier run left of half-written objects: those not touched since ``before``."""
        return 0 if self._folder is None else await asyncio.to_thread(_sweep, self._folder, before.timestamp())


def _sweep(folder: Path, before: float) -> int:
    swept = 0
    for directory, _, files in os.walk(folder):
        for path in (Path(directory, name) for name in files if _LEFTOVER.search(name)):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                swept += 1
    return swept


def _make_durable(folder: Path, path: Path) -> None:
    """obstore renames a finished file into place but syncs neither it nor its folders."""
    for entry in (path, *path.parents):
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if entry == folder:
            return


def _fault(fault: BaseException) -> StoreFault:
    full = getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "StorageFull" in str(fault)
    return StoreFault(_told(fault), full=full or "QuotaExceeded" in str(fault))


def _told(fault: BaseException) -> str:
    # obstore puts a dump of its inner error below the first line.
    return str(fault).partition("\n")[0]
