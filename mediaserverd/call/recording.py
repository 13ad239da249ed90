"""One recording of a call, as far as the call has to do with it: asked for, running, over. Every recording that was
announced in the ledger gets exactly one ``failed`` or ``ended`` there, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from mediaserverd.call.commands import Command, StartRecording, WriteLedger
from mediaserverd.call.ledger import Ended, EndReason, Expected, Failed, Started
from mediaserverd.call.setup import CallSetup, RecordingOrder
from mediaserverd.policy.facts import Party


class RecordingState(Enum):
    IDLE = "idle"
    ASKED = "asked"  # announced; the media server has not replied yet
    RUNNING = "running"
    STOPPING = "stopping"  # the media server was asked to, and has not replied yet
    OVER = "over"


class Recording:
    """Times are those given to ``Call.handle``, in seconds."""

    def __init__(self, order: RecordingOrder, setup: CallSetup, emit: Callable[[Command], None]) -> None:
        self.order = order
        self.state = RecordingState.IDLE
        self.outcome = ""  # "recorded", or why not or not in full
        self.segment = 0
        self.file = self.uri = ""
        self._setup = setup
        self._emit = emit
        self._asked_at = 0.0
        self._ended: tuple[EndReason, float] | None = None  # the end came before the reply to the start

    @property
    def pending(self) -> bool:
        return self.state is RecordingState.ASKED

    def start(self, server: str, called: Party, now: float, look_back_ms: int = 0) -> None:
        """Announces it, then asks the server for it. Without a server it has failed at once, but is accounted for."""
        self.segment += 1
        self.state, self._asked_at = RecordingState.ASKED, now
        setup, order = self._setup, self.order
        expected = Expected(
            recording_id=order.recording_id,
            segment=self.segment,
            call_id=setup.call_id,
            kind=order.kind,
            policy=order.policy,
            direction=setup.direction,
            calling=setup.calling,
            called=called,
            media_server=server,
            form=order.form,
            initiation=order.initiation,
        )
        self._emit(WriteLedger(expected))
        if server:
            metadata = {**expected.document(), "tags": list(order.tags)}
            self._emit(StartRecording(server, order.recording_id, self.segment, order.form, metadata, look_back_ms))
        else:
            self.fail("no-media-server")

    @property
    def over(self) -> bool:
        return self.state in (RecordingState.IDLE, RecordingState.OVER)

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
            self._emit(WriteLedger(Failed(self.order.recording_id, self.segment, reason)))

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
        elif not self.over:
            self.state = RecordingState.OVER
            if reason in (EndReason.RECORDING_BROKEN, EndReason.MEDIA_SERVER_LOST):
                self.outcome = f"broken off: {reason.value}"
            elif reason is EndReason.TOO_SHORT:
                self.outcome = "too short"
            duration_ms = max(0, round((now - self._asked_at) * 1000))
            self._emit(WriteLedger(Ended(self.order.recording_id, self.segment, reason, duration_ms)))

    def lose_server(self, now: float) -> None:
        """No reply will come from there any more."""
        self.fail(EndReason.MEDIA_SERVER_LOST.value)
        self.end(EndReason.MEDIA_SERVER_LOST, now)
