"""Who has put the other on hold, as far as the recording is told."""

from __future__ import annotations

from collections.abc import Iterator

from mediaserverd.call.audio import Agreed, readable
from mediaserverd.protocol.negotiation import Side, is_hold


class Holds:
    def __init__(self) -> None:
        self._holding = dict.fromkeys(Side, False)
        self._seen: Agreed | None = None

    def changes(self, agreed: Agreed | None) -> Iterator[tuple[Side, str]]:
        """Each side that has changed since the last time it was asked, with ``hold`` or ``unhold``."""
        if agreed is self._seen or agreed is None:
            return
        self._seen = agreed
        offer, answer = readable(agreed.offer), readable(agreed.answer)
        if offer is None or answer is None:
            return
        states = {agreed.offering: is_hold(offer)}
        if any(offer.direction_of(each).sends for each in offer.media if not each.refused):
            states[agreed.offering.other] = is_hold(answer)  # else the answer could not but receive nothing
        for side, held in states.items():
            if held is not self._holding[side]:
                self._holding[side] = held
                yield side, "hold" if held else "unhold"
