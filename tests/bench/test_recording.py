"""``python -m bench.recording`` from end to end, with as few calls as it takes."""

from __future__ import annotations

from bench.engine_process import MODES
from bench.recording import measured


async def test_the_cost_of_each_mode_is_measured_in_each_round() -> None:
    costs = await measured(calls=3, seconds=2, rounds=1)
    assert set(costs) == set(MODES)
    assert all(0 < cost < 10_000 for (cost,) in costs.values())
