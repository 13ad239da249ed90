"""Where a call stands, and how long it may stand there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Phase(Enum):
    NEW = "new"
    SELECTING = "selecting a media server"
    DIALLING = "dialling"
    ANSWERING = "answering"  # a phone answered; the caller waits for the media server
    CONFIRMING = "waiting for the caller's ACK"
    COMPLETING = "relaying the late answer"
    TALKING = "talking"
    CLOSING = "closing"
    ENDED = "ended"


# Every wait has an end of its own, should the reply that was promised never come.
MEDIA_LIMIT_S: Final = 10.0  # above what the controller gives a media server before it says MediaFailed
TRANSACTION_LIMIT_S: Final = 40.0  # above 64 * T1 = 32 s, in which every SIP transaction ends (RFC 3261 17)
LIMITS_S: Final = {
    Phase.SELECTING: MEDIA_LIMIT_S,
    Phase.ANSWERING: MEDIA_LIMIT_S,
    Phase.CONFIRMING: TRANSACTION_LIMIT_S,
    Phase.COMPLETING: MEDIA_LIMIT_S,
    Phase.CLOSING: TRANSACTION_LIMIT_S,
}


@dataclass(slots=True)
class Stage:
    """The phase of one call now, and when it has lasted too long. Times are those given to ``Call.handle``."""

    ring_timeout_s: float
    phase: Phase = Phase.NEW
    now: float = 0.0
    until: float | None = None

    def enter(self, phase: Phase) -> None:
        """Also the same one again, from the beginning."""
        self.phase = phase
        limit = self.ring_timeout_s if phase is Phase.DIALLING else LIMITS_S.get(phase)
        self.until = None if limit is None else self.now + limit
