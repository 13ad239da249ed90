"""For the whole suite: tests run on all processors, those of a load alone, and those in real time get another try.

Every worker has a network namespace of its own, so that the default ports are free in each (``tests/in-netns`` gives
the first one). Foreign phones have jitter buffers that slip when the machine is busy, and audio in real time needs a
processor when its time has come. Such a test may be run again three times; the runner shows each time with an R, and a
fault that stays fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("suite", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("suite")

HERE = Path(__file__).parent
REAL_TIME = tuple(
    HERE / name for name in ("e2e", "daemon", "bench", "media", "kit", "controller", "chaos", "recorder", "engine")
)
TRIES_MORE = 3

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
    with _turn(alone=item.get_closest_marker("load") is not None):
        return (yield)


@contextlib.contextmanager
def _turn(*, alone: bool) -> Iterator[None]:
    """Together with other workers, or alone. Who waits holds the gate: nobody overtakes. Any two files do for locks."""
    with (HERE / "in-netns").open() as gate, (HERE / "conftest.py").open() as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
