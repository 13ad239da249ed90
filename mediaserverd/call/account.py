"""What a call remembers for its summary: when, who, why."""

from __future__ import annotations

from dataclasses import dataclass

from mediaserverd.call.legs import Leg
from mediaserverd.call.recordings import Recordings
from mediaserverd.call.setup import CallSetup
from mediaserverd.call.story import CallSummary


@dataclass(slots=True)
class Account:
    """Times are those given to ``Call.handle``, in seconds."""

    invited_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: int = 0  # what the caller got, unless answered
    ended_by: str = ""
    reason: str = ""
    codec: str = ""
    media_server: str = ""

    def close(self, now: float, by: str, reason: str, status: int) -> None:
        self.ended_at, self.ended_by, self.reason, self.status = now, by, reason, status

    def summary(self, setup: CallSetup, winner: Leg | None, recordings: Recordings, now: float) -> CallSummary:
        answered = self.answered_at is not None
        return CallSummary(
            call_id=setup.call_id,
            direction=setup.direction,
            calling=setup.calling,
            called=winner.party if winner else setup.called,
            answered=answered,
            status=200 if answered else self.status,
            ended_by=self.ended_by,
            reason=self.reason,
            setup_ms=_ms(self.invited_at, self.answered_at),
            duration_ms=self.talked_ms(now),
            codec=self.codec,
            media_server=self.media_server,
            recording_ids=recordings.ids,
            recording_outcome=recordings.outcome,
            policy=recordings.policy,
        )

    def talked_ms(self, now: float) -> int:
        """From the answer to the end, or until now."""
        return _ms(self.answered_at, now if self.ended_at is None else self.ended_at)


def _ms(begin: float | None, end: float | None) -> int:
    return 0 if begin is None or end is None else round((end - begin) * 1000)
