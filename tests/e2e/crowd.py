"""Many calls at once between our own phones, ten in a row with their own voices; and what should have come of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
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


def seed_of(number: int) -> int:
    """Of one conversation's voices, by its place in the crowd."""
    return 100 + number % CALLS


@cache
def voices(seed: int) -> tuple[Samples, Samples]:
    """What the two of one conversation say. Made once: it takes long, and nobody speaks meanwhile."""
    return speech(2 * seed, _SPEECH_S), speech(2 * seed + 1, _SPEECH_S)


@asynccontextmanager
async def two_phones(daemon: Daemon) -> AsyncIterator[tuple[Phone, Phone]]:
    """Alice's and Bob's, registered."""
    async with await Phone.open(daemon.account("alice")) as alice, await Phone.open(daemon.account("bob")) as bob:
        await alice.register()
        await bob.register()
        yield alice, bob


async def converse(caller: Phone, called: Phone, number: str, seed: int) -> Conversation:
    """One call that is up, both parties speaking."""
    caller_says, called_says = voices(seed)
    ours = await caller.dial(number)
    theirs = await called.rings()
    theirs.answer()
    await ours.established()
    await theirs.established()
    made = Conversation(ours, theirs, caller_says, called_says)
    ours.voice.speak(made.caller_says)
    theirs.voice.speak(made.called_says)
    return made


async def crowd(caller: Phone, called: Phone, number: str, count: int = CALLS) -> list[Conversation]:
    """So many calls, set up one after the other, so that each one's two ends are known."""
    seeds = [seed_of(number) for number in range(count)]
    for seed in set(seeds):
        voices(seed)
    return [await converse(caller, called, number, seed) for seed in seeds]


async def hang_up(conversations: list[Conversation]) -> None:
    """End on both sides whatever is still up: after the loss of a controller neither hears of the other any more."""
    for one in conversations:
        await one.caller.hang_up()
        await one.called.hang_up()


async def recorded_faults(
    daemon: Daemon, recordings: list[dict[str, object]], seconds: int, *, segment: int = 0
) -> list[str]:
    """Every recording (or that segment of it) must hold the two voices of one conversation, for so many seconds at
    least."""
    found = []
    seeds = list(range(100, 100 + CALLS))
    for one in sorted(recordings, key=lambda each: str(each["started_at"])):  # as they were set up: the first seed fits
        part = f"{one['id']}/segments/{segment}" if segment else str(one["id"])
        channels = read_wav(await daemon.api.audio(part))
        faults = ["nobody's voices"]
        for seed in seeds:
            verdict = judge_stereo(*voices(seed), channels)
            if max(verdict.left.correlations, default=0) > 0.5:
                faults = verdict.faults(seconds=seconds, skew_ms=None)
                seeds.remove(seed)
                break
        found += [f"{one['id']}: {fault}" for fault in faults]
    return found
