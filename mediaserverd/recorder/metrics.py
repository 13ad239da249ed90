"""Metrics of the recorder. The counts of recordings come from the catalogue, not from events in this process, so that
expected = stored + failed + pending + discarded holds at every scrape, also after a restart.

``recordings_failed_total`` and ``recordings_stored_total`` can therefore go down: a recording that was missing and is
found again leaves the one for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mediaserverd.recorder.catalogue.tally import Tally
from mediaserverd.recorder.media_servers import MediaServers
from mediaserverd.recorder.states import Verification

FETCHED_BYTES = Counter("mediaserverd_recorder_fetched_bytes", "Audio taken into the store")
FETCH_FAULTS = Counter(
    "mediaserverd_recorder_fetch_faults", "Attempts to fetch that failed and are made again", ["reason"]
)
LEDGER_ENTRIES = Counter("mediaserverd_recorder_ledger_entries", "Ledger entries", ["outcome"])
REFUSED_REQUESTS = Counter(
    "mediaserverd_recorder_refused_requests", "API requests without a valid token or scope", ["status"]
)


class CatalogueCollector(Collector):
    """``tally`` gives the latest counts, without waiting: metrics are collected in the event loop."""

    def __init__(self, tally: Callable[[], Tally], media_servers: MediaServers, store_fault: Callable[[], str]) -> None:
        self._tally = tally
        self._media_servers = media_servers
        self._store_fault = store_fault

    def describe(self) -> Iterable[Metric]:
        return []  # the registry would otherwise collect once, at registration, to learn the names

    def collect(self) -> Iterable[Metric]:
        tally = self._tally()
        yield CounterMetricFamily("recordings_expected", "Recordings in the catalogue", value=tally.expected)
        yield CounterMetricFamily("recordings_stored", "Recordings that reached the store", value=tally.stored)
        failed = CounterMetricFamily("recordings_failed", "Recordings that are lost or incomplete", labels=["reason"])
        for reason, number in sorted(tally.failed.items()):
            failed.add_metric([reason], number)
        yield failed
        pending = GaugeMetricFamily("recordings_pending", "Recordings running or being fetched", labels=["state"])
        for state, number in sorted(tally.pending.items()):
            pending.add_metric([state], number)
        yield pending
        discarded = CounterMetricFamily("recordings_discarded", "Of calls that were too short", value=tally.discarded)
        yield discarded
        yield CounterMetricFamily("recordings_interrupted", "Recordings with a gap", value=tally.interrupted)
        yield CounterMetricFamily("recordings_gap_seconds", "Of all gaps", value=tally.gap_ms / 1000)
        segments = GaugeMetricFamily("recording_segments", "Parts of recordings", labels=["state"])
        for state, number in sorted(tally.segments.items()):
            segments.add_metric([state], number)
        yield segments
        yield _gauge("overdue_segments", "Ended long ago and not stored: each is in the log", tally.overdue_segments)
        yield _gauge("undeleted_segments", "Stored, still on their media server", tally.undeleted_segments)
        verified = GaugeMetricFamily(
            "mediaserverd_recorder_verified_segments",
            "SASF files that are kept, by what was found; no key here opens the unread ones",
            labels=["verification"],
        )
        for verification in (each for each in Verification if each):
            verified.add_metric([verification], float(tally.verifications.get(verification, 0)))
        yield verified
        yield _gauge("degraded_segments", "Kept, and not all that was said can be heard", tally.degraded_segments)
        yield _gauge("store_failing", "1 while the store takes nothing", bool(self._store_fault()))
        usable = GaugeMetricFamily(
            "mediaserverd_recorder_media_server_usable",
            "1 if recordings can be fetched from it",
            labels=["media_server"],
        )
        for server in self._media_servers:
            usable.add_metric([server.name], float(not server.fault))
        yield usable


def _gauge(name: str, explanation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mediaserverd_recorder_{name}", explanation, value=float(value))
