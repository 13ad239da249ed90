"""Whether a media server carries a call's audio while both sides talk: one is brought in when an operation needs it,
and let go when none does. Not responsible for how the audio moves (``move``), nor for the call's set-up (``b2bua``).

A server that the audio has left goes on relaying for a while: what a phone sent before it knew better still arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from mediaserverd.call.audio import AudioPath
from mediaserverd.call.commands import Command, FindMediaServers, MediaDelete
from mediaserverd.call.conversation import Conversation
from mediaserverd.call.events import Search
from mediaserverd.call.legs import Leg
from mediaserverd.call.move import Move
from mediaserverd.call.recordings import Recordings
from mediaserverd.call.setup import CallSetup

LINGER_S: Final = 2.0  # longer than any jitter buffer, and than a phone takes to act on a description

Carried = Callable[[str], None]  # told once whether a server carries the audio: why not, or empty


class Anchoring:
    """``legs`` are both sides, while they talk."""

    def __init__(
        self,
        setup: CallSetup,
        audio: AudioPath,
        conversation: Conversation,
        recordings: Recordings,
        legs: Callable[[], tuple[Leg, Leg] | None],
        emit: Callable[[Command], None],
        tell: Callable[[str], None],
    ) -> None:
        self._setup = setup
        self._audio = audio
        self._conversation = conversation
        self._recordings = recordings
        self._legs = legs
        self._emit = emit
        self._tell = tell
        self._searches = 0
        self._search: Search | None = None  # asked, not answered
        self._operation = ""
        self._wanted_by: Carried | None = None  # waits until a server carries the audio
        self._candidates: deque[str] = deque()
        self._why_not = ""  # of the last candidate
        self._move: Move | None = None
        self._lingering: dict[str, float | None] = {}  # left, and deleted when; None: at the end of the call
        self.stranded = ""  # why the audio can neither go on nor back: the old carrier died under a move that failed
        self._stays = False  # a phone would not go back to direct; not asked again until another operation ends

    @property
    def is_wanted_at_set_up(self) -> bool:
        return self._setup.keeps_audio or self._setup.recording is not None

    @property
    def carries(self) -> bool:
        """A media server has the audio, and is to keep it for now."""
        return bool(self._audio.server) and self._move is None

    @property
    def busy(self) -> str:
        """Why nobody else can ask for a server now; empty if somebody can."""
        return "a recording is about to begin already" if self._wanted_by else ""

    @property
    def until(self) -> float | None:
        return min((at for at in self._lingering.values() if at is not None), default=None)

    def bring_in(self, operation: str, carried: Carried) -> None:
        """``carried`` is told when a server has the audio, or why none has."""
        self._operation, self._wanted_by = operation, carried

    def found(self, search: Search, servers: tuple[str, ...]) -> None:
        if search == self._search:
            self._search = None
            self._candidates = deque(servers)
            self._why_not = "no media server may be used now"
            if not servers:
                self._give_up()

    def settle(self, now: float) -> bool:
        """What follows from how the call stands. Whether it did anything, so that it is to be asked once more."""
        if self._move and self._move.over:
            move, self._move = self._move, None
            self._moved(move, now)
            return True
        legs = self._legs()
        if self._move or self._conversation.is_busy or self._search is not None or legs is None:
            return False
        if self._wanted_by:
            self._go_on_bringing_in(legs, now)
            return True
        if self._audio.server and not self._is_needed:
            self._tell("nothing needs the audio any more: the phones are to talk directly")
            self._begin("", legs, now)
            return True
        return False

    def media_lost(self, server: str) -> None:
        if server in self._lingering:
            del self._lingering[server]
            self._emit(MediaDelete(server))

    def woken(self, now: float) -> None:
        for server, at in [*self._lingering.items()]:
            if at is not None and now >= at:
                del self._lingering[server]
                self._emit(MediaDelete(server))

    def end(self) -> None:
        """The call does: every server but the one that carries it is told, and whoever waits for one."""
        left = [*self._lingering, *((self._move.target, self._move.origin) if self._move else ())]
        for server in dict.fromkeys(left):
            if server and server != self._audio.server:
                self._emit(MediaDelete(server))
        self._lingering.clear()
        self._move, self._search = None, None
        if self._wanted_by:
            self._answer("the call has ended")

    @property
    def _is_needed(self) -> bool:
        return self._stays or self._setup.keeps_audio or self._recordings.current is not None

    def _go_on_bringing_in(self, legs: tuple[Leg, Leg], now: float) -> None:
        if self._audio.server:
            self._answer("")
        elif self._candidates:
            server = self._candidates.popleft()
            self._lingering.pop(server, None)
            self._tell(f"media server {server} is to carry the audio")
            self._begin(server, legs, now)
        else:
            self._searches += 1
            self._search = Search(self._searches)
            self._emit(FindMediaServers(self._search, self._operation))

    def _begin(self, target: str, legs: tuple[Leg, Leg], now: float) -> None:
        self._move = Move(target, legs, self._audio, self._emit, self._setup.dice)
        self._conversation.begin_move(self._move, now)

    def _moved(self, move: Move, now: float) -> None:
        if not move.fault:
            self._tell(f"media server {move.target} carries the audio" if move.target else "the phones talk directly")
            self._leave(move.origin, now + LINGER_S)
            self._candidates.clear()
        elif not move.prepared:
            self._tell(move.fault)
            self._why_not = move.fault
            self._emit(MediaDelete(move.target))  # it may have taken the offer before it refused the answer
            if not self._candidates:
                self._give_up()
        else:
            self._tell(f"the audio stays as it was: {move.fault}")
            self._leave(move.target, None if move.split else now + LINGER_S)
            self._stays = not move.target
            self._why_not = move.fault
            self.stranded = move.fault if move.dead else ""
            self._give_up()

    def _leave(self, server: str, at: float | None) -> None:
        if server and server != self._audio.server:
            self._lingering[server] = at

    def _give_up(self) -> None:
        self._candidates.clear()
        if self._wanted_by:
            self._answer(self._why_not)

    def _answer(self, fault: str) -> None:
        carried, self._wanted_by = self._wanted_by, None
        self._stays = False
        if carried:
            carried(fault)
