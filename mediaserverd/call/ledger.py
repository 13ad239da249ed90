"""The entries that a call writes into the ledger of expected recordings (docs/wire.md section 3).

``document()`` gives the keys of the wire; the controller adds ``sequence`` and ``at``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mediaserverd.policy.facts import CallDirection, Party
from mediaserverd.policy.form import RecordingForm


class EndReason(Enum):
    """Why a recording ended."""

    CALL_ENDED = "call-ended"
    STOPPED = "stopped"
    TOO_SHORT = "too-short"  # the call was; the file is discarded
    MEDIA_SERVER_LOST = "media-server-lost"
    RECORDING_BROKEN = "recording-failed"
    CONTROLLER_RESTART = "controller-restart"


@dataclass(frozen=True, slots=True)
class Expected:
    """Written before the media server is asked to record."""

    recording_id: str
    segment: int
    call_id: str
    kind: str
    policy: str
    direction: CallDirection
    calling: Party
    called: Party
    media_server: str
    form: RecordingForm
    initiation: str

    def document(self) -> dict[str, object]:
        return {
            "event": "expected",
            "recording_id": self.recording_id,
            "segment": self.segment,
            "call_id": self.call_id,
            "kind": self.kind,
            "policy": self.policy,
            "direction": self.direction.value,
            "calling": _party(self.calling),
            "called": _party(self.called),
            "media_server": self.media_server,
            "format": self.form.format,
            "encrypt": self.form.encrypt,
            "encoding": self.form.encoding,
            "initiation": self.initiation,
        }


@dataclass(frozen=True, slots=True)
class Started:
    recording_id: str
    segment: int
    file: str
    uri: str

    def document(self) -> dict[str, object]:
        place = {"file": self.file, "uri": self.uri}
        return {"event": "started", "recording_id": self.recording_id, "segment": self.segment, **place}


@dataclass(frozen=True, slots=True)
class Failed:
    recording_id: str
    segment: int
    reason: str

    def document(self) -> dict[str, object]:
        return {
            "event": "failed",
            "recording_id": self.recording_id,
            "segment": self.segment,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Ended:
    recording_id: str
    segment: int
    reason: EndReason
    duration_ms: int

    def document(self) -> dict[str, object]:
        return {
            "event": "ended",
            "recording_id": self.recording_id,
            "segment": self.segment,
            "reason": self.reason.value,
            "duration_ms": self.duration_ms,
        }


LedgerEntry = Expected | Started | Failed | Ended


def _party(party: Party) -> dict[str, str]:
    return {"number": party.number, "name": party.name, "station": party.station, "line": party.line}
