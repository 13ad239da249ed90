"""What happened in a call, for people: the story that ``diag`` tells, and the facts of the one log line per call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mediaserverd.call.setup import CallSetup
from mediaserverd.policy.facts import CallDirection, Party

MAX_LINES: Final = 500  # a call of hours with a hold every minute; later lines are counted, not kept


@dataclass(frozen=True, slots=True)
class StoryLine:
    """``at`` is the clock that was given to ``Call.handle``, in seconds."""

    at: float
    text: str


@dataclass(slots=True)
class Story:
    lines: list[StoryLine] = field(default_factory=list)
    left_out: int = 0

    def tell(self, at: float, text: str) -> None:
        if len(self.lines) < MAX_LINES:
            self.lines.append(StoryLine(at, text))
        else:
            self.left_out += 1


@dataclass(frozen=True, slots=True)
class CallSummary:
    """The canonical log line. ``setup_ms`` is from INVITE to 200, ``duration_ms`` from 200 to the end; both 0 for a
    call that was not answered, whose ``status`` tells what the caller got. ``ended_by`` is caller, called or system."""

    call_id: str
    direction: CallDirection
    calling: Party
    called: Party
    answered: bool
    status: int
    ended_by: str
    reason: str
    setup_ms: int
    duration_ms: int
    codec: str
    media_server: str
    recording_ids: tuple[str, ...]
    recording_outcome: str  # "", "recorded", or why not
    policy: str

    @classmethod
    def of_fault(cls, setup: CallSetup, reason: str, recording_ids: tuple[str, ...]) -> CallSummary:
        """Of a call that can tell nothing of itself any more."""
        return cls(
            setup.call_id, setup.direction, setup.calling, setup.called, answered=False, status=500, ended_by="system",
            reason=reason, setup_ms=0, duration_ms=0, codec="", media_server="", recording_ids=recording_ids,
            recording_outcome="", policy="",
        )  # fmt: skip
