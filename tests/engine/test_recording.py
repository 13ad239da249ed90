from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mediaserverd.media.engine import Engine, RecordingClosed, RecordingFailed
from tests.engine.call import Call, closed, events_until_closed, until
from tests.engine.phone import END, EVENT, META, RTP, Frame, read_spool, receiver_report, rtp

ROOT = Path(__file__).parents[2]


def packets(frames: list[Frame], side: int) -> list[bytes]:
    return [frame.body for frame in frames if frame.kind == RTP and frame.side == side]


def test_the_spool_file_has_every_packet_of_both_sides_as_received(call: Call, tmp_path: Path) -> None:
    before = time.time_ns()
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {"recording_id": "ab", "note": "Grüße"})
    call.talk(range(50))
    call.engine.stop_recording(7, "stopped")
    result = closed(call.engine)
    frames = read_spool(tmp_path / "x.spool")
    assert json.loads(frames[0].body) == {"recording_id": "ab", "note": "Grüße"}
    assert [frame.kind for frame in frames] == [META] + [RTP] * 100 + [END]
    assert packets(frames, 0) == [rtp(sequence) for sequence in range(50)]
    assert packets(frames, 1) == [rtp(sequence, ssrc=0x1235) for sequence in range(50)]
    assert json.loads(frames[-1].body) == {"reason": "stopped", "tap_overflow": 0}
    times = [frame.time_ns for frame in frames[1:]]
    assert times == sorted(times)
    assert before - 10**7 < times[0] <= times[-1] < time.time_ns() + 10**7
    assert result == RecordingClosed(7, (50, 50), (tmp_path / "x.spool").stat().st_size, 0, None)


def test_the_called_party_can_be_leg_a(call: Call, tmp_path: Path) -> None:
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {}, caller_leg=1)
    call.talk([1])
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    frames = read_spool(tmp_path / "x.spool")
    assert packets(frames, 1) == [rtp(1)]
    assert packets(frames, 0) == [rtp(1, ssrc=0x1235)]


def test_rtcp_and_what_is_dropped_are_not_recorded(call: Call, tmp_path: Path) -> None:
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {})
    call.talk([1])
    call.a.send(receiver_report(), call.a_relay)
    call.a.send(b"no RTP at all", call.a_relay)
    call.talk([2])
    call.engine.stop_recording(7, "stopped")
    assert closed(call.engine).packets == (2, 2)


def test_what_is_said_while_paused_is_not_in_the_file(call: Call, tmp_path: Path) -> None:
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {})
    call.talk([1])
    call.engine.pause_recording(7, by="agent")
    call.talk([2, 3])
    call.engine.resume_recording(7)
    call.talk([4])
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    frames = read_spool(tmp_path / "x.spool")
    assert packets(frames, 0) == [rtp(1), rtp(4)]
    assert [frame.kind for frame in frames] == [META, RTP, RTP, EVENT, EVENT, RTP, RTP, END]
    events = [json.loads(frame.body) for frame in frames if frame.kind == EVENT]
    assert events == [{"event": "pause", "by": "agent"}, {"event": "resume"}]


def test_an_event_stands_between_the_packets_before_and_after_it(call: Call, tmp_path: Path) -> None:
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {})
    for number in range(20):
        call.talk([number])
        call.engine.write_event(7, 1, {"event": "codecs", "number": number})
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    frames = read_spool(tmp_path / "x.spool")[1:-1]
    for number in range(20):
        caller, called, event = frames[3 * number : 3 * number + 3]
        assert (caller.body, called.body) == (rtp(number), rtp(number, ssrc=0x1235))
        assert (event.side, json.loads(event.body)["number"]) == (1, number)


def test_packets_are_in_the_file_while_the_recording_runs(call: Call, tmp_path: Path) -> None:
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {})
    call.talk(range(10))
    until(lambda: len(packets(read_spool(tmp_path / "x.spool"), 0)) == 10, seconds=1.0)


def test_the_file_is_private_and_never_written_over(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    call.engine.start_recording(call.session, 7, path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        call.engine.start_recording(call.session, 8, path, {})
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_made_leaves_the_session_ready_for_another(call: Call, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        call.engine.start_recording(call.session, 7, tmp_path / "missing" / "x.spool", {})
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {})
    call.talk([1])
    call.engine.stop_recording(7, "stopped")
    assert closed(call.engine).packets == (1, 1)


def test_a_session_has_one_recording_at_a_time_and_several_one_after_another(call: Call, tmp_path: Path) -> None:
    for segment in (1, 2, 3):
        call.engine.start_recording(call.session, segment, tmp_path / f"{segment}.spool", {})
        with pytest.raises(ValueError, match="being recorded already"):
            call.engine.start_recording(call.session, 99, tmp_path / "99.spool", {})
        call.talk([segment])
        call.engine.stop_recording(segment, "stopped")
    events_until_closed(call.engine, 3)
    for segment in (1, 2, 3):
        assert packets(read_spool(tmp_path / f"{segment}.spool"), 0) == [rtp(segment)]
    assert not (tmp_path / "99.spool").exists()


def test_a_recording_outlives_its_session_until_it_is_stopped(call: Call, tmp_path: Path) -> None:
    call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {})
    call.talk([1])
    call.engine.close_session(call.session)
    call.engine.write_event(7, 0, {"event": "session-closed"})
    call.engine.stop_recording(7, "call-ended")
    assert closed(call.engine).packets == (1, 1)
    assert json.loads(read_spool(tmp_path / "x.spool")[-1].body)["reason"] == "call-ended"
    with pytest.raises(KeyError):
        call.engine.stop_recording(7, "again")


def test_an_event_that_fits_no_frame_is_refused(call: Call, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 KiB"):
        call.engine.start_recording(call.session, 7, tmp_path / "x.spool", {"metadata": "x" * 66000})
    assert list(tmp_path.iterdir()) == []


def test_a_ring_that_runs_over_is_counted_and_the_call_is_not_disturbed(tmp_path: Path) -> None:
    with Engine(tap_ring_bytes=1 << 16) as engine, Call(engine) as call:
        engine.start_recording(1, 7, tmp_path / "x.spool", {})
        sent = 0
        while engine.statistics(1).tap_overflow == 0:
            for _ in range(50):  # faster than the writer looks
                call.a.send(rtp(sent, payload=bytes(1000)), call.a_relay)
                assert call.b.receive()[0][:12] == rtp(sent)[:12]
                sent += 1
            assert sent < 100_000
        engine.stop_recording(7, "stopped")
        result = closed(engine)
        assert result.overflow > 0
        assert result.packets[0] + result.overflow == sent
        frames = read_spool(tmp_path / "x.spool")
        assert json.loads(frames[-1].body) == {"reason": "stopped", "tap_overflow": result.overflow}


# Runs in a process with a mount namespace of its own, where the folder is a disk of 64 KiB.
FULL_DISK = """
import subprocess, sys
from pathlib import Path
from tests.engine.call import Call, events_until_closed, until
from mediaserverd.media.engine import Engine
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
with Engine() as engine, Call(engine) as call:
    engine.start_recording(1, 7, folder / "x.spool", {})
    events = []
    for sequence in range(1000):
        call.talk([sequence])
    until(lambda: bool(events.extend(engine.poll_events())) or any("Failed" in repr(event) for event in events))
    call.talk(range(1000, 1010))
    engine.stop_recording(7, "stopped")
    events += events_until_closed(engine)
    print(*events, engine.statistics(1).legs[0].packets, sep="\\n")
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
    assert lines[-1] == "1010"


KILLED = """
import sys, time
from pathlib import Path
from tests.engine.call import Call
from mediaserverd.media.engine import Engine
engine = Engine()
call = Call(engine)
engine.start_recording(1, 7, Path(sys.argv[1]), {})
call.talk(range(100))
print("talked", flush=True)
time.sleep(60)
"""


def test_after_kill_9_everything_older_than_the_drain_interval_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    with subprocess.Popen([sys.executable, "-c", KILLED, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "talked\n"
        time.sleep(0.25)  # the writer looks every 50 ms; the machine may be busy
        victim.send_signal(signal.SIGKILL)
    frames = read_spool(path)
    assert packets(frames, 0) == [rtp(sequence) for sequence in range(100)]
    assert frames[-1].kind == RTP


def test_closing_the_engine_keeps_what_was_received(tmp_path: Path) -> None:
    with Engine() as engine, Call(engine) as call:
        engine.start_recording(1, 7, tmp_path / "x.spool", {})
        call.talk(range(10))
    frames = read_spool(tmp_path / "x.spool")
    assert len(packets(frames, 0)) == 10
    assert frames[-1].kind == RTP
