"""What the recorder does at intervals: asks media servers what they have, acts on what the census finds, counts.

Not responsible for judging (``census``) or fetching (``fetch``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mediaserverd.recorder.acquaintance import Acquaintance
from mediaserverd.recorder.catalogue import recordings as catalogue
from mediaserverd.recorder.catalogue import segments as life
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.segments import Key, Segment
from mediaserverd.recorder.catalogue.tally import Tally, count
from mediaserverd.recorder.catalogue.unannounced import take_in
from mediaserverd.recorder.census import Census, DeleteAgain, Fetch, Finding, GiveUp, TakeIn
from mediaserverd.recorder.fetch import Fetcher
from mediaserverd.recorder.media_servers import MediaServer, MediaServers
from mediaserverd.recorder.report import Report
from mediaserverd.recorder.retrieval import FaultKind, RetrievalFault
from mediaserverd.recorder.states import Reason
from mediaserverd.recorder.store import Store, StoreFault

log = structlog.get_logger()

RETRY_POLL_S = 1.0  # at most, while a media server does not answer: what waits for it waits no longer than that
LISTING_TIMEOUT_S = 10.0  # one slow media server holds the others up for so long at most
PROBE_S = 30.0  # between two looks whether the store can be written
COUNT_S = 0.5  # the counts are at most so much older than the catalogue, and made no more often
ALARMS = 1000  # segments that are named one by one; the metric counts them all
FINDINGS_A_TRANSACTION = 200  # other writers come in between


class Housekeeping:
    """``tally``, ``database_fault`` and ``store_fault`` are the latest known, for metrics and readiness."""

    def __init__(
        self,
        database: Database,
        store: Store,
        media_servers: MediaServers,
        fetcher: Fetcher,
        census: Census,
        acquaintance: Acquaintance,
        poll_s: float,
    ) -> None:
        self._database = database
        self._store = store
        self._media_servers = media_servers
        self._fetcher = fetcher
        self._census = census
        self._acquaintance = acquaintance
        self.poll_s = poll_s
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._probed_at = time.monotonic()
        self._alarmed: set[Key] = set()
        self.tally = Tally()
        self.database_fault = ""
        self.store_fault = ""

    def changed(self) -> None:
        """The catalogue has: count again."""
        self._changed.set()

    def poll_soon(self) -> None:
        """Something is known to be left over, or media servers have changed."""
        self._hurry.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._tidy()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(), name="poll media servers")
            tasks.create_task(self._count(), name="count recordings")

    async def _poll(self) -> None:
        while True:
            self._hurry.clear()
            try:
                await self.compare_once()
                await self._purge()
                await self._probe()
                self.database_fault = ""
            except SQLAlchemyError as fault:
                self._catalogue_failed(fault)
            except Exception:
                log.exception("housekeeping_failed")
            trouble = self._media_servers.unusable() or self.database_fault
            pause_s = min(self.poll_s, RETRY_POLL_S) if trouble else self.poll_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause_s)

    async def compare_once(self) -> None:
        """One round: listings, rows, findings, and what follows from them."""
        servers = tuple(self._media_servers)
        answers = await asyncio.gather(*(self._listing(server) for server in servers))
        listings = {
            server.name: reports for server, reports in zip(servers, answers, strict=True) if reports is not None
        }
        keys = [report.key for reports in listings.values() for report in reports]
        listed_rows = await self._database.read(life.find_all, keys)
        open_rows = await self._database.read(life.find_open)
        configured = self._media_servers.names()
        findings = self._census.compare(time.monotonic(), listings, configured, listed_rows, open_rows)
        for start in range(0, len(findings), FINDINGS_A_TRANSACTION):
            batch = findings[start : start + FINDINGS_A_TRANSACTION]
            await self._database.write(_act_on, batch, datetime.now(UTC))
            for finding in batch:
                _tell(finding)
        if findings:
            self._fetcher.wake()
            self.changed()

    async def _listing(self, server: MediaServer) -> Sequence[Report] | None:
        try:
            async with asyncio.timeout(LISTING_TIMEOUT_S):
                listing = await server.client.listing()
                await self._acquaintance.make(server, listing)  # before anything of it is judged
        except RetrievalFault as fault:
            reason = Reason.REFUSED if fault.kind is FaultKind.REFUSED else Reason.UNREACHABLE
            await self._unusable(server, reason, str(fault))
            return None
        except TimeoutError:
            told = f"{server.client.url} sent no list of recordings within {LISTING_TIMEOUT_S:.0f} s"
            await self._unusable(server, Reason.UNREACHABLE, told)
            return None
        reports = listing.reports
        if server.answered(len(reports)):
            await self._database.write(life.hurry, server.name, datetime.now(UTC))
            self._fetcher.wake()
        return reports

    async def _unusable(self, server: MediaServer, reason: Reason, why: str) -> None:
        server.failed(why)
        await self._database.write(life.explain_wait, server.name, reason, datetime.now(UTC))

    async def _purge(self) -> None:
        """Removes from the store what was deleted by a person, if that was interrupted or the store was away."""
        for recording_id, number, key in await self._database.read(catalogue.unpurged):
            try:
                await self._store.remove(key)
            except StoreFault as fault:
                log.error("purge_postponed", recording_id=recording_id, segment=number, fault=str(fault))
                return
            await self._database.write(catalogue.mark_purged, recording_id, number, datetime.now(UTC))
            log.info("recording_purged", recording_id=recording_id, segment=number)

    async def _probe(self) -> None:
        if time.monotonic() - self._probed_at < PROBE_S and not self.store_fault:
            return
        self._probed_at = time.monotonic()
        fault = await self._store.probe()
        if fault and fault != self.store_fault:
            log.error("store_unusable", fault=fault)
        self.store_fault = fault

    async def _count(self) -> None:
        while True:
            self._changed.clear()
            try:
                overdue_since = datetime.now(UTC) - timedelta(seconds=self._census.missing_after_s)
                self.tally = await self._database.read(count, overdue_since)
                await self._alarm(overdue_since)
            except SQLAlchemyError as fault:
                self._catalogue_failed(fault)
            await asyncio.sleep(COUNT_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self.poll_s)

    async def _alarm(self, since: datetime) -> None:
        """Says once of each segment that it should have come by now; it is waited for all the same."""
        late: list[Segment] = []
        if self.tally.overdue_segments:
            late = await self._database.read(life.overdue, since, ALARMS)
        for segment in late:
            if segment.key not in self._alarmed:
                log.error(
                    "segment_overdue",
                    recording_id=segment.recording_id,
                    segment=segment.number,
                    media_server=segment.media_server,
                    reason=segment.reason,
                    advice="bring its media server back; what is on its disk is then fetched",
                )
        self._alarmed = {segment.key for segment in late}

    def _catalogue_failed(self, fault: SQLAlchemyError) -> None:
        self.database_fault = str(fault).partition("\n")[0]
        log.error("catalogue_unusable", fault=self.database_fault)

    async def _tidy(self) -> None:
        """Removes what an earlier run left behind when it was killed."""
        try:
            wanted = frozenset(segment.key for segment in await self._database.read(life.find_open))
            swept = await self._store.sweep(datetime.now(UTC))
            for path in self._fetcher.unneeded_parts(wanted):
                path.unlink(missing_ok=True)
                swept += 1
        except (SQLAlchemyError, OSError) as fault:
            log.error("tidying_failed", fault=str(fault))
            return
        if swept:
            log.info("leftovers_removed", files=swept)


def _act_on(connection: Connection, findings: Sequence[Finding], now: datetime) -> None:
    for finding in findings:
        match finding:
            case TakeIn(report, media_server):
                if life.find(connection, report.key) is None:
                    take_in(connection, report, media_server, now)
            case Fetch(segment, media_server, file):
                if _is_unchanged(connection, segment):
                    life.found_finished(connection, segment, media_server, file, now)
            case DeleteAgain(segment, media_server, file):
                if _is_unchanged(connection, segment):
                    life.delete_again(connection, segment, media_server, file, now)
            case GiveUp(segment, reason):
                if _is_unchanged(connection, segment):
                    life.fail(connection, segment, reason, now)


def _is_unchanged(connection: Connection, segment: Segment) -> bool:
    """Whether the row still is what was judged: ledger and fetcher go on meanwhile."""
    return life.find(connection, segment.key) == segment


def _tell(finding: Finding) -> None:
    match finding:
        case TakeIn(report, media_server):
            log.warning(
                "recording_unannounced", recording_id=report.recording_id, file=report.file, media_server=media_server
            )
        case GiveUp(segment, reason):
            log.error(
                "recording_failed",
                recording_id=segment.recording_id,
                segment=segment.number,
                media_server=segment.media_server,
                reason=reason,
            )
        case Fetch(segment, media_server, _) | DeleteAgain(segment, media_server, _):
            log.info("recording_found", recording_id=segment.recording_id, was=segment.state, media_server=media_server)
