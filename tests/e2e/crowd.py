"""Ten calls at once between our own phones, each with voices of its own; and what should have come of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.kit.daemon import Daemon
from tests.kit.judge import judge_stereo
from tests.kit.phone import Call, Phone
from tests.kit.speech import Samples, speech
from tests.kit.wav import read_wav

CALLS: Final = 10
_SPEECH_S: Final = 60


@dataclass(slots=True)
class Conversation:
    caller: Call
    called: Call
    caller_says: Samples
    called_says: Samples

    @property
    def voices(self) -> tuple[Samples, Samples]:
        return self.caller_says, self.called_says


async def converse(caller: Phone, called: Phone, number: str, seed: int) -> Conversation:
    """One call that is up, both parties speaking."""
    ours = await caller.dial(number)
    theirs = await called.rings()
    theirs.answer()
    await ours.established()
    await theirs.established()
    made = Conversation(ours, theirs, speech(2 * seed, _SPEECH_S), speech(2 * seed + 1, _SPEECH_S))
    ours.voice.speak(made.caller_says)
    theirs.voice.speak(made.called_says)
    return made


async def crowd(caller: Phone, called: Phone, number: str, count: int = CALLS) -> list[Conversation]:
    """So many calls, set up one after the other, so that each one's two ends are known."""
    return [await converse(caller, called, number, seed) for seed in range(100, 100 + count)]


async def hang_up(conversations: list[Conversation]) -> None:
    """End on both sides whatever is still up: after the loss of a controller neither hears of the other any more."""
    for one in conversations:
        await one.caller.hang_up()
        await one.called.hang_up()


async def recorded_faults(daemon: Daemon, recordings: list[dict[str, object]], seconds: int) -> list[str]:
    """Every recording must hold the two voices of one conversation, for so many seconds at least."""
    found = []
    seeds = list(range(100, 100 + CALLS))
    for one in recordings:
        channels = read_wav(await daemon.api.audio(str(one["id"])))
        faults = ["nobody's voices"]
        for seed in seeds:
            verdict = judge_stereo(speech(2 * seed, _SPEECH_S), speech(2 * seed + 1, _SPEECH_S), channels)
            if max(verdict.left.correlations, default=0) > 0.5:
                faults = verdict.faults(seconds=seconds, skew_ms=None)
                seeds.remove(seed)
                break
        found += [f"{one['id']}: {fault}" for fault in faults]
    return found
