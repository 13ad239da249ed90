"""For the whole suite: tests in real time are given another try, in sight.

Foreign phones have jitter buffers that slip when the machine is busy, and audio in real time needs a processor when its
time has come. Such a test may be run again twice; the runner shows each time with an R, and a fault that stays fails.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
REAL_TIME = (HERE / "e2e", HERE / "daemon", HERE / "bench", HERE / "media", HERE / "kit", HERE / "controller")
TRIES_MORE = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(directory in item.path.parents for directory in REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=TRIES_MORE, reruns_delay=1))
