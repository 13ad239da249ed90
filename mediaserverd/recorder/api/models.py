"""What the API answers, as its OpenAPI document shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from mediaserverd.recorder.proof import proof
from mediaserverd.recorder.states import RecordingState, SegmentState

# Kept in one column, separated by spaces.
KeyIds = Annotated[list[str], BeforeValidator(lambda kept: kept.split() if isinstance(kept, str) else kept)]


class Party(BaseModel):
    number: str
    name: str
    station: str
    line: str


class Gap(BaseModel):
    after: int = Field(description="The segment before it, or that it is in (packets-lost); 0: it is at the beginning.")
    start_ms: int = Field(description="In the audio of the whole recording, which has silence there.")
    duration_ms: int = Field(description="From the last packet before it to the first one behind it.")
    reason: str = Field(description="Why the recording did not go on where it was, or why that part is lost.")
    accuracy_ms: int | None = Field(
        None,
        description="How far off `duration_ms` may be, whatever time the media servers believed it was; null: they are"
        " believed, as no controller's clock says more.",
    )


Gaps = Annotated[list[Gap], BeforeValidator(lambda kept: kept or [])]


class Recording(BaseModel):
    id: str
    kind: str
    state: RecordingState
    reason: str = Field(description="Why it ended, or why it failed.")
    announced: bool = Field(description="False: found on a media server, never in a controller's ledger.")
    calling: Party
    called: Party
    direction: str
    policy: str
    initiation: str
    controller: str
    call_id: str
    encoding: str
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    segment_count: int = Field(description="More than one: it went on on another media server.")
    gaps: Gaps
    stored_at: datetime | None
    deleted_at: datetime | None


class Segment(BaseModel):
    number: int
    media_server: str
    file: str
    uri: str
    state: SegmentState
    reason: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    ended_because: str = Field(description="In the controller's word; `reason` is the media server's, or ours.")
    heard_from_ms: int | None = Field(description="The first packet in it.")
    heard_to_ms: int | None = Field(description="The last packet in it.")
    media_type: str
    size: int | None
    sha256: str
    quality: dict[str, Any] | None
    attempts: int
    next_attempt_at: datetime | None
    fetched_at: datetime | None
    deleted_at_source: datetime | None
    purged_at: datetime | None
    format: str = Field(description="Of the file in the store: `wav` or `sasf`; empty until it is there.")
    compression: str = Field(description="What this recorder compressed it to; empty: stored as it was received.")
    stored_size: int | None = Field(description="Of the file in the store; `size` is of what was fetched.")
    stored_sha256: str
    encrypted: bool
    key_ids: KeyIds = Field(description="Of the keys that open it.")
    keys_destroyed_at: datetime | None = Field(description="Since then nobody can read it any more, anywhere.")
    verification: str = Field(description="Of a SASF file: `verified`, `unread` (no key here opens it) or `failed`.")
    verification_findings: list[str] | None = Field(description="What is wrong with it, or what it proves.")


class Event(BaseModel):
    at: datetime
    kind: str
    segment: int | None
    actor: str = Field(description="The controller, media server or token that caused it.")
    detail: dict[str, Any] | None


class Page(BaseModel):
    recordings: list[Recording]
    next: str | None = Field(description="Give it as `cursor` to have the next page; null on the last one.")


class Detail(Recording):
    verification: str = Field(description="Of all segments: the worst of theirs; empty until something is stored.")
    proof: str = Field(description="What it proves, in one sentence.")
    segments: list[Segment]
    events: list[Event]


class SegmentQuality(BaseModel):
    number: int
    verification: str
    verification_findings: list[str] | None
    quality: dict[str, Any] | None = Field(description="Null until it is stored, and while no key here opens it.")


class QualityReport(BaseModel):
    """Per side: packets expected, received, late, lost, concealed; jitter, drift. Skew, pauses, what is missing."""

    id: str
    degraded: bool | None = Field(description="Null if it is not known of any segment; true if there is a gap.")
    gaps: Gaps
    segments: list[SegmentQuality]


class MediaServerStatus(BaseModel):
    name: str
    usable: bool
    fault: str
    since: datetime | None
    files: int = Field(description="Files on it when it last answered, running ones included.")


class Reconciliation(BaseModel):
    """expected = stored + failed + pending + discarded, always."""

    expected: int
    stored: int
    failed: int
    pending: int
    failed_by_reason: dict[str, int]
    pending_by_state: dict[str, int]
    discarded: int = Field(description="Calls that were shorter than the site keeps.")
    recordings_by_state: dict[str, int]
    segments_by_state: dict[str, int]
    overdue_segments: int = Field(description="Ended for longer than it should take to store them.")
    interrupted: int = Field(description="Recordings with a gap.")
    gap_ms: int = Field(description="Of all gaps.")
    undeleted_segments: int = Field(description="Stored, and not yet deleted on their media server.")
    segments_by_verification: dict[str, int] = Field(description="Of those kept; `failed` ones are evidence.")
    degraded_segments: int = Field(description="Kept, and not all that was said can be heard.")
    media_servers: list[MediaServerStatus]


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    sides = {side: {name: row[f"{side}_{name}"] for name in Party.model_fields} for side in ("calling", "called")}
    return {**row, **sides}


def quality_report(detail: Detail) -> QualityReport:
    known = [segment.quality for segment in detail.segments if segment.quality]
    fields = set(SegmentQuality.model_fields)
    return QualityReport(
        id=detail.id,
        degraded=bool(detail.gaps) or any(quality.get("degraded") for quality in known) if known else None,
        gaps=detail.gaps,
        segments=[SegmentQuality(**segment.model_dump(include=fields)) for segment in detail.segments],
    )


def recording(row: Mapping[str, Any]) -> Recording:
    return Recording.model_validate(_values(row))


def detail(
    row: Mapping[str, Any], segments: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> Detail:
    verification, told = proof(segments, row["gaps"] or [])
    values = {**_values(row), "verification": verification, "proof": told, "segments": segments, "events": events}
    return Detail.model_validate(values)
