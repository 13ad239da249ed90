"""What is heard of a recording, or of one of its segments: which stored files, in which order, with how much silence.

Pure but for reading the catalogue. Not responsible for the form in which it is wanted, nor for who may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from mediaserverd.protocol.sasf import manifest
from mediaserverd.protocol.sasf.manifest import Manifest
from mediaserverd.recorder.api.problems import Problem
from mediaserverd.recorder.api.recordings import absent
from mediaserverd.recorder.catalogue import recordings as catalogue
from mediaserverd.recorder.catalogue.custody import custody_of
from mediaserverd.recorder.catalogue.segments import cuts_of, file_name, timeline_of
from mediaserverd.recorder.playback import Heard, Stored
from mediaserverd.recorder.states import RecordingState, SegmentState
from mediaserverd.recorder.timeline import Timeline

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Audio:
    """``segment``: None for all of them. ``name``: of the file that people get, without its suffix."""

    recording_id: str
    segment: int | None
    heard: tuple[Heard, ...]
    keys_destroyed_at: datetime | None
    name: str
    manifest: Manifest  # of all segments that are heard, but for what only their files say

    @property
    def is_wav(self) -> bool:
        """Any of it: then it is not to be had as it was signed."""
        return any(each.stored.is_wav for each in self.heard)

    @property
    def is_one_file(self) -> bool:
        return len(self.heard) == 1

    @property
    def keys_are_gone(self) -> bool:
        return any(each.stored.encrypted and each.stored.custody is None for each in self.heard)


def find_audio(connection: Connection, recording_id: str, number: int | None) -> Audio:
    """``number`` None: the whole recording. Raises Problem where there is nothing to be heard, or not yet."""
    recording = catalogue.find_recording(connection, recording_id)
    if recording is None:
        raise absent(recording_id)
    if recording["state"] == RecordingState.DELETED:
        raise Problem(410, f"this recording was deleted at {recording['deleted_at']:%Y-%m-%d %H:%M} UTC")
    segments = catalogue.segments_of(connection, recording_id)
    wanted = _stored(segments, recording_id) if number is None else _one(segments, number)
    alone = len(wanted) == 1
    joined = timeline_of(segments)
    pieces = {piece.number: piece for piece in joined.pieces}
    heard = []
    for segment in wanted:
        stored = _object(connection, segment)
        piece = pieces[segment["number"]]
        heard.append(Heard(stored) if alone else Heard(stored, piece.silence_before_ms, piece.until_ms))
    return Audio(
        recording_id=recording_id,
        segment=wanted[0]["number"] if alone else None,
        heard=tuple(heard),
        keys_destroyed_at=next((one["keys_destroyed_at"] for one in wanted if one["keys_destroyed_at"]), None),
        name=_name(recording, wanted),
        manifest=_manifest(recording, segments, joined),
    )


def _one(segments: Sequence[Row], number: int) -> list[Row]:
    wanted = [segment for segment in segments if segment["number"] == number]
    if not wanted:
        raise Problem(404, f"the recording has no segment {number}; it has {len(segments)}")
    _check(wanted[0], ())
    return wanted


def _stored(segments: Sequence[Row], recording_id: str) -> list[Row]:
    """All that can be heard, once nothing more is to come."""
    urls = _urls(recording_id, segments) if len(segments) > 1 else ()
    there = [segment for segment in segments if segment["state"] == SegmentState.STORED]
    lost = (SegmentState.FAILED, SegmentState.DISCARDED)
    for segment in segments:
        if not there or segment["state"] not in lost:
            _check(segment, urls)
    return there


def _check(segment: Row, urls: Sequence[str]) -> None:
    more = {"segments": urls} if urls else {}
    match SegmentState(segment["state"]):
        case SegmentState.STORED:
            pass
        case SegmentState.FAILED:
            raise Problem(404, f"there is no audio: it failed ({segment['reason']})", reason=segment["reason"])
        case state:
            what = f"segment {segment['number']} is" if urls else "it is"
            told = f"{what} not in the store yet, but {state}; try again later"
            raise Problem(409, told, {"Retry-After": "5"}, **more)


def _urls(recording_id: str, segments: Sequence[Row]) -> tuple[str, ...]:
    return tuple(f"/api/v1/recordings/{recording_id}/segments/{segment['number']}/audio" for segment in segments)


def _manifest(recording: Row, segments: Sequence[Row], joined: Timeline) -> Manifest:
    gone = (SegmentState.STORED, SegmentState.DISCARDED)
    files = {segment["number"]: file_name(recording["id"], segment["number"]) for segment in segments}
    return Manifest(
        recording_id=recording["id"],
        call_id=recording["call_id"],
        started_at=recording["started_at"].astimezone(UTC).isoformat(timespec="milliseconds"),
        duration_ms=joined.duration_ms,
        segments=tuple(
            manifest.Segment(piece.number, files[piece.number], "", piece.silence_before_ms, piece.until_ms)
            for piece in joined.pieces
        ),
        gaps=joined.gaps,
        missing=tuple(
            manifest.Missing(segment["number"], segment["reason"])
            for segment in segments
            if segment["state"] not in gone
        ),
    )


def _object(connection: Connection, segment: Row) -> Stored:
    return Stored(
        store_key=segment["store_key"],
        size=segment["stored_size"],
        sha256=segment["stored_sha256"],
        source_sha256=segment["sha256"],
        encrypted=segment["encrypted"],
        compressed=bool(segment["compression"]),
        is_wav=segment["format"] == "wav",
        cuts=cuts_of(segment["quality"]),
        custody=custody_of(connection, segment["recording_id"], segment["number"]),
    )


def _name(recording: Row, wanted: Sequence[Row]) -> str:
    """What a person sees in the download folder: when, who, whom. Letters that a header or a disk may not take go."""
    moment = f"{recording['started_at'].astimezone(UTC):%Y%m%dT%H%M%SZ}"
    number = wanted[0]["number"] if len(wanted) == 1 else ""
    parts = [moment, recording["calling_number"], recording["called_number"], recording["id"][:8], number]
    cleaned = ["".join(letter for letter in str(part) if letter.isascii() and letter.isalnum()) for part in parts]
    return "_".join(filter(None, cleaned))
