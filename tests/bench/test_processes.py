"""What the bench reads from /proc, for processes whose use is known."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench.processes import command_line, descendants, usage

# A child that burns 0.3 s, holds 64 MiB, and then waits; its parent only waits.
BUSY = """
import time
kept = b"x" * 2**26
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
print()
input()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


def test_a_process_is_charged_with_what_its_children_use() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        children = descendants(parent.pid)
        used = usage(parent.pid)
        parent.communicate(b"\n")
    assert len(children) == 1
    assert 0.3 <= used.cpu_seconds < 3.0
    assert 2**26 < used.rss_bytes < 2**28


def test_a_process_that_has_ended_has_used_nothing_and_has_no_name() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pid = process.pid
    assert (usage(pid).rss_bytes, command_line(pid), descendants(pid)) == (0, [], [])


def test_cpu_time_is_finer_than_a_tick() -> None:
    before = usage(os.getpid()).cpu_seconds
    end = time.process_time() + 0.003
    while time.process_time() < end:
        pass
    assert usage(os.getpid()).cpu_seconds > before
