"""Running recordings: the engine's taps, from the first packet to the closed spool file.

Responsible for starting, pausing and stopping them, for refusing them when the disk is nearly full, and for telling
when one failed. Not responsible for the calls they belong to (``sessions``), nor for the files after that
(``recordings``). A disk that hangs holds one executor thread and the call's next command, never the ng door.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.media import metrics, report
from mediaserverd.media.engine import Engine, RecordingClosed, RecordingFailed
from mediaserverd.media.load import free_bytes
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report
from mediaserverd.media.sealing import CONTAINERS
from mediaserverd.protocol.sasf.header import FILE_ID_BYTES, Header
from mediaserverd.protocol.sasf.opening import open_file

MAX_METADATA_BYTES: Final = 32 << 10  # the META frame holds 64 KiB
CLOSING_LIMIT_S: Final = 30.0  # a tap that has not said by then that its file is complete never will

Codecs: TypeAlias = tuple[Mapping[int, str], Mapping[int, str]]  # payload type -> name/rate, caller and called

log = structlog.get_logger()


class RecordingRefused(Exception):
    """Why a recording cannot begin, in words for the controller."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, checked."""

    recording_id: str
    segment: int
    encoding: str
    metadata: Any


@dataclass(slots=True)
class Tap:
    handle: int
    call_id: str
    file: str
    paused: bool = False
    discard: bool = False
    failure: str | None = None
    reason: str = ""
    closing_since: float | None = None
    codecs: Codecs = field(default_factory=lambda: ({}, {}))


def wanted(recording_id: str | None, segment: int, encoding: str, metadata: Any) -> Wanted:
    """Raises RecordingRefused for anything that would not be a good file name, or not fit."""
    if recording_id is not None and not report.RECORDING_ID.fullmatch(recording_id):
        raise RecordingRefused("recording refused: recording-id is 32 hexadecimal digits in lower case")
    if not 1 <= segment <= report.MAX_SEGMENT:
        raise RecordingRefused(f"recording refused: segment is a number from 1 to {report.MAX_SEGMENT}")
    if encoding not in CONTAINERS:
        raise RecordingRefused(f"recording refused: recording-mime-type is one of {', '.join(CONTAINERS)}")
    try:
        size = len(json.dumps(metadata, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise RecordingRefused("recording refused: metadata is not UTF-8") from None
    if size > MAX_METADATA_BYTES:
        raise RecordingRefused(f"recording refused: metadata is longer than {MAX_METADATA_BYTES} bytes")
    return Wanted(recording_id or secrets.token_hex(16), segment, encoding, metadata)


class Taps:
    """``writer``: this server's name, as files tell it. ``failed`` is told of a recording that broke off."""

    def __init__(
        self,
        engine: Engine,
        recordings: Recordings,
        identity: Ed25519PrivateKey,
        writer: str,
        floor_bytes: int,
        failed: Callable[[Tap, str], None],
    ) -> None:
        self._identity = identity
        self._writer = writer
        self.floor_bytes = floor_bytes
        self._engine = engine
        self._recordings = recordings
        self._failed = failed
        self._taps: dict[int, Tap] = {}
        self._handles = itertools.count(1)

    @property
    def running(self) -> int:
        return len(self._taps)

    async def start(self, session: int, call_id: str, asked: Wanted, codecs: Codecs) -> Tap:
        """Begins to record. Raises RecordingRefused."""
        running = _running(asked, call_id)
        if self._recordings.report(running.file):
            raise RecordingRefused(f"recording refused: {running.file} exists already")
        self._recordings.begin(running)
        tap = Tap(next(self._handles), call_id, running.file)
        try:
            await asyncio.to_thread(self._create, session, tap, asked)
        except BaseException as fault:
            self._recordings.abandon(running.file)
            metrics.RECORDINGS_FAILED.labels("refused").inc()
            if isinstance(fault, RecordingRefused | OSError | KeyError):
                raise RecordingRefused(_refusal(fault)) from fault
            raise
        self._taps[tap.handle] = tap
        self.announce_codecs(tap, codecs)
        metrics.RECORDINGS_STARTED.inc()
        log.info("recording_started", call_id=call_id, file=tap.file, encoding=asked.encoding)
        return tap

    def _create(self, session: int, tap: Tap, asked: Wanted) -> None:
        if free_bytes(self._recordings.directory) < self.floor_bytes:
            raise RecordingRefused("recording refused: disk floor")
        header = Header(
            file_id=secrets.token_bytes(FILE_ID_BYTES),
            recording_id=asked.recording_id,
            segment=asked.segment,
            call_id=tap.call_id.encode("utf-8", "replace").decode(),  # a proxy's may be any bytes
            created_ns=time.time_ns(),
            suite="clear",
            content="received",
            writer=self._writer,
        )
        self._engine.start_recording(
            session,
            tap.handle,
            self._recordings.spool_path(tap.file),
            open_file(header, self._identity, None, ()),
            None,
            self._identity.private_bytes_raw(),
            {"encoding": asked.encoding, "metadata": asked.metadata},
        )

    def announce_codecs(self, tap: Tap, codecs: Codecs) -> None:
        """Writes into the recording what payload types mean from now on. The first ones also mark its beginning."""
        first = not any(tap.codecs)
        for side in (0, 1):
            if first or tap.codecs[side] != codecs[side]:
                names = {str(number): name for number, name in codecs[side].items()}
                self._engine.write_event(tap.handle, 1 if side else 0, {"event": "codecs", "payload_types": names})
        tap.codecs = codecs

    def pause(self, tap: Tap) -> None:
        if not tap.paused:
            self._engine.pause_recording(tap.handle)
            tap.paused = True

    def resume(self, tap: Tap) -> None:
        if tap.paused:
            self._engine.resume_recording(tap.handle)
            tap.paused = False

    def stop(self, tap: Tap, reason: str, *, discard: bool = False) -> None:
        """Ends the recording behind the packets received so far. The file is sealed once it is complete."""
        if tap.closing_since is not None:
            return
        tap.reason, tap.discard, tap.closing_since = reason, discard, time.monotonic()
        self._engine.stop_recording(tap.handle, tap.failure or reason)

    def on_failed(self, event: RecordingFailed) -> None:
        tap = self._taps.get(event.recording)
        if tap is None or tap.failure is not None:
            return
        tap.failure = _disk_failure(event.error)
        log.error("recording_failed", call_id=tap.call_id, file=tap.file, reason=tap.failure)
        if tap.closing_since is None:
            self.stop(tap, tap.failure)
            self._failed(tap, tap.failure)

    def on_closed(self, event: RecordingClosed) -> None:
        tap = self._taps.pop(event.recording, None)
        if tap is None:
            return
        if event.error is not None and tap.failure is None:
            tap.failure = _disk_failure(event.error)
        metrics.TAP_OVERFLOW.inc(event.overflow)
        self._recordings.complete(tap.file, tap.reason, tap.failure, discard=tap.discard)

    def give_up_on_lost_ones(self) -> None:
        """The engine's ring of events is finite; a recording must be sealed even if its last event found no room."""
        for tap in [each for each in self._taps.values() if each.closing_since is not None]:
            if time.monotonic() - (tap.closing_since or 0) > CLOSING_LIMIT_S:
                log.error("recording_close_unheard", file=tap.file)
                self.on_closed(RecordingClosed(tap.handle, (0, 0), 0, 0, None))


def _running(asked: Wanted, call_id: str) -> Report:
    container = CONTAINERS[asked.encoding]
    return Report(
        file=report.stem_of(asked.recording_id, asked.segment) + container.suffix,
        recording_id=asked.recording_id,
        segment=asked.segment,
        call_id=call_id,
        state="running",
        reason="",
        media_type=container.media_type,
        encoding=asked.encoding,
        started_at=report.iso_time(time.time_ns()),
        metadata=asked.metadata,
    )


def _refusal(fault: Exception) -> str:
    match fault:
        case RecordingRefused():
            return str(fault)
        case OSError():
            full = fault.errno in (errno.ENOSPC, errno.EDQUOT)
            return f"recording refused: {'disk-full' if full else fault.strerror}"
        case _:
            return "recording refused: the call has ended"


def _disk_failure(error: int) -> str:
    return "disk-full" if error in (errno.ENOSPC, errno.EDQUOT) else f"disk-error: {os.strerror(error)}"
