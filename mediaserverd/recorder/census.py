"""Compares what media servers have with what the catalogue knows. Pure: listings, rows, time go in, findings come out.

A file that nobody announced, and a recording that nobody has, are both given time: the ledger may be on its way, a file
may be about to be listed. Time that passes while a media server does not answer never counts against a recording on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mediaserverd.recorder.catalogue.segments import OPEN_STATES, Key, Segment
from mediaserverd.recorder.report import FileState, Report
from mediaserverd.recorder.states import Reason, SegmentState

Listings = Mapping[str, Sequence[Report]]  # media server that answered -> its files


@dataclass(frozen=True, slots=True)
class TakeIn:
    """A file without a row."""

    report: Report
    media_server: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """Finished on that media server under that name, and the row does not say so."""

    segment: Segment
    media_server: str
    file: str


@dataclass(frozen=True, slots=True)
class DeleteAgain:
    """Stored, discarded or deleted by a person, and yet on that media server under that name."""

    segment: Segment
    media_server: str
    file: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    segment: Segment
    reason: str


Finding = TakeIn | Fetch | DeleteAgain | GiveUp


class Census:
    """Remembers since when each file has been without a row, and each row without a file."""

    def __init__(self, missing_after_s: float, ledger_grace_s: float) -> None:
        self.missing_after_s = missing_after_s
        self.ledger_grace_s = ledger_grace_s
        self._early_since: dict[Key, float] = {}
        self._absent_since: dict[Key, float] = {}

    def compare(
        self,
        now: float,
        listings: Listings,
        configured: frozenset[str],
        listed_rows: Mapping[Key, Segment],
        open_rows: Sequence[Segment],
    ) -> list[Finding]:
        """``listed_rows`` are the rows of what is listed, ``open_rows`` those that have not reached their end.

        Both must have been read after the listings were: a row is always written before its file exists.
        """
        findings = self._listed(now, listings, listed_rows)
        present = {report.key for reports in listings.values() for report in reports}
        return findings + self._absent(now, present, frozenset(listings), configured, open_rows)

    def _listed(self, now: float, listings: Listings, rows: Mapping[Key, Segment]) -> list[Finding]:
        findings: list[Finding] = []
        early: dict[Key, float] = {}
        for media_server, reports in listings.items():
            for report in reports:
                finding = _judge(report, media_server, rows.get(report.key), listings)
                if finding is None:
                    continue
                if not _is_early(finding):
                    findings.append(finding)
                    continue
                since = early.setdefault(report.key, self._early_since.get(report.key, now))
                if now - since >= self.ledger_grace_s:
                    findings.append(finding)
        self._early_since = early
        return findings

    def _absent(
        self,
        now: float,
        present: set[Key],
        answered: frozenset[str],
        configured: frozenset[str],
        open_rows: Sequence[Segment],
    ) -> list[Finding]:
        absent: dict[Key, float] = {}
        for segment in open_rows:
            if segment.key in present or not _can_be_missed(segment, answered, configured):
                continue
            absent[segment.key] = self._absent_since.get(segment.key, now)
        self._absent_since = absent
        return [
            GiveUp(segment, Reason.MISSING)
            for segment in open_rows
            if now - absent.get(segment.key, now) >= self.missing_after_s
        ]


def _is_early(finding: Finding) -> bool:
    """Whether it may settle itself: the ledger is about to say it, or the list is older than our DELETE."""
    match finding:
        case TakeIn() | DeleteAgain():
            return True
        case Fetch(segment):
            return segment.state in (SegmentState.EXPECTED, SegmentState.RECORDING)
        case GiveUp():
            return False


def _can_be_missed(segment: Segment, answered: frozenset[str], configured: frozenset[str]) -> bool:
    """Whether those who answered are all that could have it."""
    if segment.media_server:
        return segment.media_server in answered
    return bool(configured) and configured <= answered


def _judge(report: Report, media_server: str, row: Segment | None, listings: Listings) -> Finding | None:
    if report.state in (FileState.RUNNING, FileState.SEALING):
        return None
    if row is None:
        return TakeIn(report, media_server)
    if row.unwanted:
        return DeleteAgain(row, media_server, report.file) if row.next_attempt_at is None else None
    if report.state is FileState.FAILED and not report.sha256:
        return GiveUp(row, report.reason or "media-server-failed") if row.state in OPEN_STATES else None
    match row.state:
        case SegmentState.EXPECTED | SegmentState.RECORDING:
            return Fetch(row, media_server, report.file)
        case SegmentState.ENDED | SegmentState.FETCHING:
            renamed = media_server == row.media_server and report.file != row.file
            elsewhere = renamed or _is_elsewhere(report, media_server, row, listings)
            return Fetch(row, media_server, report.file) if elsewhere else None
        case SegmentState.STORED:
            again = row.next_attempt_at is None and report.sha256 == row.sha256
            return DeleteAgain(row, media_server, report.file) if again else None
        case SegmentState.FAILED:
            same_again = row.reason == Reason.DIGEST_MISMATCH and report.sha256 == row.sha256
            return None if same_again else Fetch(row, media_server, report.file)
        case SegmentState.DISCARDED:
            return None  # unwanted: answered above


def _is_elsewhere(report: Report, media_server: str, row: Segment, listings: Listings) -> bool:
    """Whether the media server of the row is known not to have it: then this one is the one to ask."""
    if media_server == row.media_server:
        return False
    if row.media_server and row.media_server not in listings:
        return False
    return all(known.key != report.key for known in listings.get(row.media_server, ()))
