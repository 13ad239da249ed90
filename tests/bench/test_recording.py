"""``python -m bench.recording`` from end to end, with as few calls as it takes."""

from __future__ import annotations

from bench.engine_process import RECORDING
from bench.recording import measured


async def test_the_cost_of_each_way_of_recording_is_measured_in_each_round() -> None:
    costs = await measured(calls=3, seconds=2, rounds=1)
    assert set(costs) == set(RECORDING)
    for (cost,) in costs.values():
        assert 0 < cost.relayed < 10_000
        assert 0 < cost.recorded < 10_000
