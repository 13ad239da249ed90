"""Sick disks and sudden deaths: the call goes on, the file keeps all but the last second, and what was lost is told."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mediaserverd.media.engine import RecordingFailed
from tests.engine import sasf_file

ROOT = Path(__file__).parents[2]

# Runs in a process with a mount namespace of its own, where the folder is a disk of 64 KiB.
FULL_DISK = """
import subprocess, sys
from pathlib import Path
from tests.engine.call import Call, events_until_closed, until
from tests.engine.recorded import start
from mediaserverd.media.engine import Engine
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
with Engine() as engine, Call(engine) as call:
    recording = start(engine, folder / "x.spool")
    events = []
    for sequence in range(1000):
        call.talk([sequence])
    until(lambda: bool(events.extend(engine.poll_events())) or any("Failed" in repr(event) for event in events))
    call.talk(range(1000, 1010))
    engine.stop_recording(7, "stopped")
    events += events_until_closed(engine)
    print(*events, recording.read().seal, engine.statistics(1).legs[0].packets, sep="\\n")
"""


def test_a_full_disk_fails_the_recording_and_not_the_call(tmp_path: Path) -> None:
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    run = subprocess.run(
        ["unshare", *as_root, "--mount", sys.executable, "-c", FULL_DISK, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert repr(RecordingFailed(7, errno.ENOSPC)) in lines
    assert any(line.startswith("RecordingClosed") and f"error={errno.ENOSPC}" in line for line in lines)
    assert lines[-2:] == ["None", "1010"]


KILLED = """
import sys, time
from pathlib import Path
from tests.engine.call import Call
from tests.engine.recorded import start
from mediaserverd.media.engine import Engine
engine = Engine()
call = Call(engine)
start(engine, Path(sys.argv[1]))
for sequence in range(100000):
    call.talk([sequence])
    print(sequence, time.time_ns(), flush=True)
    time.sleep(0.02)
"""
SPOKEN_S = 2.0


def test_after_kill_9_all_but_the_last_second_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    with subprocess.Popen([sys.executable, "-c", KILLED, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        said = [victim.stdout.readline().split()]
        began = time.monotonic()
        while time.monotonic() < began + SPOKEN_S:
            said.append(victim.stdout.readline().split())
        victim.send_signal(signal.SIGKILL)
        killed_ns = time.time_ns()
    file = sasf_file.read(path)
    due = [int(sequence) for sequence, at_ns in said if int(at_ns) < killed_ns - 10**9]
    assert len(due) > 40
    assert {packet.sequence for packet in file.packets(0)} >= set(due)
    assert (file.seal, file.torn) == (None, 0)
