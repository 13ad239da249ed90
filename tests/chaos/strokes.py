"""What fails when, drawn from a seed alone, and the carrying out of it: the same seed strikes the same again, whatever
the site makes of it.

Not responsible for the calls under it, nor for the account of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from tests.kit.cluster import Cluster
from tests.kit.small_disk import SmallDisk

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "media": ("kill", "freeze", "cut", "fill"),
    "recorder": ("kill", "freeze", "cut"),
    "controller": ("kill", "kill", "freeze", "cut"),
}
_DOWN_AT_ONCE: Final = 3  # of five: two media servers and another one, or all media servers
_FIRST_S: Final = (1.0, 2.0)
_BETWEEN_S: Final = (1.5, 5.0)
_SOON_S: Final = (0.0, 0.4)  # a fault while the one before is being dealt with
_SOON: Final = 0.3  # how many of them
_LASTS_S: Final = (1.5, 6.0)
_CONTROLLER_LASTS_S: Final = (0.2, 2.5)  # a supervisor starts it again at once; nobody can call meanwhile
_START_S: Final = 4.0  # of a process that was killed, about


@dataclass(frozen=True, slots=True)
class Stroke:
    """``at_s`` is from the storm's beginning."""

    at_s: float
    kind: str
    victim: str
    lasts_s: float

    @property
    def of(self) -> str:
        """In the account: one media server is as good as another."""
        return f"{self.kind} {_role(self.victim)}"


@dataclass(slots=True)
class Outage:
    """A stroke as it was, by the wall clock: a process that was killed is back when it is ready again."""

    stroke: Stroke
    began: float
    ended: float = field(default=float("inf"))


def plan(seed: int, seconds: float, components: Sequence[str]) -> tuple[Stroke, ...]:
    dice = random.Random(seed)
    found: list[Stroke] = []
    back = dict.fromkeys(components, 0.0)
    at = dice.uniform(*_FIRST_S)
    while at < seconds:
        standing = [name for name in components if back[name] <= at]
        if len(components) - len(standing) < _DOWN_AT_ONCE:
            victim = dice.choice(standing)
            kind = dice.choice(KINDS[_role(victim)])
            lasts_s = dice.uniform(*(_CONTROLLER_LASTS_S if victim == "controller" else _LASTS_S))
            found.append(Stroke(at, kind, victim, lasts_s))
            back[victim] = at + lasts_s + (_START_S if kind == "kill" else 0.0)
        at += dice.uniform(*(_SOON_S if dice.random() < _SOON else _BETWEEN_S))
    return tuple(found)


def longest_calm_s(outages: Sequence[Outage], media: Sequence[str], begin: float, end: float) -> float:
    """The longest time between these two in which the controller and at least one media server stood untouched: a
    recording that is interrupted could have gone on then."""
    edges = {begin, end, *(at for each in outages for at in (each.began, each.ended) if begin < at < end)}
    longest = calm = 0.0
    for start, until in pairwise(sorted(edges)):
        down = {each.stroke.victim for each in outages if each.began < until and each.ended > start}
        stands = "controller" not in down and not down.issuperset(media)
        calm = calm + until - start if stands else 0.0
        longest = max(longest, calm)
    return longest


class Strokes:
    """Carries a plan out. ``outages`` are those that were, and are."""

    def __init__(self, cluster: Cluster, disks: Mapping[str, SmallDisk], tell: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._disks = disks
        self._tell = tell
        self.outages: list[Outage] = []

    async def strike(self, strokes: Sequence[Stroke], began: float) -> None:
        """``began``: the storm, by the monotonic clock. Returns when everything stands again."""
        async with asyncio.TaskGroup() as tasks:
            for stroke in strokes:
                await asyncio.sleep(began + stroke.at_s - time.monotonic())
                if any(each.stroke.victim == stroke.victim for each in self.lasting()):
                    self._tell(f"{stroke.victim} is still down: no {stroke.kind}")
                else:
                    tasks.create_task(self._one(stroke))

    def lasting(self) -> Iterator[Outage]:
        return (each for each in self.outages if each.ended == float("inf"))

    def deaths(self, victim: str) -> list[Outage]:
        return [each for each in self.outages if (each.stroke.victim, each.stroke.kind) == (victim, "kill")]

    async def _one(self, stroke: Stroke) -> None:
        self._tell(f"{stroke.kind} {stroke.victim} for {stroke.lasts_s:.1f} s")
        outage = Outage(stroke, time.time())
        self.outages.append(outage)
        mend = self._hit(stroke)
        await asyncio.sleep(stroke.lasts_s)
        if (waiting := mend()) is not None:
            await waiting
        outage.ended = time.time()
        if stroke.kind == "kill":
            self._tell(f"{stroke.victim} is back")

    def _hit(self, stroke: Stroke) -> Callable[[], Awaitable[None] | None]:
        """Returns what mends it."""
        daemon, host = self._cluster.daemon(stroke.victim), self._cluster.hosts[stroke.victim]
        match stroke.kind:
            case "kill":
                daemon.crash()
                return daemon.start_again
            case "freeze":
                daemon.freeze()
                return daemon.thaw
            case "cut":
                host.cut()
                return host.mend
            case _:
                disk = self._disks[stroke.victim]
                disk.fill()
                return disk.free


def _role(victim: str) -> str:
    return victim.rstrip("0123456789")
