"""What became on its way of the packets that one of our voices sent to another: which were lost, and how long the
listener had nothing to play. Measured from the RTP that both ends saw; the network and the server have no say in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from tests.kit.rtp import PACKET_S, Voice


@dataclass(frozen=True, slots=True)
class Passage:
    """``lost`` are the times at which packets were sent that never arrived. ``gaps_ms``: for each pair of neighbours
    that did arrive, when the first was sent, and how much longer the listener waited for the second than its speaker
    had taken to send it, with 20 ms more for each packet lost between them. A speaker that is late makes no gap."""

    sent: int
    lost: tuple[float, ...]
    gaps_ms: tuple[tuple[float, float], ...]

    @classmethod
    def between(cls, speaker: Voice, listener: Voice) -> Self:
        """The last packets may be on their way still; they count as sent only if a later one has arrived."""
        arrived = listener.ear.arrivals
        sent = [(key, at) for key, at in speaker.departures.items()]
        while sent and sent[-1][0] not in arrived:
            sent.pop()
        heard = [(index, at, arrived[key]) for index, (key, at) in enumerate(sent) if key in arrived]
        return cls(
            len(sent),
            tuple(at for key, at in sent if key not in arrived),
            tuple(
                (gone, (later - there) - (next_gone - gone) + (next_index - index - 1) * PACKET_S * 1000)
                for (index, gone, there), (next_index, next_gone, later) in pairwise(_milliseconds(heard))
            ),
        )

    @property
    def worst_gap_ms(self) -> float:
        return max((gap for _, gap in self.gaps_ms), default=0.0)

    def gap_since_ms(self, begin: float, end: float) -> float:
        """The worst gap among packets sent in that span of monotonic time."""
        return max((gap for at, gap in self.gaps_ms if begin * 1000 <= at < end * 1000), default=0.0)


def _milliseconds(heard: Sequence[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    return [(index, gone * 1000, there * 1000) for index, gone, there in heard]
