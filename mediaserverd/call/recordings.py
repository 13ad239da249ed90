"""All recordings of a call, one at a time: the one that a policy wants, and those that somebody asks for later. What
somebody may ask for, and when, is decided in ``control``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mediaserverd.call import events as on
from mediaserverd.call.commands import Command
from mediaserverd.call.ledger import EndReason
from mediaserverd.call.recording import Recording, RecordingSnapshot, RecordingState
from mediaserverd.call.setup import CallSetup, RecordingOrder

MAX_RECORDINGS: Final = 100  # of one call: each is a row of the catalogue and some lines of the story


class Recordings:
    def __init__(self, setup: CallSetup, emit: Callable[[Command], None], tell: Callable[[str], None]) -> None:
        self.all = [Recording(setup.recording, setup, emit)] if setup.recording else []
        self._setup = setup
        self._emit = emit
        self._tell = tell
        self._refusing: set[str] = set()

    def take_over(self, kept: Iterable[RecordingSnapshot]) -> None:
        self.all = [Recording.restored(each, self._setup, self._emit) for each in kept]

    def snapshot(self) -> tuple[RecordingSnapshot, ...]:
        return tuple(each.snapshot() for each in self.all)

    @property
    def of_policy(self) -> Recording | None:
        """The one that a policy wants."""
        return self.all[0] if self.all and self._setup.recording else None

    @property
    def required(self) -> bool:
        return self._setup.recording is not None and self._setup.recording.required

    @property
    def current(self) -> Recording | None:
        """The one that was asked for or runs."""
        return self.all[-1] if self.all and not self.all[-1].over else None

    @property
    def pending(self) -> bool:
        """Whether the media server still owes the reply to a start."""
        return self.current is not None and self.current.pending

    @property
    def full(self) -> bool:
        return len(self.all) >= MAX_RECORDINGS

    def add(self, order: RecordingOrder) -> Recording:
        self.all.append(Recording(order, self._setup, self._emit))
        return self.all[-1]

    def take(self, event: on.RecordingEvent, now: float) -> bool:
        """What the media server says of one. Whether it has it no more."""
        found = self.current
        if found is None or found.order.recording_id != event.recording_id:
            self._tell(f"{type(event).__name__} of a recording that is over")
            return False
        match event:
            case on.RecordingStarted(_, segment, file, uri) if found.awaits(segment):
                self._tell(f"recording {event.recording_id} runs: {file}")
                found.started(file, uri)
            case on.RecordingRefused(_, segment, reason) if found.awaits(segment):
                self._refusing.add(found.server)
                found.refused(reason)
                self._tell(f"not recorded: {reason}")
                return True
            case on.RecordingBroken(_, segment, reason) if segment == found.segment and not found.interrupted:
                self._refusing.add(found.server)
                found.break_off(EndReason.RECORDING_BROKEN, now)
                self._tell(f"not recorded: {reason}")
                return True
            case _:
                pass  # a second reply to one start, or of a segment that is over
        return False

    @property
    def interrupted(self) -> Recording | None:
        """It is to go on as the next segment as soon as a media server can take it."""
        return self.current if self.current and self.current.interrupted else None

    @property
    def unserved(self) -> Recording | None:
        """The same, and none can for now."""
        return self.current if self.current and self.current.unserved else None

    @property
    def is_on_server(self) -> bool:
        """There is one that a media server has, or is asked for."""
        return self.current is not None and not self.current.interrupted

    @property
    def refusing(self) -> frozenset[str]:
        """Media servers that did not take, or did not keep, a recording of this call: they are not asked again."""
        return frozenset(self._refusing)

    def end(self, reason: EndReason, now: float, *, answered: bool = True) -> None:
        """``answered``: somebody could be heard, so that what was not recorded is missing."""
        if self.interrupted and not answered:
            self.interrupted.abandon()
        if self.current:
            self.current.end(reason, now)

    def lose_server(self, server: str, now: float) -> None:
        """No reply will come from there any more."""
        if self.current and self.current.server == server:
            self.current.break_off(EndReason.MEDIA_SERVER_LOST, now)

    def leave_server(self, server: str, now: float) -> None:
        """The audio did not come to this server, or does not stay there."""
        if self.current and self.current.server == server:
            self.current.break_off(EndReason.RECORDING_BROKEN, now)

    def stay_at(self, server: str, now: float) -> None:
        """The audio goes there. A server that it leaves without having been lost is one that it had never come to, as
        when a controller dies in the middle of a move."""
        if self.current and self.current.server != server:
            self.leave_server(self.current.server, now)

    def give_up(self) -> None:
        """The reply to a start never came."""
        if self.current:
            self.current.fail("no answer")

    @property
    def ids(self) -> tuple[str, ...]:
        """Of those that were announced."""
        return tuple(each.order.recording_id for each in self.all if each.segment)

    @property
    def outcome(self) -> str:
        """Of the last one that was announced: "recorded", or why not."""
        return next((each.outcome for each in reversed(self.all) if each.segment), "")

    @property
    def policy(self) -> str:
        return self._setup.recording.policy if self._setup.recording else ""


def is_running(recording: Recording | None) -> bool:
    return recording is not None and recording.state is RecordingState.RUNNING
