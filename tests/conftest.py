"""For the whole suite: tests run on all processors, those of a load alone, and those in real time get another try.

Every worker has a network namespace of its own, so that the default ports are free in each (``tests/in-netns`` gives
the first one). Foreign phones have jitter buffers that slip when the machine is busy, and audio in real time needs a
processor when its time has come. Such a test may be run again twice, then with the machine to itself; the runner shows
each time with an R, and a fault that stays fails.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("suite", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("suite")

HERE = Path(__file__).parent
REAL_TIME = tuple(
    HERE / name for name in ("e2e", "daemon", "bench", "media", "kit", "controller", "chaos", "recorder", "engine")
)
TRIES_MORE = 2
_GATE, _MACHINE = ((HERE / name).open() for name in ("in-netns", "conftest.py"))  # any two files do for locks

_CLONE_NEWNET = 0x40000000  # linux/sched.h


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(directory in item.path.parents for directory in REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=TRIES_MORE, reruns_delay=1))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Later than ``pytest_configure``, in which workers connect to the runner by the loopback that they leave here."""
    if hasattr(session.config, "workerinput"):
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"no network namespace for this worker ({os.strerror(number)}); use tests/in-netns")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _take_turn(alone=item.get_closest_marker("load") is not None)
    try:
        return (yield)
    finally:
        fcntl.flock(_MACHINE, fcntl.LOCK_UN)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if getattr(item, "execution_count", 1) > 1:
        fcntl.flock(_MACHINE, fcntl.LOCK_UN)  # else two in their second try would wait for each other
        _take_turn(alone=True)


def _take_turn(*, alone: bool) -> None:
    """Together with other workers, or alone. Who waits holds the gate: nobody overtakes."""
    fcntl.flock(_GATE, fcntl.LOCK_EX)
    fcntl.flock(_MACHINE, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    fcntl.flock(_GATE, fcntl.LOCK_UN)
