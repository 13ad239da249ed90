"""Running recordings: the engine's taps, from the first packet to the closed file.

Responsible for starting, pausing and stopping them, for refusing them when the disk is nearly full, and for telling
when one failed. Not responsible for the calls they belong to (``sessions``), for what their files begin with
(``openings``), nor for the files after that (``recordings``). A disk that hangs holds one executor thread and the
call's next command, never the ng door.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias

import structlog

from mediaserverd.media import metrics, report
from mediaserverd.media.engine import Engine, RecordingClosed, RecordingFailed, SideCounts
from mediaserverd.media.load import free_bytes
from mediaserverd.media.openings import Openings
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report
from mediaserverd.media.sealing import Ended
from mediaserverd.media.wanted import RecordingRefused, Wanted

CLOSING_LIMIT_S: Final = 30.0  # a tap that has not said by then that its file is complete never will

PauseMode: TypeAlias = Literal["mask", "omit"]
Codecs: TypeAlias = tuple[Mapping[int, str], Mapping[int, str]]  # payload type -> name/rate, caller and called

log = structlog.get_logger()


@dataclass(slots=True)
class Tap:
    handle: int
    call_id: str
    file: str
    paused: bool = False
    secure: bool = False  # as it is paused
    codes: tuple[str, ...] = ()  # of digits that its controller hears of in a pause
    discard: bool = False
    failure: str | None = None
    reason: str = ""
    closing_since: float | None = None
    codecs: Codecs = field(default_factory=lambda: ({}, {}))


class Taps:
    """``failed`` is told of a recording that broke off while its call goes on."""

    def __init__(
        self,
        engine: Engine,
        recordings: Recordings,
        openings: Openings,
        failed: Callable[[Tap, str], None],
    ) -> None:
        self._engine = engine
        self._openings = openings
        self._recordings = recordings
        self._failed = failed
        self._taps: dict[int, Tap] = {}
        self._handles = itertools.count(1)

    @property
    def running(self) -> int:
        return len(self._taps)

    async def start(self, session: int, call_id: str, asked: Wanted, codecs: Codecs, floor_bytes: int) -> Tap:
        """Begins to record if more than ``floor_bytes`` are free. Raises RecordingRefused."""
        running = _running(asked, call_id)
        if self._recordings.report(running.file):
            raise RecordingRefused(f"{running.file} exists already")
        self._recordings.begin(running)
        tap = Tap(next(self._handles), call_id, running.file)
        try:
            started_ns = await asyncio.to_thread(self._create, session, tap, asked, floor_bytes)
        except BaseException as fault:
            self._recordings.abandon(running.file)
            metrics.RECORDINGS_FAILED.labels("refused").inc()
            if isinstance(fault, OSError | KeyError):
                raise RecordingRefused(_refusal(fault)) from fault
            raise
        self._recordings.began(tap.file, started_ns)
        self._taps[tap.handle] = tap
        self.announce_codecs(tap, codecs)
        metrics.RECORDINGS_STARTED.inc()
        log.info("recording_started", call_id=call_id, file=tap.file, encrypted=asked.encrypt, encoding=asked.encoding)
        return tap

    def _create(self, session: int, tap: Tap, asked: Wanted, floor_bytes: int) -> int:
        """Returns the time, in ns since 1970, at which the recording begins: with its look-back, that is before now."""
        if free_bytes(self._recordings.directory) < floor_bytes:
            raise RecordingRefused("disk floor")
        created_ns = self._engine.recording_start_ns(session, asked.look_back_ms)
        meta = {"format": asked.format, "encoding": asked.encoding, "encoding_asked": asked.encoding_asked}
        new = self._openings.new_file(asked, tap.call_id, created_ns)
        self._engine.start_recording(
            session,
            tap.handle,
            self._recordings.spool_path(tap.file),
            new.opening,
            new.key,
            new.signing_key,
            {**meta, "metadata": asked.metadata},
            caller_leg=0,
            pre_record_ms=asked.look_back_ms,
        )
        return created_ns

    def announce_codecs(self, tap: Tap, codecs: Codecs) -> None:
        """Writes into the recording what payload types mean from now on. The first ones also mark its beginning."""
        first = not any(tap.codecs)
        for side in (0, 1):
            if first or tap.codecs[side] != codecs[side]:
                names = {str(number): name for number, name in codecs[side].items()}
                self._engine.write_event(tap.handle, 1 if side else 0, {"event": "codecs", "payload_types": names})
        tap.codecs = codecs

    def record_event(self, tap: Tap, side: int, event: Mapping[str, Any]) -> None:
        """Keeps what happened in the call. While paused, no digit is kept."""
        if not (tap.paused and event.get("event") == "dtmf"):
            self._engine.write_event(tap.handle, 1 if side else 0, event)

    def pause(self, tap: Tap, mode: PauseMode, *, secure: bool, by: str | None) -> None:
        """In a pause, another one only adds that it is secure, if it is."""
        if tap.paused and (tap.secure or not secure):
            return
        self._engine.pause_recording(tap.handle, mode=mode, secure=secure, by=by)
        tap.paused, tap.secure = True, secure

    def resume(self, tap: Tap, details: Mapping[str, str]) -> None:
        """``details``: by whom, or for what reason."""
        if tap.paused:
            self._engine.resume_recording(tap.handle, **details)
            tap.paused = tap.secure = False

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
        ended = Ended(tap.reason, tap.failure, _quality(event, tap.failure))
        self._recordings.complete(tap.file, ended, discard=tap.discard)

    def give_up_on_lost_ones(self) -> None:
        """The engine's ring of events is finite; a recording must be sealed even if its last event found no room."""
        for tap in [each for each in self._taps.values() if each.closing_since is not None]:
            if time.monotonic() - (tap.closing_since or 0) > CLOSING_LIMIT_S:
                log.error("recording_close_unheard", file=tap.file)
                self.on_closed(RecordingClosed(tap.handle, (SideCounts(), SideCounts()), 0, 0, None))


def _running(asked: Wanted, call_id: str) -> Report:
    return Report(
        file=asked.file,
        recording_id=asked.recording_id,
        segment=asked.segment,
        call_id=call_id,
        state="running",
        reason="",
        media_type=report.media_type_of(asked.file),
        encoding=asked.encoding,
        encrypted=asked.encrypt,
        started_at=report.iso_time(time.time_ns()),
        metadata=None if asked.encrypt else asked.metadata,
    )


def _quality(closed: RecordingClosed, failure: str | None) -> dict[str, Any]:
    """What the engine counted: all that can be told of a file that this server cannot read."""
    return {
        "degraded": bool(failure or closed.overflow),
        "sides": [asdict(side) for side in closed.sides],
        "tap_overflow": closed.overflow,
    }


def _refusal(fault: OSError | KeyError) -> str:
    if isinstance(fault, KeyError):
        return "the call has ended"
    full = fault.errno in (errno.ENOSPC, errno.EDQUOT)
    return "disk-full" if full else str(fault.strerror)


def _disk_failure(error: int) -> str:
    return "disk-full" if error in (errno.ENOSPC, errno.EDQUOT) else f"disk-error: {os.strerror(error)}"
