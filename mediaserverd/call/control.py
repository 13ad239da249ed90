"""Control of a call's recordings while it runs: somebody starts, stops, pauses, resumes them, or the time of a pause is
up. Each wish is answered once: when the media server has confirmed it, or with the reason why not.

A pause belongs to the call, not to a recording: nothing that the phones or the media server do ends it, nothing is
recorded until it is over, and what was heard before its end never becomes look-back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, assert_never

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.call.ledger import EndReason
from mediaserverd.call.pause import Pause
from mediaserverd.call.recording import Recording
from mediaserverd.call.recordings import Recordings, is_running
from mediaserverd.call.setup import CallSetup, RecordingOrder
from mediaserverd.policy.facts import Party
from mediaserverd.policy.form import DEFAULT_FORM, RecordingForm
from mediaserverd.protocol.negotiation import Side

RESUME_RETRY_S: Final = 5.0  # a pause whose time is up, and the media server did not take the end of it
MAX_PENDING: Final = 32  # wishes that wait for the media server; more is a flood


class What(Enum):
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Situation:
    """How the call stands: ``server`` carries its audio (empty: none does); both sides have been able to talk since
    ``since`` (None: not yet)."""

    server: str
    called: Party
    since: float | None


@dataclass(frozen=True, slots=True)
class ControlSnapshot:
    """For another process. Whoever waited for an answer has lost it with the earlier one."""

    pause: Pause | None
    paused_until: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a reply of the media server will be about."""

    what: What
    request: on.ControlRequest | None
    pause: Pause | None = None
    recording: Recording | None = None


class RecordingControl:
    def __init__(
        self,
        setup: CallSetup,
        recordings: Recordings,
        emit: Callable[[do.Command], None],
        tell: Callable[[str], None],
    ) -> None:
        self.pause: Pause | None = None
        self._setup = setup
        self._recordings = recordings
        self._emit = emit
        self._tell = tell
        self._numbers = 0
        self._asked: dict[on.Change, _Asked] = {}
        self._starts: dict[str, on.ControlRequest] = {}  # recording id -> who waits for it
        self._paused_until = 0.0  # when the last pause was over

    def snapshot(self) -> ControlSnapshot:
        return ControlSnapshot(self.pause and replace(self.pause, ending=False), self._paused_until)

    def take_over(self, kept: ControlSnapshot) -> None:
        self.pause, self._paused_until = kept.pause and replace(kept.pause), kept.paused_until

    def ask_again(self) -> None:
        """What the media server has perhaps not heard of: a start, a pause."""
        pause, recording = self.pause, self._recordings.current
        if recording is None:
            return
        recording.ask_again(self.begun_paused)
        if pause and recording.server and (recording.pending or not pause.confirmed):
            change = self._ask(What.PAUSE, None, pause=pause)
            how = pause.mode, pause.secure, pause.by, self._codes
            self._emit(do.PauseRecording(change, recording.server, *how))

    @property
    def until(self) -> float | None:
        """The time of the pause is up then."""
        return self.pause.until if self.pause and not self.pause.ending else None

    @property
    def begun_paused(self) -> do.BegunPaused | None:
        """How a segment begins that follows another one: a change of media servers ends no pause."""
        pause = self.pause
        return do.BegunPaused(pause.mode, pause.secure, pause.by, self._codes) if pause else None

    @property
    def _codes(self) -> tuple[str, ...]:
        """What phones may key in while it is paused, to end the pause."""
        return (self._setup.codes.pause,) if self._setup.codes.pause else ()

    # --- wishes

    def requested(self, event: on.ControlEvent, where: Situation, now: float) -> None:
        refusal = self.refusal(event, where)
        if refusal:
            self._emit(do.Deny(event.request, refusal))
            return
        match event:
            case on.StartRequested():
                self._start(event, where, now)
            case on.StopRequested(request, by):
                self._tell(f"{by} stops the recording")
                recording = self._recordings.all[-1]
                recording.stopping()
                self._emit(do.StopRecording(self._ask(What.STOP, request, recording=recording), recording.server))
            case on.PauseRequested():
                self._pause(event, now)
            case on.ResumeRequested(request, by):
                self._tell(f"{by} ends the pause")
                self._resume(by, request, now)
            case _:
                assert_never(event)

    def refusal(self, event: on.ControlEvent, where: Situation) -> str:
        """Why not now; empty if it may be."""
        if len(self._asked) + len(self._starts) >= MAX_PENDING:
            return "too many requests wait for the media server already"
        match event:
            case on.StartRequested():
                return self._start_refusal(where)
            case on.StopRequested():
                return self._stop_refusal()
            case on.PauseRequested(secure=secure):
                if self._recordings.current or self.pause or (secure and where.since is not None):
                    return ""
                return "no recording runs" if where.since is not None else "the call is not answered yet"
            case on.ResumeRequested():
                return "" if self.pause and not self.pause.ending else "there is no pause to end"
            case _:
                assert_never(event)

    def _start_refusal(self, where: Situation) -> str:
        current = self._recordings.current
        if self._setup.barred_by:
            return f"policy {self._setup.barred_by!r} says that this call is not recorded"
        if self.pause:
            return f"recording is paused by {self.pause.by}; resume first"
        if current:
            return f"recording {current.order.recording_id} runs already"
        if where.since is None:
            return "the call is not answered yet"
        return "this call has had too many recordings" if self._recordings.full else ""

    def _stop_refusal(self) -> str:
        current = self._recordings.current
        if not is_running(current):
            return "the recording is about to begin or to end; ask again" if current else "no recording runs"
        if self._recordings.required and current is self._recordings.of_policy:
            return f"policy {self._recordings.policy!r} requires this recording"
        return ""

    def _start(self, event: on.StartRequested, where: Situation, now: float) -> None:
        assert where.since is not None
        heard_ms = int((now - max(where.since, self._paused_until)) * 1000)
        wanted_ms = self._setup.look_back_ms if event.look_back_ms is None else event.look_back_ms
        look_back_ms = min(self._setup.look_back_ms, wanted_ms, heard_ms)
        form = self._setup.recording.form if self._setup.recording else DEFAULT_FORM
        if event.kind == "snippet":
            form = RecordingForm(encrypt=self._setup.encrypt_snippets, encoding=form.encoding)
        order = RecordingOrder(event.recording_id, "", form, kind=event.kind, initiation=event.by)
        before = f", from {look_back_ms / 1000:g} s before" if look_back_ms else ""
        self._tell(f"{event.by} asks for a {'snippet' if event.kind == 'snippet' else 'recording'}{before}")
        self._starts[event.recording_id] = event.request
        self._recordings.add(order).start(where.server, where.called, now, look_back_ms)

    def _pause(self, event: on.PauseRequested, now: float) -> None:
        if self.pause and not self.pause.ending:
            self.pause.repeated(event, self._setup.pause, now)
        else:
            self.pause = Pause.begun(event, self._setup.pause, now)
        self._tell(f"{event.by} pauses the recording ({self.pause.described(now)})")
        recording = self._recordings.current
        if recording and self._recordings.is_on_server:
            change = self._ask(What.PAUSE, event.request, pause=self.pause)
            how = self.pause.mode, self.pause.secure, event.by, self._codes
            self._emit(do.PauseRecording(change, recording.server, *how))
        else:
            self.pause.confirmed = True
            self._emit(do.Grant(event.request))

    def _resume(self, by: str, request: on.ControlRequest | None, now: float) -> None:
        assert self.pause is not None
        recording = self._recordings.current
        if recording and self._recordings.is_on_server:
            self.pause.ending = True
            change = self._ask(What.RESUME, request, pause=self.pause)
            key = recording.order.recording_id, recording.segment
            self._emit(do.ResumeRecording(change, recording.server, *key, by))
        else:
            self._over(now)
            self._answer(request)

    def _ask(
        self,
        what: What,
        request: on.ControlRequest | None,
        *,
        pause: Pause | None = None,
        recording: Recording | None = None,
    ) -> on.Change:
        self._numbers += 1
        change = on.Change(self._numbers)
        self._asked[change] = _Asked(what, request, pause, recording)
        return change

    # --- what comes of them

    def out_of_time(self, now: float) -> None:
        self._tell("the time of the pause is up")
        self._resume("", None, now)

    def done(self, change: on.Change, now: float) -> None:
        asked = self._asked.pop(change, None)
        if asked is None:
            return
        match asked.what:
            case What.STOP if asked.recording:
                asked.recording.end(EndReason.STOPPED, now)
            case What.PAUSE if asked.pause:
                asked.pause.confirmed = True
            case What.RESUME if asked.pause is self.pause:
                self._over(now)
            case _:
                pass  # paused again in the meantime
        self._answer(asked.request)

    def failed(self, change: on.Change, reason: str, now: float) -> None:
        asked = self._asked.pop(change, None)
        if asked is None:
            return
        self._tell(f"the media server did not {asked.what.value} the recording: {reason}")
        if asked.recording:
            asked.recording.not_stopped()
        if asked.what is What.RESUME and self.pause is asked.pause and self.pause:
            self.pause.ending = False
            if self.pause.until is not None and self.pause.until <= now:
                self.pause.until = now + RESUME_RETRY_S
        self._answer(asked.request, f"the media server did not {asked.what.value} the recording: {reason}; ask again")

    def started(self, recording_id: str) -> None:
        current = self._recordings.current
        if self.pause and current and current.began_paused:
            self.pause.confirmed = True
        self._answer(self._starts.pop(recording_id, None))

    def refused(self, recording_id: str, reason: str) -> None:
        self._answer(self._starts.pop(recording_id, None), reason)

    def abort(self) -> None:
        """The call ends: whoever still waits hears so."""
        waiting = [asked.request for asked in self._asked.values()] + [*self._starts.values()]
        self._asked.clear()
        self._starts.clear()
        self.pause = None
        for request in waiting:
            self._answer(request, "the call has ended")

    def note(self, side: Side, event: dict[str, str]) -> None:
        """Something that the recording is to tell of."""
        recording = self._recordings.current
        if recording and recording.server:
            self._emit(do.RecordEvent(recording.server, side, event))

    def _over(self, now: float) -> None:
        self.pause, self._paused_until = None, now

    def _answer(self, request: on.ControlRequest | None, fault: str = "") -> None:
        if request is not None:
            self._emit(do.Deny(request, fault, uncertain=True) if fault else do.Grant(request))
