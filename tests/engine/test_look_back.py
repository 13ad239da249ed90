"""A recording that begins before it was asked for."""

from __future__ import annotations

import errno
import json
import resource
import threading
import time
from pathlib import Path

import pytest

from mediaserverd.media.engine import Engine
from tests.engine.call import Call, closed
from tests.engine.phone import sender_report
from tests.engine.recorded import start
from tests.engine.sasf_file import EVENT, SENDER_REPORT, SasfFile
from tests.protocol.sasf.independent import Other, Packet

MS = 8  # units of a file


def stopped(call: Call, recording_number: int = 7) -> None:
    call.engine.stop_recording(recording_number, "stopped")
    closed(call.engine)


def said(file: SasfFile, side: int = 0) -> list[int]:
    return [packet.sequence for packet in file.packets(side)]


def test_what_was_said_just_before_is_in_the_file_ahead_of_begin(call: Call, tmp_path: Path) -> None:
    call.engine.set_look_back(1, 5000)
    call.talk(range(5))
    call.b.send(sender_report(0x1235, 1 << 32, 320), call.b_relay)
    time.sleep(0.3)
    call.talk(range(5, 10))
    recording = start(
        call.engine, tmp_path / "x.spool", created_ns=call.engine.recording_start_ns(1, 5000), pre_record_ms=5000
    )
    call.talk(range(10, 12))
    stopped(call)
    file = recording.read()
    assert said(file, 0) == said(file, 1) == list(range(12))
    (begin,) = (record for record in file.others(EVENT) if json.loads(record.octets) == {"event": "begin"})
    before = file.records[: file.records.index(begin)]
    assert [record.sequence for record in before if isinstance(record, Packet) and record.side == 1] == list(range(10))
    assert [record.side for record in before if isinstance(record, Other) and record.kind == SENDER_REPORT] == [1]
    times = [record.at for record in file.records]
    assert times == sorted(times)
    assert file.packets(0)[0].at <= 50 * MS  # time 0 is the earliest packet
    assert 300 * MS <= begin.at <= 900 * MS
    assert [side["packets"] for side in file.end["sides"]] == [12, 12]
    assert file.end["sides"][0]["lost"] == 0


def test_only_as_much_as_was_asked_for_comes_in(call: Call, tmp_path: Path) -> None:
    call.engine.set_look_back(1, 5000)
    call.talk(range(5))
    time.sleep(0.5)
    call.talk(range(5, 10))
    recording = start(
        call.engine, tmp_path / "x.spool", created_ns=call.engine.recording_start_ns(1, 400), pre_record_ms=400
    )
    call.talk([10])
    stopped(call)
    assert said(recording.read()) == list(range(5, 11))
    call.talk([11])
    recording = start(call.engine, tmp_path / "y.spool")  # none asked for
    call.talk([12])
    stopped(call)
    assert said(recording.read()) == [12]


def test_nothing_is_missing_or_twice_where_the_look_back_ends_and_the_recording_begins(
    call: Call, tmp_path: Path
) -> None:
    call.engine.set_look_back(1, 5000)
    speaking = threading.Thread(target=call.talk, args=(range(1000),))
    speaking.start()
    time.sleep(0.05)
    recording = start(
        call.engine, tmp_path / "x.spool", created_ns=call.engine.recording_start_ns(1, 5000), pre_record_ms=5000
    )
    speaking.join()
    stopped(call)
    file = recording.read()
    assert said(file, 0) == list(range(said(file, 0)[0], 1000))
    assert said(file, 1) == list(range(said(file, 1)[0], 1000))


def test_the_called_party_is_the_called_one_in_the_look_back_too(call: Call, tmp_path: Path) -> None:
    call.engine.set_look_back(1, 5000)
    call.talk([1])
    recording = start(
        call.engine,
        tmp_path / "x.spool",
        created_ns=call.engine.recording_start_ns(1, 5000),
        pre_record_ms=5000,
        caller_leg=1,
    )
    call.talk([2])
    stopped(call)
    assert {packet.ssrc for packet in recording.read().packets(1)} == {0x1234}
    assert {packet.ssrc for packet in recording.read().packets(0)} == {0x1235}


def test_nothing_of_a_pause_or_of_an_earlier_recording_comes_back(call: Call, tmp_path: Path) -> None:
    call.engine.set_look_back(1, 60_000)
    start(call.engine, tmp_path / "x.spool", number=1)
    call.talk([1])
    call.engine.pause_recording(1, mode="mask", secure=True)
    call.talk([2])
    call.engine.set_look_back(1, 60_000)  # as a re-INVITE asks for it again
    call.talk([3])
    stopped(call, 1)  # still paused
    call.talk([4])
    recording = start(
        call.engine,
        tmp_path / "y.spool",
        number=2,
        created_ns=call.engine.recording_start_ns(1, 60_000),
        pre_record_ms=60_000,
    )
    call.talk([5])
    stopped(call, 2)
    assert said(recording.read()) == [5]
    call.talk([6])
    recording = start(
        call.engine,
        tmp_path / "z.spool",
        number=3,
        created_ns=call.engine.recording_start_ns(1, 60_000),
        pre_record_ms=60_000,
    )
    stopped(call, 3)
    assert said(recording.read()) == [6]


def test_a_look_back_that_is_set_to_nothing_forgets(call: Call, tmp_path: Path) -> None:
    call.engine.set_look_back(1, 5000)
    call.talk([1])
    call.engine.set_look_back(1, 0)
    call.talk([2])
    call.engine.set_look_back(1, 5000)
    call.talk([3])
    recording = start(call.engine, tmp_path / "x.spool", created_ns=time.time_ns() - 5 * 10**9, pre_record_ms=5000)
    stopped(call)
    assert said(recording.read()) == [3]


def test_a_look_back_is_at_most_60_s_and_all_together_have_a_limit() -> None:
    sessions = 512  # 2 MiB each; 1 GiB is the limit
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    try:
        with Engine() as engine:
            for session in range(1, sessions + 2):
                port = 20_000 + 4 * session
                engine.open_session(session, ("127.0.0.1", port), ("127.0.0.1", port + 2))
            with pytest.raises(ValueError, match="60000"):
                engine.set_look_back(1, 60_001)
            for session in range(1, sessions + 1):
                engine.set_look_back(session, 60_000)
            with pytest.raises(OSError, match="too long") as refused:
                engine.set_look_back(sessions + 1, 1)
            assert refused.value.errno == errno.ENOMEM
            engine.close_session(1)
            engine.set_look_back(sessions + 1, 60_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
