"""Fetches finished files from media servers into the store, then deletes them there.

The queue is the catalogue itself: a segment whose ``next_attempt_at`` has come is due, and its state says which step is
next. There is no separate job queue, because it would be a second truth beside the rows: after a kill between the two
one would say "done" and the other not, and every step would have to ask the rows anyway. So each step reads the row,
does what is safe to do twice, and ends in one transaction that moves the row on:

    ended, fetching   report -> download (resumed) -> digests -> ``intake`` -> store, read back -> row ``stored``
    stored            DELETE at the media server -> row ``deleted_at_source``

A kill at any point leaves a row that says what to do again. The file at its source is deleted only after the
transaction of ``stored`` is on disk.

One recorder process works on a catalogue: who is at work on a segment is known in memory only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from mediaserverd.recorder import metrics
from mediaserverd.recorder.catalogue import segments as life
from mediaserverd.recorder.catalogue.custody import keep_admitted
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.segments import Key, Segment
from mediaserverd.recorder.intake import Intake
from mediaserverd.recorder.media_servers import MediaServer, MediaServers
from mediaserverd.recorder.report import FileState, Report, began
from mediaserverd.recorder.retrieval import Download, FaultKind, RetrievalFault
from mediaserverd.recorder.states import DIGEST_ATTEMPTS, Reason, SegmentState
from mediaserverd.recorder.store import Store, StoreFault

log = structlog.get_logger()

PARALLEL_FETCHES = 4  # enough to fill a link; each holds one connection, one file and a few MB
IDLE_S = 5.0  # looks at the rows at least so often, whatever it was told
DATABASE_PAUSE_S = 1.0

Clock = Callable[[], datetime]


class _DigestMismatch(Exception):
    pass


class Fetcher:
    def __init__(
        self,
        database: Database,
        store: Store,
        media_servers: MediaServers,
        intake: Intake,
        incoming: Path,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._store = store
        self._media_servers = media_servers
        self._intake = intake
        self._incoming = incoming
        self._clock = clock
        self._wake = asyncio.Event()
        self._jobs: dict[Key, asyncio.Task[None]] = {}
        self._draining = False
        self.on_change: Callable[[], None] = lambda: None
        self.store_fault = ""  # of the last thing put into the store; empty after one that worked

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Whatever fails here is told and tried again: recordings wait for nobody else."""
        while not self._draining:
            self._wake.clear()
            try:
                await self._start_due()
                pause_s = await self._pause_s()
            except SQLAlchemyError as fault:
                log.error("catalogue_unusable", fault=str(fault).partition("\n")[0])
                pause_s = DATABASE_PAUSE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause_s)

    async def drain(self) -> None:
        """Starts nothing more, and returns when what is under way has ended."""
        self._draining = True
        self._wake.set()
        while self._jobs:
            await asyncio.wait(tuple(self._jobs.values()))

    async def stop(self) -> None:
        self._draining = True
        for job in tuple(self._jobs.values()):
            job.cancel()
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)

    def unneeded_parts(self, wanted: frozenset[Key]) -> list[Path]:
        """Half-fetched files of segments that nobody waits for any more."""
        prefixes = {life.file_stem(*key) for key in wanted}
        return [path for path in self._incoming.glob("*~*") if path.name.partition("~")[0] not in prefixes]

    async def _start_due(self) -> None:
        free = PARALLEL_FETCHES - len(self._jobs)
        if free <= 0:
            return
        unusable = self._media_servers.unusable()
        found = await self._database.read(life.due, self._clock(), free + len(self._jobs), unusable)
        for segment in [segment for segment in found if segment.key not in self._jobs][:free]:
            job = asyncio.create_task(self._job(segment), name=f"fetch {segment.file}")
            self._jobs[segment.key] = job
            job.add_done_callback(lambda _, key=segment.key: self._ended(key))  # type: ignore[misc]

    def _ended(self, key: Key) -> None:
        del self._jobs[key]
        self._wake.set()
        self.on_change()

    async def _pause_s(self) -> float:
        if len(self._jobs) >= PARALLEL_FETCHES:
            return IDLE_S
        moment = await self._database.read(life.next_due, self._media_servers.unusable(), tuple(self._jobs))
        if moment is None:
            return IDLE_S
        return min(max((moment - self._clock()).total_seconds(), 0.0), IDLE_S)

    async def _job(self, segment: Segment) -> None:
        try:
            await self._advance(segment)
        except RetrievalFault as fault:
            await self._answer_retrieval_fault(segment, fault)
        except _DigestMismatch as fault:
            await self._answer_mismatch(segment, fault)
        except (StoreFault, OSError) as fault:
            await self._answer_store_fault(segment, fault)
        except SQLAlchemyError as fault:
            log.error("catalogue_unusable", fault=str(fault).partition("\n")[0], recording_id=segment.recording_id)
            await asyncio.sleep(DATABASE_PAUSE_S)
        except Exception:
            # A bug, and it must not end the fetching of all others.
            log.exception("fetch_failed", recording_id=segment.recording_id, segment=segment.number)
            await self._postpone(segment, "recorder-fault", "see the log")

    async def _advance(self, segment: Segment) -> None:
        server = self._media_servers.get(segment.media_server)
        if server is None:
            await self._answer_unknown_server(segment)
        elif segment.state is SegmentState.STORED or segment.unwanted:
            await self._delete_if_same(server, segment)
        else:
            await self._fetch(server, segment)

    async def _fetch(self, server: MediaServer, segment: Segment) -> None:
        try:
            report = await server.client.report(segment.file)
        except RetrievalFault as fault:
            if fault.kind is FaultKind.ABSENT and await self._was_stored(segment):
                return
            raise
        match report.state:
            case FileState.RUNNING | FileState.SEALING:
                raise RetrievalFault(FaultKind.BUSY, f"{segment.file} is {report.state}")
            case FileState.FAILED if not report.sha256:
                await self._fail(segment, report.reason or "media-server-failed")
                return
            case FileState.FINISHED | FileState.FAILED:
                pass  # a failed one with a digest is a part: what was recorded until it failed
        if report.key != segment.key or report.size is None or not report.sha256:
            raise RetrievalFault(
                FaultKind.BROKEN, f"the report of {segment.file} lacks size or digest, or is of another"
            )
        key = segment.store_key or _store_key(report, began(report, self._clock()))
        await self._database.write(life.begin_fetch, segment, report, key, self._clock())
        stored_sha256 = segment.stored_sha256 if report.sha256 == segment.sha256 else ""
        fetched = replace(
            segment,
            state=SegmentState.FETCHING,
            size=report.size,
            sha256=report.sha256,
            store_key=key,
            stored_sha256=stored_sha256,
        )
        await self._copy(server, fetched, report)
        await self._delete_at_source(server, fetched)

    async def _was_stored(self, segment: Segment) -> bool:
        """Gone at its source, but here already: somebody else deleted it between our store and our row."""
        if not await self._is_in_store(segment):
            return False
        await self._database.write(life.mark_stored, segment, segment.reason, self._clock())
        await self._database.write(life.mark_deleted_at_source, segment, self._clock())
        return True

    async def _copy(self, server: MediaServer, segment: Segment, report: Report) -> None:
        """From the media server into the store; ends in the row ``stored``."""
        size = report.size or 0
        part = self._incoming / f"{life.file_stem(*segment.key)}~{report.sha256[:16]}.part"
        if not await self._is_in_store(segment):
            download = await server.client.download(segment.file, part, size)
            if (wrong := _mismatch(download, size, report.sha256)) is not None:
                part.unlink(missing_ok=True)
                raise _DigestMismatch(wrong)
            admitted = await self._intake.admit(part, segment)
            await self._database.write(keep_admitted, segment, admitted, self._clock())
            examined = admitted.examined
            await self._store.put(segment.store_key, examined.path, examined.size, examined.sha256)
        self.store_fault = ""
        await self._database.write(life.mark_stored, segment, report.reason, self._clock())
        for path in self._incoming.glob(f"{part.stem}.*"):
            path.unlink(missing_ok=True)
        metrics.FETCHED_BYTES.inc(size)
        log.info(
            "recording_stored", **_named(segment), size_bytes=size, reason=report.reason, store_key=segment.store_key
        )

    async def _is_in_store(self, segment: Segment) -> bool:
        """Whether an earlier run put there what it had admitted."""
        if not segment.stored_sha256 or segment.stored_size is None:
            return False
        return await self._store.holds(segment.store_key, segment.stored_size, segment.stored_sha256)

    async def _delete_if_same(self, server: MediaServer, segment: Segment) -> None:
        """Deletes at the source what an earlier run stored, after a look that it is still that."""
        try:
            report = await server.client.report(segment.file)
        except RetrievalFault as fault:
            if fault.kind is not FaultKind.ABSENT:
                raise
        else:
            if report.sha256 != segment.sha256 and not segment.unwanted:
                # Never seen, must never happen: better a file too many than a recording too few.
                log.error("source_differs_from_stored", **_named(segment))
                await self._database.write(life.stop_trying, segment)
                return
        await self._delete_at_source(server, segment)

    async def _delete_at_source(self, server: MediaServer, segment: Segment) -> None:
        await server.client.delete(segment.file)
        await self._database.write(life.mark_deleted_at_source, segment, self._clock())

    # -- what goes wrong -------------------------------------------------------------------------------------------

    async def _answer_retrieval_fault(self, segment: Segment, fault: RetrievalFault) -> None:
        match fault.kind:
            case FaultKind.UNREACHABLE | FaultKind.REFUSED:
                if (server := self._media_servers.get(segment.media_server)) is not None:
                    server.failed(str(fault))
                reason = Reason.REFUSED if fault.kind is FaultKind.REFUSED else Reason.UNREACHABLE
                await self._postpone(segment, reason, str(fault))
            case FaultKind.BUSY:
                again = self._clock() + timedelta(seconds=fault.retry_after_s)
                await self._change(life.wait_until, segment, again)
            case FaultKind.ABSENT:
                # Whether it is missing for good is for the census to say; here it is only not there yet.
                await self._postpone(segment, "not-on-media-server", str(fault))
            case FaultKind.BROKEN:
                await self._postpone(segment, "transfer-broken", str(fault))

    async def _answer_unknown_server(self, segment: Segment) -> None:
        log.error(
            "media_server_unknown",
            **_named(segment),
            advice="name it under the recorder's media servers as the controller does, and reload",
        )
        if segment.state is SegmentState.STORED or segment.unwanted:
            await self._change(life.stop_trying, segment)
        else:
            await self._fail(segment, Reason.UNKNOWN_MEDIA_SERVER)

    async def _answer_mismatch(self, segment: Segment, fault: _DigestMismatch) -> None:
        mismatches = segment.attempts + 1 if segment.reason == Reason.DIGEST_MISMATCH else 1
        if mismatches >= DIGEST_ATTEMPTS:
            log.error("digest_mismatch", **_named(segment), fault=str(fault), attempts=mismatches)
            await self._fail(segment, Reason.DIGEST_MISMATCH)
        else:
            await self._postpone(segment, Reason.DIGEST_MISMATCH, str(fault))

    async def _answer_store_fault(self, segment: Segment, fault: StoreFault | OSError) -> None:
        full = fault.full if isinstance(fault, StoreFault) else fault.errno in (errno.ENOSPC, errno.EDQUOT)
        self.store_fault = str(fault)
        await self._postpone(segment, Reason.STORE_FULL if full else Reason.STORE_FAULT, str(fault))

    async def _postpone(self, segment: Segment, reason: str, why: str) -> None:
        metrics.FETCH_FAULTS.labels(reason).inc()
        log.warning("fetch_postponed", **_named(segment), reason=reason, fault=why)
        await self._change(life.postpone, segment.key, reason, self._clock())

    async def _fail(self, segment: Segment, reason: str) -> None:
        log.error("recording_failed", **_named(segment), reason=reason)
        await self._change(life.fail, segment, reason, self._clock())

    async def _change(self, function: Callable[..., object], *args: object) -> None:
        """Keeps an answer to a fault; a catalogue that cannot be written then costs a moment, not the job's loop."""
        try:
            await self._database.write(function, *args)
        except SQLAlchemyError as fault:
            log.error("catalogue_unusable", fault=str(fault).partition("\n")[0])
            await asyncio.sleep(DATABASE_PAUSE_S)


def _store_key(report: Report, moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y/%m/%d}/{life.file_stem(*report.key)}{Path(report.file).suffix}"


def _mismatch(download: Download, size: int, sha256: str) -> str | None:
    if download.size != size:
        return f"{download.size} bytes arrived, {size} were announced"
    if download.sha256 != sha256:
        return "the content has another SHA-256 than its report says"
    if download.declared and download.declared != sha256:
        return "Repr-Digest and report do not agree"
    return None


def _named(segment: Segment) -> dict[str, object]:
    return {
        "recording_id": segment.recording_id,
        "segment": segment.number,
        "media_server": segment.media_server,
        "file": segment.file,
    }
