"""Whether both sides of a call are heard, as the media server tells that carries it: one-way audio, silence, and the
end of a call whose audio stays broken, where the site wants that."""

from __future__ import annotations

from collections.abc import Callable

from mediaserverd.call.events import SideHeard, SideSilent
from mediaserverd.call.setup import CallSetup
from mediaserverd.protocol.negotiation import Side


class Hearing:
    """``silent``: the sides that no RTP comes from, since when."""

    def __init__(self, setup: CallSetup, tell: Callable[[str], None]) -> None:
        self.silent: dict[Side, float] = {}
        self._hang_up_after_s = setup.hang_up_on_broken_rtp_s
        self._tell = tell
        self._server = ""

    @property
    def fault(self) -> str:
        """Empty: both are heard, as far as anybody knows."""
        return ("", "one-way-audio", "silence")[len(self.silent)]

    @property
    def until(self) -> float | None:
        """The call is to end then."""
        return min(self.silent.values()) + self._hang_up_after_s if self.silent and self._hang_up_after_s else None

    def take(self, event: SideSilent | SideHeard, now: float) -> None:
        if event.server != self._server:
            return
        name = event.side.value
        if isinstance(event, SideSilent):
            self.silent.setdefault(event.side, now)
            self._tell(f"{self.fault}: nothing is heard from the {name} side ({event.reason})")
        elif self.silent.pop(event.side, None) is not None:
            self._tell(f"the {name} side is heard again")

    def follow(self, server: str) -> None:
        """What another server hears is not known yet."""
        if server != self._server:
            self._server = server
            self.silent.clear()
