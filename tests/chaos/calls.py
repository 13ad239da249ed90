"""The calls of a storm: pairs of phones, each with one call after the other, and what the phones know of each.

What is promised while the controller dies: a call that is being set up may come to nothing, and then its phones give it
up; one whose answer its caller has heard goes on and can be ended by either side. Not responsible for judging whether
that was kept (``account``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.chaos.strokes import Outage
from tests.kit.cluster import Cluster
from tests.kit.hosts import HERE
from tests.kit.phone import Call, Phone
from tests.kit.rtp import Voice
from tests.kit.speech import Samples, speech

PASSWORD: Final = "storm-proof-9"
FRAMES: Final = 4  # of 20 ms in a packet: many calls, and little work for the phones
_VOICES: Final = 8
_CALL_S: Final = (2.5, 20.0)
_LONG_CALL_S: Final = (33.0, 60.0)  # beyond 64 * T1 = 32 s: a phone that still waits for an ACK then hangs up
_LONG: Final = 0.15  # how many of them
_BETWEEN_S: Final = (0.2, 2.0)
_LOOK_EVERY_S: Final = 0.05
_LOST_AFTER_S: Final = 5.0  # of what a dead controller had begun, its next process knows nothing
_SET_UP_LIMIT_S: Final = 45.0  # above 64 * T1 = 32 s, in which every SIP transaction ends


@dataclass(slots=True)
class Attempt:
    """A call as its phones know it, by the wall clock. ``voices``: the caller's and the called one's. ``failed``: why
    it was never up; ``lost``: it ended by itself, or nobody could end it."""

    pair: int
    voices: tuple[Samples, Samples]
    dialled_at: float
    up_at: float = 0.0
    ended_at: float = 0.0
    failed: str = ""
    lost: str = ""

    @property
    def was_up(self) -> bool:
        return self.up_at > 0

    @property
    def seconds(self) -> float:
        return self.ended_at - self.up_at


def names(pair: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Station and number of the caller and the called of a pair."""
    return (f"from{pair}", f"3{pair:02}"), (f"to{pair}", f"4{pair:02}")


class Calls:
    """For so many seconds. ``deaths`` tells of the controller's so far."""

    def __init__(
        self, cluster: Cluster, seed: int, seconds: float, pairs: int, deaths: Callable[[], list[Outage]]
    ) -> None:
        self._cluster = cluster
        self._seed = seed
        self._pairs = pairs
        self._deaths = deaths
        self._usual_s = (_CALL_S[0], min(_CALL_S[1], seconds / 2))
        longest_s = min(_LONG_CALL_S[1], seconds) + _CALL_S[0]
        self._voices = [speech(number, longest_s) for number in range(_VOICES)]  # made before anybody speaks
        self._ends_at = 0.0
        self.attempts: list[Attempt] = []
        self.up = 0

    async def come_and_go(self, ends_at: float) -> None:
        """``ends_at``, by the monotonic clock: no call begins later."""
        self._ends_at = ends_at
        async with asyncio.TaskGroup() as tasks:
            for pair in range(self._pairs):
                tasks.create_task(self._talk(pair, random.Random(f"{self._seed} {pair}")))

    async def _talk(self, pair: int, dice: random.Random) -> None:
        async with contextlib.AsyncExitStack() as stack:
            caller, called = [await stack.enter_async_context(await self._phone(station)) for station, _ in names(pair)]
            while time.monotonic() < self._ends_at:
                await asyncio.sleep(dice.uniform(*_BETWEEN_S))
                seconds = dice.uniform(*(_LONG_CALL_S if dice.random() < _LONG else self._usual_s))
                await self._one_call(pair, caller, called, seconds, dice)

    async def _phone(self, station: str) -> Phone:
        account = replace(self._cluster.controller.account(station), password=PASSWORD)
        phone = await Phone.open(account, lambda: Voice.open(HERE, frames=FRAMES), local=(HERE, 0))
        await phone.register(expires_s=3600)
        return phone

    async def _one_call(self, pair: int, caller: Phone, called: Phone, seconds: float, dice: random.Random) -> None:
        voice, answer = dice.sample(self._voices, 2)
        attempt = Attempt(pair, (voice, answer), time.time())
        self.attempts.append(attempt)
        ours = await caller.dial(names(pair)[1][1])
        theirs = await self._set_up(attempt, ours, called)
        if theirs is None:
            attempt.ended_at = time.time()
            return
        attempt.up_at = time.time()
        self.up += 1
        ours.voice.speak(voice)
        theirs.voice.speak(answer)
        until = time.monotonic() + seconds
        while time.monotonic() < min(until, max(self._ends_at, until - seconds + _CALL_S[0])):
            if ours.over.is_set() or theirs.over.is_set():
                attempt.lost = f"it ended by itself: {ours.ending or theirs.ending}"
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        attempt.ended_at = time.time()
        self.up -= 1
        first, second = (ours, theirs) if dice.random() < 0.5 else (theirs, ours)
        await _end(attempt, first, second)

    async def _set_up(self, attempt: Attempt, ours: Call, called: Phone) -> Call | None:
        """The called side, once the caller has heard its answer; None if it comes to nothing. Two may ring for one
        call: what a dead controller had begun, and what the next one makes of the repeated INVITE."""
        rang: list[Call] = []
        while not ours.up.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    rang.append(await called.rings())
                    rang[-1].answer()
            attempt.failed = self._failure(attempt, ours)
            if attempt.failed:
                for each in (ours, *rang):
                    each.abandon()
                await _drop_what_rings(called)
                return None
        for each in rang[:-1]:
            each.abandon()
        return rang[-1]

    def _failure(self, attempt: Attempt, ours: Call) -> str:
        """Why this call will not come about."""
        now = time.time()
        if ours.up.is_set():
            return ""
        if ours.over.is_set():
            return f"refused: {ours.ending}"
        if now > attempt.dialled_at + _SET_UP_LIMIT_S:
            return f"no answer, only {ours.statuses}"
        # Who has heard 100 Trying repeats the INVITE no more: the next controller will never hear of this call.
        lost = any(attempt.dialled_at < death.began and now > death.ended + _LOST_AFTER_S for death in self._deaths())
        return "the controller died" if lost and ours.statuses else ""


async def _end(attempt: Attempt, first: Call, second: Call) -> None:
    try:
        await first.hang_up()
        await second.ended()
    except TimeoutError:
        attempt.lost = attempt.lost or "one side has not heard of the end"
        first.abandon()
        second.abandon()


async def _drop_what_rings(called: Phone) -> None:
    """Whoever made it ring is dead: no CANCEL will come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_EVERY_S):
            while True:
                (await called.rings()).abandon()
