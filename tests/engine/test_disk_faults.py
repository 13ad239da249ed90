"""Sick disks and sudden deaths: the call goes on, the file keeps all but the last second, and what was lost is told."""

from __future__ import annotations

import ast
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mediaserverd.media.engine import RecordingFailed
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import seal_recovered
from mediaserverd.protocol.sasf.verify import verify
from tests.engine import sasf_file, sick_disk
from tests.engine.recorded import SIGNER

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sick_disk.compiled(tmp_path_factory.mktemp("sick_disk"))


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


# Two engines on one disk, one with room for its packets and one with little.
STALLED = """
import sys, time
from pathlib import Path
from tests.engine.call import Call, closed
from tests.engine.phone import rtp
from tests.engine.recorded import start
from tests.engine.sick_disk import disk
from mediaserverd.media.engine import Engine
folder = Path(sys.argv[1])
with Engine() as roomy, Engine(tap_ring_bytes=1 << 16) as tight, Call(roomy) as first, Call(tight) as second:
    recordings = [start(roomy, folder / "roomy.spool"), start(tight, folder / "tight.spool", encrypt=True)]
    slowest, began, sent = 0.0, time.monotonic(), 0
    while time.monotonic() < began + 7:
        if sent == 25:
            disk().sick_disk_stall(5)
        for call in (first, second):
            asked = time.monotonic()
            call.a.send(rtp(sent), call.a_relay)
            call.b.receive()
            slowest = max(slowest, time.monotonic() - asked)
        sent += 1
        time.sleep(0.005)
    for engine, recording in zip((roomy, tight), recordings):
        engine.stop_recording(7, "stopped")
        event = closed(engine)
        file = recording.read()
        print((sent, event.error, event.sides[0].packets, event.overflow, file.end, file.seal, slowest))
"""


def test_a_disk_that_stalls_for_5_s_delays_no_packet_and_what_found_no_room_is_counted(
    layer: Path, tmp_path: Path
) -> None:
    roomy, tight = map(ast.literal_eval, sick_disk.run(STALLED, layer, tmp_path))
    sent, error, packets, overflow, end, seal, slowest = roomy
    assert (error, packets, overflow) == (None, sent, 0)
    assert slowest < 0.5  # of two cores that are shared; the disk stood still ten times as long
    assert (end["tap_overflow"], end["sides"][0]["lost"], seal["state"]) == (0, 0, "closed")
    sent, error, packets, overflow, end, seal, _ = tight
    assert (error, packets + overflow) == (None, sent)
    assert overflow > 100
    assert (end["tap_overflow"], end["sides"][0]["lost"], seal["packets"][0]) == (overflow, overflow, packets)


READ_ONLY = """
import errno, sys, time
from pathlib import Path
from tests.engine.call import Call, closed, events_until_closed, until
from tests.engine.recorded import start
from tests.engine.sick_disk import disk
from mediaserverd.media.engine import Engine
with Engine() as engine, Call(engine) as call:
    recording = start(engine, Path(sys.argv[1]))
    call.talk(range(20))
    until(lambda: len(recording.read().packets(0)) == 20)
    disk().sick_disk_refuse(errno.EROFS)
    call.talk(range(20, 40))
    time.sleep(0.8)  # more than a turn of the writer
    events = engine.poll_events()
    call.talk(range(40, 60))
    engine.stop_recording(7, "stopped")
    print(*events, *events_until_closed(engine), engine.statistics(1).legs[0].packets, sep="\\n")
"""


def test_a_disk_that_turns_read_only_fails_the_recording_and_not_the_call(layer: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    lines = sick_disk.run(READ_ONLY, layer, path)
    assert repr(RecordingFailed(7, errno.EROFS)) in lines
    assert any(line.startswith("RecordingClosed") and f"error={errno.EROFS}" in line for line in lines)
    assert lines[-1] == "60"
    assert [packet.sequence for packet in sasf_file.read(path).packets(0)] == list(range(20))


CUT = """
import sys, time
from pathlib import Path
from tests.engine.call import Call
from tests.engine.recorded import start
from tests.engine.sick_disk import disk
from mediaserverd.media.engine import Engine
engine = Engine()
call = Call(engine)
start(engine, Path(sys.argv[1]))
began = time.monotonic()
for sequence in range(100000):
    if time.monotonic() > began + 3:
        print("cut", time.time_ns(), flush=True)
        disk().sick_disk_cut_power(int(sys.argv[2]))
    call.talk([sequence])
    print(sequence, time.time_ns(), flush=True)
    time.sleep(0.02)
"""


@pytest.mark.parametrize("zeros", ["0", "1"], ids=["what was not synced is gone", "what was not synced is zeros"])
def test_a_power_cut_loses_at_most_one_second_and_the_rest_can_be_sealed(
    layer: Path, tmp_path: Path, zeros: str
) -> None:
    path = tmp_path / "x.spool"
    with sick_disk.start(CUT, layer, path, zeros) as victim:
        out, _ = victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    *said, (word, cut_ns) = (line.split() for line in out.splitlines())
    assert word == "cut"
    with path.open("r+b") as file:
        seal = seal_recovered(file, SIGNER)
    assert seal.state == "recovered"
    reader = SasfReader(path.read_bytes())
    assert verify(reader, {SIGNER.public_key().public_bytes_raw()}).ok
    due = {int(sequence) for sequence, at_ns in said if int(at_ns) < int(cut_ns) - 10**9}
    assert len(due) > 50
    assert set(reader.contents().packets.sequence.tolist()) >= due


CUT_WHEN_CLOSED = """
import sys
from pathlib import Path
from tests.engine.call import Call
from tests.engine.recorded import start
from tests.engine.sick_disk import disk
from mediaserverd.media.engine import Engine
engine = Engine()
call = Call(engine)
start(engine, Path(sys.argv[1]))
call.talk(range(50))
engine.stop_recording(7, "stopped")
engine.close()
disk().sick_disk_cut_power(0)
"""


def test_what_an_engine_wrote_before_it_was_closed_outlives_a_power_cut_right_after(
    layer: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.spool"
    with sick_disk.start(CUT_WHEN_CLOSED, layer, path) as victim:
        victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    reader = SasfReader(path.read_bytes())
    assert verify(reader, {SIGNER.public_key().public_bytes_raw()}).ok
    for side in (0, 1):
        assert [packet.sequence for packet in sasf_file.read(path).packets(side)] == list(range(50))
