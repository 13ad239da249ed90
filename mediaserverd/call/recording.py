"""One recording of a call, as far as the call has to do with it: asked for, running, interrupted, over. Every segment
that was announced in the ledger gets exactly one ``failed`` or ``ended`` there, whatever happens.

An interrupted recording is to go on as its next segment. For as long as nobody can take it, a segment without a media
server stands in the ledger, which fails in the end: so every second that was to be recorded is accounted for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mediaserverd.call.commands import BegunPaused, Command, StartRecording, WriteLedger
from mediaserverd.call.ledger import Ended, EndReason, Expected, Failed, Started
from mediaserverd.call.setup import CallSetup, RecordingOrder
from mediaserverd.policy.facts import Party

NO_SERVER: Final = "no-media-server"


class RecordingState(Enum):
    IDLE = "idle"
    ASKED = "asked"  # announced; the media server has not replied yet
    RUNNING = "running"
    STOPPING = "stopping"  # the media server was asked to, and has not replied yet
    INTERRUPTED = "interrupted"  # no media server has it, and one is to
    OVER = "over"


@dataclass(frozen=True, slots=True)
class RecordingSnapshot:
    """A recording, for another process. ``unserved`` and ``why`` are of one that is interrupted."""

    order: RecordingOrder
    state: RecordingState
    outcome: str
    segment: int
    server: str
    began_paused: bool
    file: str
    uri: str
    called: Party
    asked_at: float
    unserved: bool
    why: str

    @property
    def announced(self) -> bool:
        """The ledger waits for the end of this segment."""
        return self.unserved or self.state in (
            RecordingState.ASKED,
            RecordingState.RUNNING,
            RecordingState.STOPPING,
        )


class Recording:
    """Times are those given to ``Call.handle``, in seconds."""

    def __init__(self, order: RecordingOrder, setup: CallSetup, emit: Callable[[Command], None]) -> None:
        self.order = order
        self.state = RecordingState.IDLE
        self.outcome = ""  # "recorded", or why not or not in full
        self.segment = 0
        self.server = ""  # has this segment, or is asked to
        self.began_paused = False  # this segment
        self.file = self.uri = ""
        self._setup = setup
        self._emit = emit
        self._called = setup.called
        self._asked_at = 0.0
        self._ended: tuple[EndReason, float] | None = None  # the end came before the reply to the start
        self._unserved = False  # this segment has no media server
        self._why = ""  # it is interrupted

    @classmethod
    def restored(cls, kept: RecordingSnapshot, setup: CallSetup, emit: Callable[[Command], None]) -> Recording:
        recording = cls(kept.order, setup, emit)
        recording.state, recording.outcome, recording.segment = kept.state, kept.outcome, kept.segment
        recording.server, recording.began_paused = kept.server, kept.began_paused
        recording.file, recording.uri = kept.file, kept.uri
        recording._called, recording._asked_at = kept.called, kept.asked_at
        recording._unserved, recording._why = kept.unserved, kept.why
        recording.not_stopped()
        return recording

    def snapshot(self) -> RecordingSnapshot:
        return RecordingSnapshot(
            order=self.order,
            state=self.state,
            outcome=self.outcome,
            segment=self.segment,
            server=self.server,
            began_paused=self.began_paused,
            file=self.file,
            uri=self.uri,
            called=self._called,
            asked_at=self._asked_at,
            unserved=self._unserved,
            why=self._why,
        )

    @property
    def pending(self) -> bool:
        return self.state is RecordingState.ASKED

    @property
    def over(self) -> bool:
        return self.state in (RecordingState.IDLE, RecordingState.OVER)

    @property
    def interrupted(self) -> bool:
        return self.state is RecordingState.INTERRUPTED

    @property
    def unserved(self) -> bool:
        """It is interrupted, and no media server can take it for now."""
        return self._unserved

    def start(
        self, server: str, called: Party, now: float, look_back_ms: int = 0, paused: BegunPaused | None = None
    ) -> None:
        """The first segment or the next one: announces it, then asks the server for it; without a server it waits for
        one, and is accounted for."""
        if self._unserved:
            self._fail_segment(NO_SERVER)
        self._called = called
        self._announce(server)
        if not server:
            self.state, self.outcome, self._unserved = RecordingState.INTERRUPTED, NO_SERVER, True
            return
        self.state, self._asked_at, self.began_paused = RecordingState.ASKED, now, paused is not None
        self._ask(look_back_ms, paused)

    def ask_again(self, paused: BegunPaused | None) -> None:
        """Nobody knows whether the server has heard of it. One that has takes it for a resumption."""
        if self.pending:
            self._ask(0, paused if self.began_paused else None)

    def _ask(self, look_back_ms: int, paused: BegunPaused | None) -> None:
        order, metadata = self.order, {**self._expected(self.server).document(), "tags": list(self.order.tags)}
        self._emit(
            StartRecording(self.server, order.recording_id, self.segment, order.form, metadata, look_back_ms, paused)
        )

    def wait_for_server(self) -> None:
        """It is interrupted, and nobody can take it for now."""
        if self.interrupted and not self._unserved:
            self._announce("")
            self._unserved = True

    def awaits(self, segment: int) -> bool:
        """Whether the reply to the start of this segment is still to come."""
        return self.pending and segment == self.segment

    def started(self, file: str, uri: str) -> None:
        if not self.pending:
            return
        self.state, self.outcome = RecordingState.RUNNING, "recorded"
        self.file, self.uri = file, uri
        self._emit(WriteLedger(Started(self.order.recording_id, self.segment, file, uri)))
        if self._ended:
            self.end(*self._ended)

    def fail(self, reason: str) -> None:
        """It never ran, as far as anyone knows."""
        if self.state is RecordingState.ASKED:
            self.state, self.outcome = RecordingState.OVER, reason
            self._fail_segment(reason)

    def refused(self, reason: str) -> None:
        """What somebody asked for on demand is not looked for elsewhere: they hear why, and may ask again."""
        was_asked_to_end = self._ended is not None
        self.fail(reason)
        if not was_asked_to_end and (self.segment > 1 or self.order.kind == "policy"):
            self._interrupt(reason)

    def stopping(self) -> None:
        self.state = RecordingState.STOPPING

    def not_stopped(self) -> None:
        """It goes on, as far as anyone knows; the end of the call ends it."""
        if self.state is RecordingState.STOPPING:
            self.state = RecordingState.RUNNING

    def end(self, reason: EndReason, now: float) -> None:
        """While the media server has not replied to the start, the end waits for that reply."""
        if self.state is RecordingState.ASKED:
            self._ended = self._ended or (reason, now)
        elif self.interrupted:
            why = NO_SERVER if self._unserved else self._why
            self.wait_for_server()
            self.state = RecordingState.OVER
            self._fail_segment(why)
        elif not self.over:
            self.state = RecordingState.OVER
            if reason is EndReason.TOO_SHORT:
                self.outcome = "too short"
            self._end_segment(reason, now)

    def abandon(self) -> None:
        """Nothing is to be recorded any more."""
        if self.interrupted:
            self.state = RecordingState.OVER
            if self._unserved:
                self._fail_segment(NO_SERVER)

    def break_off(self, reason: EndReason, now: float) -> None:
        """Its media server has it no more, and was not asked: this segment ends, and another server is to go on."""
        if self.state is RecordingState.ASKED:
            self.refused(reason.value)
        elif self.state in (RecordingState.RUNNING, RecordingState.STOPPING):
            was_to_stop = self.state is RecordingState.STOPPING
            self.state, self.outcome = RecordingState.OVER, f"broken off: {reason.value}"
            self._end_segment(reason, now)
            if not was_to_stop:
                self._interrupt(reason.value)

    def _interrupt(self, why: str) -> None:
        self.state, self.server, self._why = RecordingState.INTERRUPTED, "", why

    def _announce(self, server: str) -> None:
        self.segment += 1
        self.server = server
        self._emit(WriteLedger(self._expected(server)))

    def _expected(self, server: str) -> Expected:
        setup, order = self._setup, self.order
        return Expected(
            recording_id=order.recording_id,
            segment=self.segment,
            call_id=setup.call_id,
            kind=order.kind,
            policy=order.policy,
            direction=setup.direction,
            calling=setup.calling,
            called=self._called,
            media_server=server,
            form=order.form,
            initiation=order.initiation,
        )

    def _end_segment(self, reason: EndReason, now: float) -> None:
        duration_ms = max(0, round((now - self._asked_at) * 1000))
        self._emit(WriteLedger(Ended(self.order.recording_id, self.segment, reason, duration_ms)))

    def _fail_segment(self, reason: str) -> None:
        self._unserved = False
        self._emit(WriteLedger(Failed(self.order.recording_id, self.segment, reason)))
