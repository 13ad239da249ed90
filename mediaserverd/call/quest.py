"""A search for a media server that a call needs now: who was proposed, who is still to be tried. Asks selection once;
not responsible for what follows (``anchoring``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import Enum

from mediaserverd.call.events import Search


class Need(Enum):
    """What a media server is wanted for."""

    CARRIER = "carrier"  # the one that carried the audio died
    OPERATION = "operation"  # something that somebody asked for
    RECORDER = "recorder"  # a recording was interrupted, while the audio is where it is


class Quest:
    """``why_not``: of the last one that was tried. ``why_none``: why none was found; it names servers, and so is for
    the site's own people."""

    def __init__(self, need: Need) -> None:
        self.need = need
        self.asked: Search | None = None
        self.is_searching = False
        self.why_not = "no media server may be used now"
        self.why_none = ""
        self._excluded: Collection[str] = ()
        self._candidates: deque[str] = deque()

    def begin(self, search: Search, excluded: Collection[str]) -> None:
        self.asked, self.is_searching, self._excluded = search, True, excluded

    def found(self, search: Search, servers: tuple[str, ...], why_none: str) -> None:
        """An answer to an earlier search is no news."""
        if search == self.asked and self.is_searching:
            self.is_searching, self.why_none = False, why_none
            self._candidates = deque(server for server in servers if server not in self._excluded)

    def next_candidate(self) -> str:
        return self._candidates.popleft() if self._candidates else ""

    def without(self, server: str) -> None:
        self._candidates = deque(each for each in self._candidates if each != server)

    def exhausted(self, why_not: str) -> None:
        """It is no use to try others."""
        self._candidates.clear()
        self.why_not = why_not
