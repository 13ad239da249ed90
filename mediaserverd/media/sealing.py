"""Turns the spool of an ended recording into its finished file and report, in a process of its own.

Responsible for the order in which things reach the disk, so that at every moment either the spool or the finished file
is whole, and for the choice of the container. Not responsible for what is in a container (``wav``), nor for what is
listed (``recordings``). Rendering is arithmetic on whole calls: in the media server's process it would stall ng.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final, Protocol, cast

from mediaserverd.media import report, spool, wav
from mediaserverd.media.report import Report
from mediaserverd.media.settings import WavEncoding
from mediaserverd.media.spool import Spool, SpoolError

NICENESS: Final = 10  # packets and signalling come first
WORKERS: Final = 1  # renders an hour of audio in a second or two; more would only take cores from the engine
SPOOL_SUFFIX: Final = ".spool"
REPORT_SUFFIX: Final = ".json"
UNREADABLE_SUFFIX: Final = ".unreadable"  # a spool without a readable beginning, kept for a person to look at
AUDIO_SUFFIX: Final = ".wav"


class Container(Protocol):
    """How a recording is kept: the ending and media type of its file, and how to make it."""

    suffix: str
    media_type: str

    def write(self, recording: Spool, target: Path, encoding: str) -> wav.Rendered: ...


class _Wav:
    suffix = AUDIO_SUFFIX
    media_type = "audio/wav"

    def write(self, recording: Spool, target: Path, encoding: str) -> wav.Rendered:
        return wav.render(recording, target, cast(WavEncoding, encoding))


# By the encoding in META. An encrypted container takes its place here, and nothing else of the sealing changes.
CONTAINERS: Final[Mapping[str, Container]] = dict.fromkeys(("audio/L16", "audio/PCMU", "audio/PCMA"), _Wav())
_DEFAULT_ENCODING: Final = "audio/L16"


def seal(directory: Path, stem: str, failure: str | None) -> Report:
    """Makes the finished file of a spool. ``failure``: why the recording did not go well, if it did not.

    Raises OSError if the disk does not take the file; the spool is then as it was. Safe to repeat after a crash at any
    point: the report is in place before the audio, the audio before the spool goes.
    """
    source = directory / (stem + SPOOL_SUFFIX)
    try:
        recording = spool.read(source)
    except SpoolError:
        return _give_up(directory, stem, source)
    encoding = str(recording.meta.get("encoding"))
    encoding = encoding if encoding in CONTAINERS else _DEFAULT_ENCODING
    container = CONTAINERS[encoding]
    target = directory / (stem + container.suffix)
    part = directory / f".{target.name}.part"
    part.unlink(missing_ok=True)
    try:
        rendered = container.write(recording, part, encoding)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    result = _report(recording, target.name, container.media_type, encoding, rendered, failure)
    _write_durably(directory, stem + REPORT_SUFFIX, result.encode())
    part.rename(target)
    _sync(directory)
    source.unlink()
    return result


def _report(
    recording: Spool, file: str, media_type: str, encoding: str, rendered: wav.Rendered, failure: str | None
) -> Report:
    meta = recording.meta
    started_ns = int(meta.get("started_ns", recording.started_ns))
    ended = recording.end.body if recording.end else {}
    quality = {**rendered.quality, "degraded": bool(failure) or rendered.quality["degraded"]}
    recording_id, segment = report.parsed_stem(Path(file).stem) or ("", 0)
    return Report(
        file=file,
        recording_id=recording_id,
        segment=segment,
        call_id=str(meta.get("call_id", "")),
        state="failed" if failure else "finished",
        reason=failure or str(ended.get("reason", "recovered")),
        media_type=media_type,
        encoding=encoding,
        started_at=report.iso_time(started_ns),
        ended_at=report.iso_time(started_ns + rendered.duration_ms * 1_000_000),
        metadata=meta.get("metadata", {}),
        size=rendered.size,
        sha256=rendered.sha256,
        duration_ms=rendered.duration_ms,
        quality=quality,
    )


def _give_up(directory: Path, stem: str, source: Path) -> Report:
    recording_id, segment = report.parsed_stem(stem) or ("", 0)
    began = report.iso_time(source.stat().st_mtime_ns)
    result = Report(
        file=stem + AUDIO_SUFFIX, recording_id=recording_id, segment=segment, call_id="", state="failed",
        reason="spool-unreadable", media_type=_Wav.media_type, encoding=_DEFAULT_ENCODING, started_at=began,
        ended_at=began, metadata={},
    )  # fmt: skip
    _write_durably(directory, stem + REPORT_SUFFIX, result.encode())
    source.rename(source.with_suffix(UNREADABLE_SUFFIX))
    _sync(directory)
    return result


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


class Sealer:
    """The process that seals. Started anew if it dies, for instance because memory ran out."""

    def __init__(self) -> None:
        self._pool = _new_pool()

    async def seal(self, directory: Path, stem: str, failure: str | None = None) -> Report:
        """As ``seal``. A process that dies twice over one recording raises OSError."""
        for _ in range(2):
            pool = self._pool
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, seal, directory, stem, failure)
            except BrokenProcessPool:
                if pool is self._pool:
                    pool.shutdown(wait=False)
                    self._pool = _new_pool()
        raise OSError(errno.EIO, "the sealing process died", stem)

    async def warm_up(self) -> None:
        """Has the process started and its modules loaded, so that the first recording does not wait for that."""
        with contextlib.suppress(BrokenProcessPool):
            await asyncio.get_running_loop().run_in_executor(self._pool, os.getpid)

    async def close(self) -> None:
        """Ends behind the file in hand. What waits its turn stays in its spool for the next start."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


def _new_pool() -> ProcessPoolExecutor:
    # spawn: a fork of a process with native threads may inherit locked locks.
    return ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"), _settle_in)


def _settle_in() -> None:
    """Signals are for the media server; the sealing process ends with it, also when it is killed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    parent = multiprocessing.parent_process()
    assert parent is not None
    watch: Callable[..., Any] = parent.join
    threading.Thread(target=lambda: (watch(), os._exit(0)), daemon=True, name="parent watch").start()
