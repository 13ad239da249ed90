"""A storm over a site on hosts of its own: its media servers and its recorder are killed, frozen and cut off while
calls come and go. Afterwards every second of every call must be stored, or reported as a gap with its reason.

The seed decides what fails when and how long calls last; how the site takes it is not in its hands. The controller is
left alone: what becomes of calls when it dies is another test's.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from tests.kit.cluster import Cluster
from tests.kit.doors import Json
from tests.kit.hosts import HERE
from tests.kit.judge import judge
from tests.kit.phone import Phone
from tests.kit.rtp import Voice
from tests.kit.speech import Samples, speech
from tests.kit.wav import read_wav

PASSWORD: Final = "storm-proof-9"
FRAMES: Final = 4  # of 20 ms in a packet: many calls, and little work for the phones
LONGEST_CALL_S: Final = 20.0
DOWN_AT_ONCE: Final = 2
EDGE_S: Final = 1.5  # a call's first and last moment: the promise is 1 s, and the machine may be busy
SETTLED_S: Final = 90.0
LISTENED_TO: Final = 5
VOICES: Final = 8


@dataclass(frozen=True, slots=True)
class Made:
    """A call as its phones know it, by the wall clock."""

    pair: int
    voice: Samples
    up_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        return self.ended_at - self.up_at


@dataclass(slots=True)
class Account:
    """What it came to. ``faults`` is empty if every second is accounted for."""

    calls: int = 0
    call_s: float = 0.0
    stored_s: float = 0.0
    segments: int = 0
    missing_s: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        missing = ", ".join(f"{reason} {seconds:.1f} s" for reason, seconds in sorted(self.missing_s.items()))
        struck = ", ".join(f"{count} x {what}" for what, count in sorted(self.struck.items()))
        return (
            f"struck: {struck or 'nothing'}\n{self.calls} calls, {self.call_s:.0f} s; stored {self.stored_s:.0f} s in "
            f"{self.segments} segments; missing: {missing or 'nothing'}\n" + "\n".join(self.faults or ["accounted for"])
        )


def stations(pairs: int) -> dict[str, Any]:
    """So many callers and called, to be put into the site's configuration."""
    names = [
        (f"{side}{pair}", f"{digit}{pair:02}") for pair in range(pairs) for side, digit in (("from", 3), ("to", 4))
    ]
    made = [{"name": name, "extension": extension, "password": PASSWORD} for name, extension in names]
    return {"stations": made, "recorder": {"missing_after_s": 20}}


class Storm:
    def __init__(self, cluster: Cluster, seed: int, seconds: float, pairs: int, tell: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._dice = random.Random(seed)
        self._seconds = seconds
        self._pairs = pairs
        self._tell = tell
        self._voices = [speech(number, LONGEST_CALL_S) for number in range(VOICES)]  # made before anybody speaks
        self._ends_at = 0.0
        self._made: list[Made] = []
        self._down: set[str] = set()
        self._account = Account()

    async def run(self) -> Account:
        for daemon in (*self._cluster.media.values(), self._cluster.recorder, self._cluster.controller):
            daemon.expect("ledger_unreachable", "media_server_unusable", "segment_overdue", "catalogue_unusable")
        self._ends_at = time.monotonic() + self._seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._strike())
            for pair in range(self._pairs):
                tasks.create_task(self._talk(pair, random.Random(self._dice.random())))
        await self._cluster.all_active()
        await self._settled()
        await self._reconcile()
        return self._account

    # --- calls

    async def _talk(self, pair: int, dice: random.Random) -> None:
        """One pair of phones, one call after the other."""
        async with await self._phone(f"from{pair}") as caller, await self._phone(f"to{pair}") as called:
            while time.monotonic() < self._ends_at:
                await asyncio.sleep(dice.uniform(0.2, 2.0))
                await self._one_call(pair, caller, called, dice.uniform(2.5, LONGEST_CALL_S))

    async def _one_call(self, pair: int, caller: Phone, called: Phone, seconds: float) -> None:
        voice, answer = self._dice.sample(self._voices, 2)
        ours = await caller.dial(f"4{pair:02}")
        theirs = await called.rings()
        theirs.answer()
        await ours.established()
        up_at = time.time()
        ours.voice.speak(voice)
        theirs.voice.speak(answer)
        await asyncio.sleep(min(seconds, LONGEST_CALL_S, max(2.5, self._ends_at - time.monotonic())))
        if ours.over.is_set() or theirs.over.is_set():
            self._account.faults.append(f"a call of pair {pair} ended by itself: {ours.ending or theirs.ending}")
        self._made.append(Made(pair, voice, up_at, time.time()))
        await ours.hang_up()
        await theirs.ended()

    async def _phone(self, user: str) -> Phone:
        account = replace(self._cluster.controller.account(user), password=PASSWORD)
        phone = await Phone.open(account, lambda: Voice.open(HERE, frames=FRAMES), local=(HERE, 0))
        await phone.register()
        return phone

    # --- faults

    async def _strike(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < self._ends_at - 3:
                await asyncio.sleep(self._dice.uniform(1.0, 3.5))
                standing = sorted({*self._cluster.media, "recorder"} - self._down)
                if len(self._down) < DOWN_AT_ONCE:
                    victim, kind = self._dice.choice(standing), self._dice.choice(("kill", "freeze", "cut"))
                    tasks.create_task(self._one_fault(victim, kind, self._dice.uniform(1.5, 6.0)))

    async def _one_fault(self, victim: str, kind: str, seconds: float) -> None:
        self._down.add(victim)
        self._account.struck[f"{kind} {victim.rstrip('0123456789')}"] += 1
        self._tell(f"{kind} {victim} for {seconds:.1f} s")
        daemon, host = self._cluster.daemon(victim), self._cluster.hosts[victim]
        mend: Callable[[], Awaitable[None] | None]
        match kind:
            case "kill":
                daemon.crash()
                mend = daemon.start_again
            case "freeze":
                daemon.freeze()
                mend = daemon.thaw
            case _:
                host.cut()
                mend = host.mend
        await asyncio.sleep(seconds)
        if (waiting := mend()) is not None:
            await waiting
        self._down.discard(victim)

    # --- the account

    async def _settled(self) -> None:
        """Nothing is on its way any more: every recording stored or failed, every media server empty."""
        try:
            await self._cluster.recorder.api.settled(len(self._made), SETTLED_S)
            for server in self._cluster.media.values():
                await server.retrieval.empty_of(timeout_s=SETTLED_S)
        except TimeoutError as fault:
            self._account.faults.append(f"not settled: {fault}")

    async def _reconcile(self) -> None:
        api, account = self._cluster.recorder.api, self._account
        rows = sorted(await api.recordings(), key=lambda row: str(row["started_at"]))
        account.calls, account.call_s = len(self._made), sum(made.seconds for made in self._made)
        listen = set(self._dice.sample(range(len(self._made)), min(LISTENED_TO, len(self._made))))
        number = 0
        for pair in range(self._pairs):
            calls = sorted((made for made in self._made if made.pair == pair), key=lambda made: made.up_at)
            of_pair = [row for row in rows if row["calling"]["station"] == f"from{pair}"]
            if len(calls) != len(of_pair):
                account.faults.append(f"pair {pair}: {len(calls)} calls, {len(of_pair)} recordings")
                continue
            for made, row in zip(calls, of_pair, strict=True):
                detail = await api.recording(row["id"])
                account.faults += [f"{row['id']} ({row['state']}): {fault}" for fault in self._judge(made, detail)]
                if number in listen and any(one["state"] == "stored" for one in detail["segments"]):
                    account.faults += await self._listen(made, detail)
                number += 1

    def _judge(self, made: Made, detail: Json) -> list[str]:
        """What of the call is neither stored nor said to be missing."""
        account, found = self._account, []
        stored = [one for one in detail["segments"] if one["state"] == "stored"]
        account.segments += len(stored)
        gaps = {after: [gap for gap in detail["gaps"] if (gap["after"] == 0) is after] for after in (True, False)}
        length_s = (detail["duration_ms"] or 0) / 1000 if stored else 0.0
        begin = _seconds(stored[0]["started_at"] if stored else detail["started_at"])
        last = stored[-1]["number"] if stored else 0
        leading_s = sum(gap["duration_ms"] for gap in gaps[True]) / 1000
        trailing_s = sum(gap["duration_ms"] for gap in gaps[False] if gap["after"] == last) / 1000
        within_s = sum(gap["duration_ms"] for gap in gaps[False] if gap["after"] != last) / 1000
        account.stored_s += length_s - within_s
        for gap in detail["gaps"]:
            account.missing_s[gap["reason"]] += gap["duration_ms"] / 1000
            if not gap["reason"]:
                found.append(f"a gap without a reason: {gap}")
        starts, ends = (begin - leading_s, begin + length_s + trailing_s) if stored else (begin, begin + leading_s)
        if starts > made.up_at + EDGE_S:
            found.append(f"the first {starts - made.up_at:.1f} s are not accounted for")
        if ends < made.ended_at - EDGE_S:
            found.append(f"the last {made.ended_at - ends:.1f} s are not accounted for")
        return found + _unexplained(stored)

    async def _listen(self, made: Made, detail: Json) -> list[str]:
        """Is what is stored what was said?"""
        left, _ = read_wav(await self._cluster.recorder.api.audio(detail["id"]))
        verdict = judge(made.voice[: int(made.seconds * 8000)], left, slack_ms=150)
        good = sum(correlation > 0.9 for correlation in verdict.correlations)
        spoilt = 2 * sum(2 + gap["duration_ms"] / 1000 for gap in detail["gaps"])
        if good + spoilt < len(verdict.correlations):
            shown = " ".join(f"{value:.2f}" for value in verdict.correlations)
            return [f"{detail['id']} does not sound as it should: {shown}; gaps {detail['gaps']}"]
        return []


def _unexplained(stored: list[Json]) -> list[str]:
    """The phones send all the time: where nothing came for more than a second, a gap must say so."""
    found = []
    for one, following in zip(stored, [*stored[1:], None], strict=True):
        until = (_seconds(following["started_at"]) - _seconds(one["started_at"])) * 1000 if following else float("inf")
        for start, end in (one["quality"] or {}).get("silences", ()):
            if end < until:
                found.append(f"segment {one['number']} is silent from {start} to {end} ms")
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
