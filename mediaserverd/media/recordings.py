"""The recordings on this server's disk: running -> sealing -> finished or failed, until they are fetched and deleted.

Responsible for what is listed and for recovering what an earlier life of the server left behind. Not responsible for
packets (``taps``), nor for how a spool becomes a file (``sealing``).
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from mediaserverd.media import metrics, report
from mediaserverd.media.report import SASF_SUFFIX, WAV_SUFFIX, Report, State
from mediaserverd.media.sealing import REPORT_SUFFIX, SPOOL_SUFFIX, UNREADABLE_SUFFIX, Ended, Sealer, outline
from mediaserverd.protocol.sasf.faults import SasfError

# After the disk did not take a finished file: soon, because space may come back by itself as files are fetched and
# deleted, and then less and less often, because each attempt renders a whole call.
FIRST_RETRY_S: Final = 2.0
LAST_RETRY_S: Final = 60.0
CONTENT_SUFFIXES: Final = (SASF_SUFFIX, WAV_SUFFIX, SPOOL_SUFFIX, UNREADABLE_SUFFIX, REPORT_SUFFIX)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Found:
    """What lay in the directory at start."""

    reports: Sequence[Report]
    unsealed: Sequence[Report]


class Recordings:
    """One directory. Files are named by ``report.stem_of``; a finished one is there in full or not at all."""

    def __init__(self, directory: Path, sealer: Sealer, retry_s: float = FIRST_RETRY_S) -> None:
        self.directory = directory
        self._sealer = sealer
        self._retry_s = retry_s
        self._reports: dict[str, Report] = {}
        self._sealing: set[asyncio.Task[None]] = set()
        self._retries: set[asyncio.Task[None]] = set()
        metrics.RECORDINGS_RUNNING.set_function(lambda: self._count("running"))
        metrics.RECORDINGS_WAITING.set_function(lambda: self._count("finished"))

    async def open(self) -> None:
        """Lists what is there and begins to seal what was left unsealed, one at a time, in the background."""
        found = await asyncio.to_thread(_look, self.directory)
        self._reports = {each.file: each for each in sorted([*found.reports, *found.unsealed], key=_by_age)}
        if found.unsealed:
            log.warning("recordings_recovering", count=len(found.unsealed))
            _spawn(self._recover(found.unsealed), self._sealing)

    async def close(self) -> None:
        tasks = [*self._sealing, *self._retries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Returns when nothing is being sealed. What the disk did not take is not waited for."""
        while self._sealing:
            await asyncio.wait(self._sealing)

    def reports(self) -> list[Report]:
        """All of them, oldest first."""
        return list(self._reports.values())

    def report(self, file: str) -> Report | None:
        return self._reports.get(file)

    def spool_path(self, file: str) -> Path:
        return self.directory / (Path(file).stem + SPOOL_SUFFIX)

    def audio_path(self, file: str) -> Path:
        return self.directory / file

    def begin(self, running: Report) -> None:
        assert running.file not in self._reports
        self._reports[running.file] = running

    def began(self, file: str, started_ns: int) -> None:
        """Known only now: its first packet may have come before anybody asked for it."""
        self._reports[file] = replace(self._reports[file], started_at=report.iso_time(started_ns))

    def abandon(self, file: str) -> None:
        """A recording that was begun, but whose file could not be made."""
        del self._reports[file]

    def complete(self, file: str, ended: Ended, *, discard: bool = False) -> None:
        """The running file has all that it will ever have: seal it, or remove it if nobody wants it."""
        self._reports[file] = replace(self._reports[file], state="sealing", reason=ended.failure or ended.reason)
        _spawn(self._discard(file) if discard else self._seal(file, ended, self._retry_s), self._sealing)

    async def delete(self, file: str) -> bool:
        """Removes every trace. False: it still runs or is being sealed. True also when there was none."""
        known = self._reports.get(file)
        if known is None:
            return True
        if known.state in ("running", "sealing"):
            return False
        await asyncio.to_thread(_remove, self.directory, Path(file).stem)
        self._reports.pop(file, None)
        return True

    async def _recover(self, unsealed: Sequence[Report]) -> None:
        for each in unsealed:
            await self._seal(each.file, None, self._retry_s)

    async def _discard(self, file: str) -> None:
        await asyncio.to_thread(_remove, self.directory, Path(file).stem)
        self._reports.pop(file, None)
        log.info("recording_discarded", file=file)

    async def _seal(self, file: str, ended: Ended | None, retry_s: float) -> None:
        try:
            sealed = await self._sealer.seal(self.directory, Path(file).stem, ended)
        except Exception as fault:  # one bad spool must not keep the others from being sealed
            full = isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "disk-full" if full else f"sealing failed: {fault}"
            log.error("recording_not_sealed", file=file, reason=reason, retry_s=retry_s)
            metrics.RECORDINGS_FAILED.labels("sealing").inc()
            self._reports[file] = replace(self._reports[file], state="failed", reason=reason)
            _spawn(self._seal_later(file, ended, retry_s), self._retries)
            return
        self._reports[file] = sealed
        if sealed.state == "failed":
            metrics.RECORDINGS_FAILED.labels(sealed.reason).inc()
        else:
            metrics.RECORDINGS_FINISHED.labels(sealed.reason).inc()
        log.info("recording_sealed", file=file, state=sealed.state, reason=sealed.reason, bytes=sealed.size,
                 duration_ms=sealed.duration_ms, call_id=sealed.call_id)  # fmt: skip

    async def _seal_later(self, file: str, ended: Ended | None, retry_s: float) -> None:
        await asyncio.sleep(retry_s)
        if (known := self._reports.get(file)) is not None:  # deleted in the meantime otherwise
            self._reports[file] = replace(known, state="sealing")
            await self._seal(file, ended, min(2 * retry_s, LAST_RETRY_S))

    def _count(self, state: State) -> int:
        return sum(each.state == state for each in self._reports.values())


def _spawn(work: Coroutine[Any, Any, None], running: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(work)
    running.add(task)
    task.add_done_callback(running.discard)


def _by_age(each: Report) -> str:
    return each.started_at


def _look(directory: Path) -> _Found:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {entry.name for entry in directory.iterdir()}
    reports: list[Report] = []
    unsealed: list[Report] = []
    for name in sorted(names):
        stem, dot, ending = name.rpartition(".")
        if name.endswith(".part"):
            (directory / name).unlink(missing_ok=True)
        elif report.parsed_stem(stem) is None:
            continue  # not ours
        elif dot + ending == SPOOL_SUFFIX:
            if {stem + WAV_SUFFIX, stem + REPORT_SUFFIX} <= names:
                (directory / name).unlink()  # the last step of its sealing
                reports += _stored(directory, stem)
            else:
                unsealed.append(_unsealed(directory, stem))
        elif dot + ending == REPORT_SUFFIX and stem + SPOOL_SUFFIX not in names:
            reports += _stored(directory, stem)
    return _Found(reports, unsealed)


def _stored(directory: Path, stem: str) -> list[Report]:
    """The report of a sealed recording; one whose audio is gone is the rest of a deletion that was interrupted."""
    path = directory / (stem + REPORT_SUFFIX)
    try:
        stored = Report.decode(path.read_bytes())
        if stored.size and not (directory / stored.file).exists():
            path.unlink()
            return []
        return [stored]
    except (OSError, ValueError) as fault:
        log.error("report_unreadable", file=stem, fault=str(fault))
        return []


def _unsealed(directory: Path, stem: str) -> Report:
    recording_id, segment = report.parsed_stem(stem) or ("", 0)
    path = directory / (stem + SPOOL_SUFFIX)
    unread = Report(
        file=stem + SASF_SUFFIX,
        recording_id=recording_id,
        segment=segment,
        call_id="",
        state="sealing",
        reason="recovered",
        media_type=report.media_type_of(SASF_SUFFIX),
        encoding="",
        encrypted=False,
        started_at=report.iso_time(path.stat().st_mtime_ns),
        metadata=None,
    )
    try:
        about = outline(path)
    except SasfError:
        return unread
    return replace(
        unread,
        file=stem + about.suffix,
        call_id=about.header.call_id,
        media_type=report.media_type_of(about.suffix),
        encoding=about.encoding,
        encrypted=about.header.encrypted,
        started_at=report.iso_time(about.header.created_ns),
        metadata=about.metadata,
    )


def _remove(directory: Path, stem: str) -> None:
    """The report last: it tells the next start that a deletion was interrupted."""
    for suffix in CONTENT_SUFFIXES:
        (directory / (stem + suffix)).unlink(missing_ok=True)
