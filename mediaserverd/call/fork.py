"""The called side while it rings: all targets at once, one of which wins (RFC 3261 16.7, seen from a B2BUA).

Deviates from the RFC in one thing: a 6xx ends the ringing of the station that sent it, not of the whole workgroup. One
person who declines does not speak for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mediaserverd.call.commands import CancelDial, Command, Dial
from mediaserverd.call.events import LegId
from mediaserverd.call.legs import Leg, LegState
from mediaserverd.call.responses import PHRASES, best
from mediaserverd.call.setup import Target
from mediaserverd.policy.facts import Party

MAX_BRANCHES: Final = 64  # a workgroup whose members have a few phones each; every branch is a dialog


class Fork:
    def __init__(self, emit: Callable[[Command], None]) -> None:
        self.legs: dict[LegId, Leg] = {}
        self._emit = emit

    def dial(self, targets: Sequence[Target], body: bytes) -> int:
        """How many of the targets were left out because there are too many."""
        for number, target in enumerate(targets[:MAX_BRANCHES], 1):
            leg = Leg(LegId(f"called-{number}"), target.party, LegState.DIALLED)
            self.legs[leg.id] = leg
            self._emit(Dial(leg.id, target, body))
        return max(0, len(targets) - MAX_BRANCHES)

    def take_over(self, winner: LegId, party: Party) -> Leg:
        """It won, and nobody else is left."""
        leg = self.legs[winner] = Leg(winner, party, LegState.UP)
        return leg

    @property
    def ringing(self) -> list[Leg]:
        return [leg for leg in self.legs.values() if leg.state is LegState.DIALLED]

    @property
    def has_one_branch(self) -> bool:
        return len(self.legs) == 1

    def won_by(self, winner: Leg) -> None:
        winner.state = LegState.UP
        self._cancel(self.ringing)

    def refused(self, leg: Leg, status: int, phrase: str) -> None:
        leg.state, leg.refusal = LegState.GONE, (status, phrase)
        if status >= 600:
            self._cancel(each for each in self.ringing if each.party.station and each.party == leg.party)

    def verdict(self) -> tuple[int, str]:
        """For the caller, when nobody rings any more."""
        return best(leg.refusal for leg in self.legs.values() if leg.refusal)

    def no_answer(self) -> tuple[int, str]:
        """For the caller, when nobody answered in time: 480 if it rang anywhere, 408 if nothing was ever heard."""
        status = 480 if any(leg.rang for leg in self.legs.values()) else 408
        return status, PHRASES[status]

    def _cancel(self, legs: Iterable[Leg]) -> None:
        for leg in [*legs]:
            leg.state = LegState.CANCELLED
            self._emit(CancelDial(leg.id))
