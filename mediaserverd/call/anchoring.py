"""Which media server carries a call's audio while both sides talk: one is brought in when an operation needs it, let go
when none does, and followed by another one when it dies or cannot go on recording. Not responsible for how the audio
moves (``move``), nor for the call's set-up (``b2bua``).

A server that the audio has left goes on relaying for a while: what a phone sent before it knew better still arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mediaserverd.call.audio import AudioPath
from mediaserverd.call.commands import Command, FailedOver, FindMediaServers, MediaDelete
from mediaserverd.call.conversation import Conversation
from mediaserverd.call.events import Search
from mediaserverd.call.legs import Leg
from mediaserverd.call.move import Move
from mediaserverd.call.quest import Need, Quest
from mediaserverd.call.recordings import Recordings
from mediaserverd.call.setup import CallSetup

LINGER_S: Final = 2.0  # longer than any jitter buffer, and than a phone takes to act on a description
FIRST_RETRY_S: Final = 1.0  # a recording that no server could take is offered again: servers come back
LAST_RETRY_S: Final = 60.0

Carried = Callable[[str], None]  # told once whether a server carries the audio: why not, or empty


class Anchoring:
    """``legs`` are both sides, while they talk. ``go_on`` lets an interrupted recording go on on a server."""

    def __init__(
        self,
        setup: CallSetup,
        audio: AudioPath,
        conversation: Conversation,
        recordings: Recordings,
        legs: Callable[[], tuple[Leg, Leg] | None],
        go_on: Callable[[str], None],
        emit: Callable[[Command], None],
        tell: Callable[[str], None],
    ) -> None:
        self._setup = setup
        self._audio = audio
        self._conversation = conversation
        self._recordings = recordings
        self._legs = legs
        self._go_on = go_on
        self._emit = emit
        self._tell = tell
        self._searches = 0
        self._quest: Quest | None = None
        self._operation = ""
        self._wanted_by: Carried | None = None  # waits until a server carries the audio
        self._move: Move | None = None
        self._planned = False  # the move: it needs no failure to happen
        self._lingering: dict[str, float | None] = {}  # left, and deleted when; None: at the end of the call
        self._lost: tuple[str, float] | None = None  # the carrier that died, and when: the audio is nowhere
        self._failed: set[str] = set()  # servers that did not take the audio since it last moved
        self._retry_at: float | None = None  # for a recording that nobody could take
        self._retry_s = FIRST_RETRY_S
        self.stranded = ""  # why the audio can go nowhere any more
        self._stays = False  # a phone would not go back to direct; not asked again until another operation ends

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
        waits = [self._retry_at] if self._recordings.interrupted and not self._is_busy else []
        return min((at for at in (*self._lingering.values(), *waits) if at is not None), default=None)

    def bring_in(self, operation: str, carried: Carried) -> None:
        """``carried`` is told when a server has the audio, or why none has."""
        self._operation, self._wanted_by = operation, carried

    def found(self, search: Search, servers: tuple[str, ...], why_none: str) -> None:
        if self._quest:
            self._quest.found(search, servers, why_none)

    def settle(self, now: float) -> bool:
        """What follows from how the call stands. Whether it did anything, so that it is to be asked once more."""
        self._let_recording_go_on()
        if self._move and self._move.over:
            move, self._move = self._move, None
            self._moved(move, now)
            return True
        legs = self._legs()
        if self._is_busy or legs is None:
            return False
        if need := self._need(now):
            if self._quest is None or self._quest.need is not need:
                self._quest = Quest(need)
            return self._pursue(self._quest, legs, now)
        self._quest = None
        if self._audio.server and not self._is_needed:
            self._tell("nothing needs the audio any more: the phones are to talk directly")
            self._begin("", legs, now, planned=True)
            return True
        return False

    def server_usable(self, server: str, now: float) -> None:
        """There is one more than there was: a recording that nobody could take need not wait any longer."""
        if self._retry_at is not None and server not in self._recordings.refusing:
            self._retry_at = now

    def media_lost(self, server: str, reason: str, now: float) -> None:
        """A server is dead: nothing is left of the call there, and nobody need go there."""
        if server in self._lingering:
            del self._lingering[server]
            self._emit(MediaDelete(server))
        if self._quest:
            self._quest.without(server)
        if self._move:
            self._lost = self._lost or ((server, now) if server == self._move.origin else None)
            self._conversation.media_lost(server, reason, now)

    def carrier_lost(self, server: str, now: float) -> None:
        """The audio ran through this one, and is nowhere now."""
        self._lost = (server, now)
        self._quest = None

    def woken(self, now: float) -> None:
        for server, at in [*self._lingering.items()]:
            if at is not None and now >= at:
                del self._lingering[server]
                self._emit(MediaDelete(server))

    @property
    def left(self) -> tuple[str, ...]:
        """Servers other than the one that carries the call, which may have something of it all the same."""
        moving = (self._move.target, self._move.origin) if self._move else ()
        found = dict.fromkeys((*self._lingering, *moving))
        return tuple(server for server in found if server and server != self._audio.server)

    @property
    def lost(self) -> str:
        """The carrier that died, as long as no other one has its place."""
        return self._lost[0] if self._lost else ""

    def take_over(self, left: tuple[str, ...], lost: str, now: float, *, unsettled: bool) -> None:
        """From an earlier process. ``unsettled``: it was about to change something, and nobody knows what phones and
        server have heard of that: all of them are told once more how the call stands."""
        self._lingering = dict.fromkeys(left, now + LINGER_S)
        legs = self._legs()
        if lost:
            self.carrier_lost(lost, now)
        elif unsettled and legs:
            self._begin(self._audio.server, legs, now, planned=True)

    def end(self) -> None:
        """The call does: every server but the one that carries it is told, and whoever waits for one."""
        for server in self.left:
            self._emit(MediaDelete(server))
        self._lingering.clear()
        self._move = self._quest = self._lost = None
        if self._wanted_by:
            self._answer("the call has ended")

    def _let_recording_go_on(self) -> None:
        """As soon as the new server is ready: it is to have the first packet that comes there."""
        move, recordings = self._move, self._recordings
        if move and move.leads_to_server and recordings.interrupted and move.target not in recordings.refusing:
            self._go_on(move.target)

    # --- what is needed

    @property
    def _is_busy(self) -> bool:
        return self._move is not None or self._conversation.is_busy or bool(self._quest and self._quest.is_searching)

    @property
    def _is_needed(self) -> bool:
        return self._stays or self._setup.keeps_audio or self._recordings.is_on_server

    def _need(self, now: float) -> Need | None:
        if self._lost:
            return Need.CARRIER
        if self._wanted_by:
            return Need.OPERATION
        if self._recordings.interrupted and (self._retry_at is None or now >= self._retry_at):
            return Need.RECORDER
        return None

    def _pursue(self, quest: Quest, legs: tuple[Leg, Leg], now: float) -> bool:
        if quest.need is Need.OPERATION and self._audio.server:
            self._answer("")
        elif server := quest.next_candidate():
            self._lingering.pop(server, None)
            self._tell(f"media server {server} is to carry the audio")
            self._begin(server, legs, now)
        elif not quest.asked:
            self._searches += 1
            search, excluded = Search(self._searches), self._excluded(quest)
            quest.begin(search, excluded)
            self._emit(FindMediaServers(search, self._operation_of(quest), excluded, self._needs_carrier(quest)))
        else:
            self._give_up(quest, legs, now)
        return True

    def _operation_of(self, quest: Quest) -> str:
        if quest.need is Need.OPERATION:
            return self._operation
        return "record" if self._recordings.interrupted else "call"

    def _needs_carrier(self, quest: Quest) -> bool:
        """Whatever becomes of a recording, the phones are not to talk directly."""
        return quest.need is Need.CARRIER and (self._setup.keeps_audio or not self._setup.may_go_direct)

    def _excluded(self, quest: Quest) -> tuple[str, ...]:
        dead = {self._lost[0]} if self._lost else set()
        present = {self._audio.server} if quest.need is Need.RECORDER and self._audio.server else set()
        return tuple(sorted(dead | present | self._failed | self._recordings.refusing))

    def _give_up(self, quest: Quest, legs: tuple[Leg, Leg], now: float) -> None:
        """No server can be had for it."""
        self._quest = None
        match quest.need:
            case Need.OPERATION:
                self._answer(f"{quest.why_not} ({quest.why_none})" if quest.why_none else quest.why_not)
            case Need.RECORDER:
                self._goes_unrecorded(now)
            case Need.CARRIER if self._setup.may_go_direct and not self._recordings.required:
                self._tell(f"{quest.why_not}: the phones are to talk directly")
                self._begin("", legs, now)
            case Need.CARRIER:
                self.stranded = f"media-server-lost: {quest.why_not}"

    def _goes_unrecorded(self, now: float) -> None:
        recording = self._recordings.interrupted
        if recording is None:
            return
        if self._recordings.required:
            self.stranded = "the required recording can go on nowhere"
            return
        self._tell("no media server can record: the call goes on unrecorded for now")
        recording.wait_for_server()
        self._retry_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    # --- moves

    def _begin(self, target: str, legs: tuple[Leg, Leg], now: float, *, planned: bool = False) -> None:
        self._planned = planned
        self._recordings.stay_at(target, now)
        self._move = Move(target, legs, self._audio, self._emit, self._setup.dice, dead=self._lost is not None)
        self._conversation.begin_move(self._move, now)

    def _moved(self, move: Move, now: float) -> None:
        if not move.fault:
            self._tell(f"media server {move.target} carries the audio" if move.target else "the phones talk directly")
            self._leave(move.origin, now + LINGER_S)
            self._arrived(move, now)
            return
        if move.target == move.origin:
            self._tell(f"not everybody could be told how the call stands: {move.fault}")
        elif not move.prepared:
            self._failed.add(move.target)
            self._tell(move.fault)
            self._emit(MediaDelete(move.target))  # it may have taken the offer before it refused the answer
            if self._quest:
                self._quest.why_not = move.fault
        else:
            self._failed.add(move.target)
            self._not_moved(move, now)
        if self._lost and self._audio.server == self._lost[0]:
            self._audio.drop_server(delete=True)

    def _arrived(self, move: Move, now: float) -> None:
        self._quest = None
        self._failed.clear()
        if move.target:
            self._retry_at, self._retry_s = None, FIRST_RETRY_S
        if self._lost:
            lost, since = self._lost
            self._lost = None
            if not self._planned:
                self._emit(FailedOver(lost, move.target, round(now - since, 3)))
            if not move.target:
                self._goes_unrecorded(now)

    def _not_moved(self, move: Move, now: float) -> None:
        """A phone refused, or the new server died while the phones were on their way to it."""
        self._tell(f"the audio did not move: {move.fault}")
        self._recordings.leave_server(move.target, now)
        self._leave(move.target, None if move.split else now + LINGER_S)
        self._stays = not move.target
        if self._lost:
            if move.by_server:
                self._quest = None  # the phones are willing: another server is looked for
            else:
                self.stranded = f"media-server-lost: {move.fault}"
        elif self._quest:
            self._quest.exhausted(move.fault)

    def _leave(self, server: str, at: float | None) -> None:
        if not server or server == self._audio.server:
            return
        if self._lost and server == self._lost[0]:
            self._emit(MediaDelete(server))
        else:
            self._lingering[server] = at

    def _answer(self, fault: str) -> None:
        carried, self._wanted_by = self._wanted_by, None
        self._stays = False
        self._quest = None
        self._failed.clear()
        if carried:
            carried(fault)
