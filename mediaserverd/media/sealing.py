"""Turns the running file of an ended recording into its finished file and report, in a process of its own.

Responsible for the order in which things reach the disk, so that at every moment either the running file or the
finished one is whole; for sealing what a writer that died left behind; and for the choice between the SASF file itself
and a WAV file made of it. Not responsible for what is in a file (``protocol.sasf``, ``rendering``), nor for what is
listed (``recordings``). Hashing and rendering are arithmetic on whole calls: in the media server's process they would
stall ng.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.audio.workshop import Job, WorkerDied, Workshop
from mediaserverd.media import report
from mediaserverd.media.identity import read_identity
from mediaserverd.media.report import SASF_SUFFIX, WAV_SUFFIX, Report
from mediaserverd.protocol.sasf.chunks import Seal
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import readable_duration_ms, seal_recovered

NICENESS: Final = 10  # packets and signalling come first
SPOOL_SUFFIX: Final = ".spool"
REPORT_SUFFIX: Final = ".json"
UNREADABLE_SUFFIX: Final = ".unreadable"  # a spool without a readable beginning, kept for a person to look at


@dataclass(frozen=True, slots=True)
class Ended:
    """How a recording ended, as far as its file does not say it. ``quality``: what the engine counted."""

    reason: str
    failure: str | None
    quality: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a running file tells this server of itself: of an encrypted one, what is in its header."""

    header: Header
    suffix: str
    encoding: str
    metadata: Any


@dataclass(frozen=True, slots=True)
class _Made:
    """A finished file that still has to get its name. ``quality`` is None if it cannot be known without its key."""

    part: Path
    duration_ms: int
    quality: Mapping[str, Any] | None


def outline(source: Path) -> Outline:
    """Raises SasfError if the file has no whole beginning."""
    reader = SasfReader(_mapped(source))
    meta: Mapping[str, Any] = {} if reader.header.encrypted else reader.contents(0, 1).meta
    suffix = WAV_SUFFIX if meta.get("format") == "wav" else SASF_SUFFIX
    metadata = None if reader.header.encrypted else meta.get("metadata", {})
    return Outline(reader.header, suffix, str(meta.get("encoding", "")), metadata)


def seal(directory: Path, stem: str, identity_file: Path, ended: Ended | None) -> Report:
    """Makes the finished file of a recording. ``ended`` is None if that is not known any more: its writer died.

    Raises OSError if the disk does not take the file; the running file is then as it was, or sealed. Safe to repeat
    after a crash at any point: the report is in place before the finished file, and that before the running one goes.
    """
    source = directory / (stem + SPOOL_SUFFIX)
    try:
        about = outline(source)
        closing = _closed(source, about.header, read_identity(identity_file))
    except SasfError:
        return _give_up(directory, stem, source)
    target = directory / (stem + about.suffix)
    made = _made(source, target, about, closing, ended)
    result = _report(made, target.name, about, closing, ended)
    earlier = _earlier_report(directory, stem)
    if ended is None and earlier is not None and earlier.sha256 == result.sha256:
        result = earlier  # it was all done but for the name, and knew more
    _write_durably(directory, stem + REPORT_SUFFIX, result.encode())
    made.part.rename(target)
    _sync(directory)
    source.unlink(missing_ok=True)
    return result


def _closed(source: Path, header: Header, identity: Ed25519PrivateKey) -> Seal:
    """Sealed, and on the disk. What an identity wrote that is gone stays as it is: nobody else can sign for it."""
    with source.open("r+b") as file:
        if header.signer == identity.public_key().public_bytes_raw():
            closing = seal_recovered(file, identity)
        else:
            reader = SasfReader(file.read())
            closing = reader.seal or Seal("recovered", "recovered", readable_duration_ms(reader), 0, 0, 0, None)
        file.flush()
        os.fsync(file.fileno())
    return closing


def _made(source: Path, target: Path, about: Outline, closing: Seal, ended: Ended | None) -> _Made:
    if about.suffix == SASF_SUFFIX:
        return _Made(source, closing.duration_ms, ended.quality if ended else None)
    from mediaserverd.media.rendering import render_wav  # only a process that renders has need of all that

    part = _part_of(target)
    part.unlink(missing_ok=True)
    try:
        rendered = render_wav(SasfReader(_mapped(source)), about.encoding, part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return _Made(part, rendered.duration_ms, rendered.quality)


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _report(made: _Made, file: str, about: Outline, closing: Seal, ended: Ended | None) -> Report:
    header = about.header
    failure = ended.failure if ended else None
    quality = made.quality
    if failure and quality is not None:
        quality = {**quality, "degraded": True}
    reason = "recovered" if closing.state == "recovered" else closing.reason
    recording_id, segment = report.parsed_stem(Path(file).stem) or ("", 0)
    return Report(
        file=file,
        recording_id=recording_id,
        segment=segment,
        call_id=header.call_id,
        state="failed" if failure else "finished",
        reason=failure or (ended.reason if ended else reason),
        media_type=report.media_type_of(file),
        encoding=about.encoding,
        encrypted=header.encrypted,
        started_at=report.iso_time(header.created_ns),
        ended_at=report.iso_time(header.created_ns + made.duration_ms * 1_000_000),
        metadata=about.metadata,
        size=made.part.stat().st_size,
        sha256=_sha256(made.part),
        duration_ms=made.duration_ms,
        quality=quality,
    )


def _earlier_report(directory: Path, stem: str) -> Report | None:
    try:
        return Report.decode((directory / (stem + REPORT_SUFFIX)).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _give_up(directory: Path, stem: str, source: Path) -> Report:
    recording_id, segment = report.parsed_stem(stem) or ("", 0)
    began = report.iso_time(source.stat().st_mtime_ns)
    file = stem + SASF_SUFFIX
    result = Report(
        file=file, recording_id=recording_id, segment=segment, call_id="", state="failed", reason="spool-unreadable",
        media_type=report.media_type_of(file), encoding="", encrypted=False, started_at=began, ended_at=began,
        metadata=None,
    )  # fmt: skip
    _write_durably(directory, stem + REPORT_SUFFIX, result.encode())
    source.rename(source.with_suffix(UNREADABLE_SUFFIX))
    _sync(directory)
    return result


def _mapped(file: Path) -> mmap.mmap | bytes:
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return b""  # cannot be mapped
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_durably(directory: Path, name: str, content: bytes) -> None:
    part = directory / f".{name}.part"
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(directory / name)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(_: Job, directory: Path, stem: str, identity_file: Path, ended: Ended | None) -> Report:
    return seal(directory, stem, identity_file, ended)


def _warm_up(_: Job) -> None:
    """By now all that sealing needs is loaded."""


class Sealer:
    """One recording at a time: an hour of it takes a second or two, and more would only take cores from the engine."""

    def __init__(self, identity_file: Path) -> None:
        self._identity_file = identity_file
        self.workshop = Workshop(1, niceness=NICENESS)
        self._turn = asyncio.Lock()
        self._in_hand: asyncio.Task[Report] | None = None

    async def seal(self, directory: Path, stem: str, ended: Ended | None = None) -> Report:
        """As ``seal``. A process that dies twice over one recording raises OSError."""
        async with self._turn:
            self._in_hand = asyncio.create_task(self._sealed(directory, stem, ended))
            return await asyncio.shield(self._in_hand)

    async def _sealed(self, directory: Path, stem: str, ended: Ended | None) -> Report:
        for _ in range(2):
            with contextlib.suppress(WorkerDied):
                return await self.workshop.run(_seal, directory, stem, self._identity_file, ended)
        raise OSError(errno.EIO, "the sealing process died", stem)

    async def warm_up(self) -> None:
        """Has the process started and its modules loaded, so that the first recording does not wait for that."""
        with contextlib.suppress(WorkerDied):
            await self.workshop.run(_warm_up)

    async def close(self) -> None:
        """Ends behind the file in hand. What waits its turn stays in its spool for the next start."""
        if self._in_hand is not None:
            await asyncio.wait([self._in_hand])
        await self.workshop.close()
