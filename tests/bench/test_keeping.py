from __future__ import annotations

from pathlib import Path

from bench.keeping import codec, floor_ms, measure
from bench.results import percentile


async def test_keeping_a_call_costs_little_beside_the_rest_of_it(tmp_path: Path) -> None:
    row = await measure(tmp_path, rate_per_s=100, seconds=1.0)
    assert row.calls == len(row.wait_ms) == 100
    assert row.cpu_ms_per_call < 5.0, "a call costs the controller some 12 ms in all"
    assert percentile(row.wait_ms, 0.5) < 250 or row.late == 0


def test_the_floor_and_the_record_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    assert len(floor_ms(tmp_path)) == 50
    cost = codec()
    assert (tmp_path / "floor").stat().st_size == 50 * cost.size_bytes
    assert 2_000 < cost.size_bytes < 20_000
