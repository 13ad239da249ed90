"""One call that is up, as it is written down for the next process: its state, its two SIP sessions, and what the
controller knew of it.

Responsible for the JSON and its version. A record of another version is not understood, and not guessed at. Not for
when a record is made (``keeping``), nor for the disk (``call_store``).
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mediaserverd.call.events import LegId
from mediaserverd.call.snapshot import CallSnapshot
from mediaserverd.controller.call_store import StoredCall
from mediaserverd.controller.trace import TraceRecord
from mediaserverd.policy.selection import SelectionRequest
from mediaserverd.protocol.sip.snapshot import SessionSnapshot

VERSION: Final = 1  # grows with every change of what is written that an older or newer program would misread


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on two clocks: the loop's, which the call knows, and Unix time, which outlives it."""

    loop: float
    unix: float

    def until(self, later: Moment) -> float:
        """How much more the loop's clock of ``later`` shows than this one would."""
        return (later.loop - later.unix) - (self.loop - self.unix)


@dataclass(frozen=True, slots=True)
class LegRecord:
    """``line`` is whose credentials answer challenges."""

    id: LegId
    session: SessionSnapshot
    station: str
    line: str


@dataclass(frozen=True, slots=True)
class Told:
    """What people are shown of a call beside its story, cut short: nothing of how it goes on depends on that."""

    trace: TraceRecord | None = None
    selections: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
class CallRecord:
    """``servers`` were asked for something, ``holding`` may have something of the call, ``selection`` is what servers
    are looked for with. Records of the same state are equal, whenever they were made and whatever is ``told``."""

    call: CallSnapshot
    legs: tuple[LegRecord, LegRecord]
    servers: tuple[str, ...]
    holding: tuple[str, ...]
    selection: SelectionRequest
    reasons: tuple[str, ...]
    invited_at: datetime
    made_at: Moment = field(compare=False)
    told: Told = field(default=Told(), compare=False)

    @property
    def id(self) -> str:
        return self.call.setup.call_id

    @property
    def running(self) -> frozenset[tuple[str, int]]:
        """Recordings that the ledger expects the end of."""
        kept = self.call.recordings
        return frozenset((each.order.recording_id, each.segment) for each in kept if each.announced)


_JSON: Final = TypeAdapter(CallRecord)


def written(record: CallRecord) -> bytes:
    return _JSON.dump_json(record)


def read(stored: StoredCall) -> CallRecord | str:
    """The record, or why it cannot be read."""
    if stored.version != VERSION:
        return f"written by another version of this program ({stored.version}, this one has {VERSION})"
    try:
        record = _JSON.validate_json(stored.document)
    except ValidationError as fault:
        return f"not understood: {fault.errors()[0]}"
    return record if record.id == stored.id else f"of another call, {record.id}"
