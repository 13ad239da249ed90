"""A short storm, always the same; ``make chaos`` makes long ones."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.storm import Storm, stations
from tests.kit.cluster import Cluster

SEED = 20
SECONDS = 20.0
PAIRS = 4


async def test_every_second_of_every_call_is_stored_or_missing_with_its_reason(tmp_path: Path) -> None:
    async with Cluster.open(tmp_path, stations(PAIRS)) as cluster:
        account = await Storm(cluster, SEED, SECONDS, PAIRS, print).run()
    print(account)
    assert account.faults == []
    assert account.struck.total() >= 3
    assert account.stored_s > account.call_s / 2
