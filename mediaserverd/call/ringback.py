"""What the caller hears of the called side before it answers: each kind of 18x once, and early media where it
is clear whose."""

from __future__ import annotations

from collections.abc import Callable

from mediaserverd.call.audio import AudioPath, Purpose, readable
from mediaserverd.call.commands import Command, SendProgress
from mediaserverd.protocol.negotiation import Side


class Ringback:
    def __init__(self, audio: AudioPath, emit: Callable[[Command], None]) -> None:
        self.early = b""  # the called side's answer, in a provisional response
        self._early_status = (183, "Session Progress")
        self._sent: set[int] = set()
        self._audio = audio
        self._emit = emit

    def progressed(self, status: int, phrase: str, body: bytes, *, may_be_heard: bool) -> None:
        """``may_be_heard``: there is an offer that this answers, and nobody else rings; the audio of one of several
        phones would be a riddle."""
        if body and may_be_heard and not self.early and readable(body):
            self.early, self._early_status = body, (status, phrase)
            self._audio.answer(Purpose.EARLY_ANSWER, Side.CALLED, body)
        elif status not in self._sent:
            self._emit(SendProgress(status, phrase))
        self._sent.add(status)

    def relayed(self, body: bytes = b"") -> None:
        """The media server's view of the early answer; empty if it refused."""
        self._emit(SendProgress(*self._early_status, body))
