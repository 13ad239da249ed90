"""One leg of a call: where it stands, and what it still has to be told before the call is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mediaserverd.call.commands import Acknowledge, CancelDial, Command, HangUp, Refuse
from mediaserverd.call.events import CALLER, LegId
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.negotiation import Side


class LegState(Enum):
    INVITED = "invited"  # the caller: we owe its INVITE a final response
    DIALLED = "dialled"  # we wait for its final response
    CANCELLED = "cancelled"  # likewise, after CANCEL
    UP = "up"
    GONE = "gone"


@dataclass(slots=True)
class Leg:
    id: LegId
    party: Party
    state: LegState
    rang: bool = False
    owes_ack: bool = False  # its 2xx waits for our ACK, which is to carry an answer
    refusal: tuple[int, str] | None = None

    @property
    def side(self) -> Side:
        return Side.CALLER if self.id == CALLER else Side.CALLED

    @property
    def is_up(self) -> bool:
        return self.state is LegState.UP

    @property
    def is_gone(self) -> bool:
        return self.state is LegState.GONE

    def end(self, status: int, phrase: str, reason: str) -> Iterator[Command]:
        """Whatever ends the leg from here. A dialled one stays until its outcome is known."""
        match self.state:
            case LegState.INVITED:
                self.state = LegState.GONE
                yield Refuse(status, phrase)
            case LegState.DIALLED:
                self.state = LegState.CANCELLED
                yield CancelDial(self.id)
            case LegState.UP:
                self.state = LegState.GONE
                if self.owes_ack:
                    yield Acknowledge(self.id)  # RFC 3261 13.2.2.4: also a 2xx that is not wanted is acknowledged
                yield HangUp(self.id, status, reason) if reason else HangUp(self.id)
            case LegState.CANCELLED | LegState.GONE:
                pass

    def left(self) -> Iterator[Command]:
        """It sent BYE. A 2xx of its INVITE that came before still wants its ACK."""
        self.state = LegState.GONE
        if self.owes_ack:
            yield Acknowledge(self.id)

    def answered_in_vain(self) -> Iterator[Command]:
        """A 2xx that came too late: CANCEL crossed it, or another branch was faster."""
        self.state = LegState.GONE
        yield Acknowledge(self.id)
        yield HangUp(self.id)
