"""A storm over a site on hosts of its own: its media servers, its recorder and its controller are killed, frozen and
cut off, and disks of its media servers fill up, while calls come and go. Then the account of it.

The seed decides what fails when and how long calls last; how the site takes it is not in its hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from tests.chaos.account import Account, account
from tests.chaos.calls import PASSWORD, Calls, names
from tests.chaos.strokes import Strokes, plan
from tests.kit.cluster import MEDIA, Cluster
from tests.kit.small_disk import SmallDisk

COMPONENTS: Final = (*MEDIA, "recorder", "controller")
_DISK_MIB: Final = 24
_TOLD_EVERY_S: Final = 10.0
LULL_S: Final = 3.0  # at the end, for what was struck last

# What the roles may say of faults that are made on purpose.
_EXPECTED: Final = (
    *("ledger_unreachable", "ledger_slow", "media_server_unusable", "segment_overdue", "catalogue_unusable"),
    *("recording_failed", "recording_not_sealed"),
)


class Storm:
    """Use as ``async with Storm.over_site(directory, seed, pairs, tell) as storm``, then ``rage`` once."""

    def __init__(
        self,
        cluster: Cluster,
        disks: Mapping[str, SmallDisk],
        seed: int,
        pairs: int,
        tell: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._seed = seed
        self._pairs = pairs
        self._tell = tell
        self._strokes = Strokes(cluster, disks, tell)

    @classmethod
    @contextlib.asynccontextmanager
    async def over_site(
        cls, directory: Path, seed: int, pairs: int, tell: Callable[[str], None]
    ) -> AsyncIterator[Self]:
        with contextlib.ExitStack() as mounts:
            disks = {
                name: mounts.enter_context(SmallDisk(directory / name / "data" / "spool", _DISK_MIB)) for name in MEDIA
            }
            async with Cluster.open(directory, _site(pairs)) as cluster:
                for daemon in (*cluster.media.values(), cluster.recorder, cluster.controller):
                    daemon.expect(*_EXPECTED)
                tell(f"the site stands; seed {seed}, {pairs} pairs of phones")
                yield cls(cluster, disks, seed, pairs, tell)

    async def rage(self, seconds: float) -> Account:
        calls = Calls(self._cluster, self._seed, seconds, self._pairs, lambda: self._strokes.deaths("controller"))
        strokes = plan(self._seed, seconds - LULL_S, COMPONENTS)
        telling = asyncio.create_task(self._tell_again_and_again(calls))
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._strokes.strike(strokes, began))
                tasks.create_task(calls.come_and_go(began + seconds))
        finally:
            telling.cancel()
        self._tell("the storm is over; now the account")
        await self._cluster.all_active()
        return await account(self._cluster, calls.attempts, self._strokes.outages)

    async def _tell_again_and_again(self, calls: Calls) -> None:
        while True:
            await asyncio.sleep(_TOLD_EVERY_S)
            down = sorted({each.stroke.victim for each in self._strokes.lasting()})
            failed = sum(bool(each.failed) for each in calls.attempts)
            lost = sum(bool(each.lost) for each in calls.attempts)
            self._tell(
                f"{len(calls.attempts)} calls so far, {calls.up} up, {failed} not set up, {lost} lost;"
                f" down: {', '.join(down) or 'nothing'}"
            )


def _site(pairs: int) -> dict[str, Any]:
    """So many callers and called."""
    stations = [
        {"name": name, "extension": extension, "password": PASSWORD}
        for pair in range(pairs)
        for name, extension in names(pair)
    ]
    return {"stations": stations, "recorder": {"missing_after_s": 20}, "media": {"disk_floor_mib": 2}}
