"""``python -m bench`` from end to end, with as few calls as it takes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(180)
async def test_the_bench_measures_floor_relay_and_recording_in_one_run(tmp_path: Path) -> None:
    out = tmp_path / "results" / "bench.json"
    smallest = ("--calls", "3", "--seconds", "2", "--rates", "5", "--rate-seconds", "1")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *smallest, "--out", str(out)),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    shown, _ = await process.communicate()
    assert process.returncode == 0, shown.decode()
    results = json.loads(out.read_text())
    assert [row["carrier"] for row in results["media"]] == ["floor", "relay", "record"]
    assert [row["carrier"] for row in results["set_ups"]] == ["direct", "relay", "record"]
    assert all(
        row["lost"] == 0 and row["faults"] == 0 and row["cores_per_call"]["media"] > 0 for row in results["media"]
    )
    assert all(row["sustained"] for row in results["set_ups"])
    recorded = results["recorded"]
    assert recorded["expected"] == recorded["stored"] == 20 + 5 + 3  # those that warm up, the rate, those that speak
    assert recorded["missed"] == recorded["failed"] == 0
    assert "Sustained: relay 5/s yes, record 5/s yes" in shown.decode()
