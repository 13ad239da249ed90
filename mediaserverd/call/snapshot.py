"""What must be known of a call that is up to go on with it in another process. Plain frozen values; how they are
written down is the controller's business.

A renegotiation on its way, INFOs, wishes that wait for the media server, and codes that are half keyed are not part of
it: who asked will hear nothing, and asks again. A move of the audio is, as far as the phones may know of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mediaserverd.call.account import Account
from mediaserverd.call.audio import AudioSnapshot
from mediaserverd.call.control import ControlSnapshot
from mediaserverd.call.events import LegId
from mediaserverd.call.pause import Pause
from mediaserverd.call.recording import RecordingSnapshot
from mediaserverd.call.setup import CallSetup
from mediaserverd.call.story import StoryLine
from mediaserverd.policy.facts import Party


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """Times are those of ``Call.handle``. ``setup`` has no targets any more: ``winner`` is the leg of the one that
    answered, ``called``. ``left`` are media servers other than the carrier that may have something of the call.
    ``lost`` is the carrier that died, as long as no other one has its place. ``unsettled``: a change is on its way,
    which the phones may have heard of or not."""

    setup: CallSetup
    winner: LegId
    called: Party
    audio: AudioSnapshot
    left: tuple[str, ...]
    lost: str
    unsettled: bool
    recordings: tuple[RecordingSnapshot, ...]
    control: ControlSnapshot
    account: Account
    story: tuple[StoryLine, ...]
    story_left_out: int

    def shifted(self, seconds: float) -> CallSnapshot:
        """On another clock, which shows so many seconds more."""
        account, control = self.account, self.control
        return replace(
            self,
            recordings=tuple(replace(each, asked_at=each.asked_at + seconds) for each in self.recordings),
            control=ControlSnapshot(
                control.pause and _pause_shifted(control.pause, seconds), control.paused_until + seconds
            ),
            account=replace(
                account,
                invited_at=_later(account.invited_at, seconds),
                answered_at=_later(account.answered_at, seconds),
            ),
            story=tuple(StoryLine(line.at + seconds, line.text) for line in self.story),
        )


def _pause_shifted(pause: Pause, seconds: float) -> Pause:
    return replace(
        pause,
        since=pause.since + seconds,
        until=_later(pause.until, seconds),
        secure_since=_later(pause.secure_since, seconds),
    )


def _later(at: float | None, seconds: float) -> float | None:
    return None if at is None else at + seconds
