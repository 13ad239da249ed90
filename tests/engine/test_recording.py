from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from mediaserverd.media.engine import Engine, RecordingClosed
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.verify import verify
from tests.engine.call import Call, closed, events_until_closed, until
from tests.engine.phone import receiver_report, rtp, sender_report
from tests.engine.recorded import RECIPIENT, SIGNER, start
from tests.engine.sasf_file import END, META, SENDER_REPORT, SasfFile
from tests.protocol.sasf import independent
from tests.protocol.sasf.independent import RECORDS, Other, Packet

both_suites = pytest.mark.parametrize("encrypt", [False, True], ids=["clear", "encrypted"])


def said(file: SasfFile, side: int) -> list[int]:
    return [packet.sequence for packet in file.packets(side)]


@both_suites
def test_the_file_has_every_packet_of_both_sides_as_received(call: Call, tmp_path: Path, encrypt: bool) -> None:
    meta = {"encoding": "audio/opus", "metadata": {"note": "Grüße"}}
    recording = start(call.engine, tmp_path / "x.spool", encrypt=encrypt, meta=meta)
    payload = [bytes([number, 255 - number]) * (50 + number) for number in range(50)]
    for number in range(50):
        call.a.send(rtp(65_520 + number, payload=payload[number]), call.a_relay)
        call.b.receive()
        call.b.send(rtp(number, ssrc=0x1235, payload_type=8), call.b_relay)
        call.a.receive()
    call.engine.stop_recording(7, "stopped")
    result = closed(call.engine)
    file = recording.read()
    assert isinstance(file.records[0], Other)
    assert (file.records[0].kind, json.loads(file.records[0].octets)) == (META, meta)
    assert [(packet.sequence, packet.payload) for packet in file.packets(0)] == [
        (65_520 + number & 0xFFFF, payload[number]) for number in range(50)
    ]
    assert [packet.timestamp for packet in file.packets(0)] == [(65_520 + number) * 160 for number in range(50)]
    assert {(packet.payload_type, packet.ssrc, packet.payload) for packet in file.packets(1)} == {
        (8, 0x1235, bytes(160))
    }
    assert isinstance(file.records[-1], Other)
    assert file.records[-1].kind == END
    assert file.seal is not None
    assert (file.seal["state"], file.seal["reason"], file.seal["packets"]) == ("closed", "stopped", [50, 50])
    assert [side.packets for side in result.sides] == [50, 50]
    assert result == RecordingClosed(7, result.sides, recording.path.stat().st_size, 0, None)


@both_suites
def test_the_file_is_what_the_project_s_own_reader_and_the_independent_one_take_for_whole_and_genuine(
    call: Call, tmp_path: Path, encrypt: bool
) -> None:
    recording = start(call.engine, tmp_path / "x.spool", encrypt=encrypt)
    call.talk(range(30))
    call.engine.write_event(7, 1, {"event": "codecs", "payload_types": {"0": "PCMU/8000"}})
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    reader = SasfReader(recording.path.read_bytes(), [RECIPIENT])
    verdict = verify(reader, {SIGNER.public_key().public_bytes_raw()})
    assert verdict.ok, verdict.sentence
    contents = reader.contents()
    assert [event.name for event in contents.events] == ["begin", "codecs"]
    assert len(contents.packets) == 60
    theirs = independent.read(recording.path.read_bytes(), [RECIPIENT])
    assert (theirs.faults, len(theirs.packets)) == ([], 60)


def test_an_encrypted_file_has_no_audio_in_the_clear_at_any_moment(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool", encrypt=True)
    secret = b"what was said" * 12
    for number in range(60):
        call.a.send(rtp(number, payload=secret), call.a_relay)
        call.b.receive()
        time.sleep(0.01)
        assert b"what was said" not in recording.path.read_bytes()
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    assert b"what was said" not in recording.path.read_bytes()
    assert {packet.payload for packet in recording.read().packets(0)} == {secret}


def test_times_are_those_of_arrival_since_the_moment_that_the_header_names(call: Call, tmp_path: Path) -> None:
    created_ns = time.time_ns() - 3 * 10**9
    recording = start(call.engine, tmp_path / "x.spool", created_ns=created_ns)
    before = time.time_ns()
    call.talk(range(50))
    after = time.time_ns()
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    at = [created_ns + record.at * 125_000 for record in recording.read().records if isinstance(record, Packet)]
    assert at == sorted(at)
    assert before - 10**7 < at[0] <= at[-1] < after + 10**7


def test_header_extensions_csrcs_and_padding_are_left_out(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    plain = bytearray(rtp(1, payload=b""))
    plain[0] = 0x80 | 0x20 | 0x10 | 1  # padding, extension, one CSRC
    plain[1] |= 0x80  # marker
    call.a.send(bytes(plain) + b"CSRC" + b"\x00\x01\x00\x01" + b"ext." + b"payload" + b"\x00\x00\x03", call.a_relay)
    call.b.receive()
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    (packet,) = recording.read().packets(0)
    assert (packet.payload, packet.marker) == (b"payload", True)


def test_the_called_party_can_be_leg_a(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool", caller_leg=1)
    call.talk([1])
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    assert [packet.ssrc for packet in recording.read().packets(1)] == [0x1234]
    assert [packet.ssrc for packet in recording.read().packets(0)] == [0x1235]


def test_sender_reports_are_kept_and_other_rtcp_and_what_is_dropped_are_not(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    call.talk([1])
    call.a.send(receiver_report(), call.a_relay)
    call.b.send(sender_report(0x1235, 0xE123_4567_89AB_CDEF, 320), call.b_relay)
    call.a.send(b"no RTP at all", call.a_relay)
    call.talk([2])
    call.engine.stop_recording(7, "stopped")
    assert [side.packets for side in closed(call.engine).sides] == [2, 2]
    (report,) = recording.read().others(SENDER_REPORT)
    assert report.side == 1
    assert report.octets == bytes.fromhex("35120000 EFCDAB8967452 3E1 40010000".replace(" ", ""))


def test_the_end_counts_what_each_side_lost_in_the_recorded_span_alone(call: Call, tmp_path: Path) -> None:
    for number in (1, 5, 9):  # before the recording
        call.a.send(rtp(number), call.a_relay)
    until(lambda: call.engine.statistics(1).legs[0].packets == 3)
    recording = start(call.engine, tmp_path / "x.spool")
    for number in (10, 11, 11, 15, 14):
        call.a.send(rtp(number), call.a_relay)
    until(lambda: call.engine.statistics(1).legs[0].packets == 8)
    call.engine.pause_recording(7)
    call.talk(range(16, 40))
    call.engine.resume_recording(7)
    for number in (40, 42):
        call.a.send(rtp(number), call.a_relay)
    call.a.send(rtp(7, ssrc=9), call.a_relay)
    until(lambda: call.engine.statistics(1).legs[0].packets == 8 + 24 + 3)
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    end = recording.read().end
    calling, called = end["sides"]
    assert (end["reason"], end["tap_overflow"]) == ("stopped", 0)
    assert calling.pop("jitter_ms") >= 0
    assert calling == {"packets": 8, "lost": 3, "late": 1, "duplicates": 1, "ssrc_changes": 1}
    assert called == {"packets": 0, "lost": 0, "late": 0, "duplicates": 0, "ssrc_changes": 0, "jitter_ms": 0}


@both_suites
def test_what_is_said_in_a_pause_is_not_in_the_file(call: Call, tmp_path: Path, encrypt: bool) -> None:
    recording = start(call.engine, tmp_path / "x.spool", encrypt=encrypt)
    call.talk([1])
    call.engine.pause_recording(7, mode="omit", secure=True, by="agent 7")
    until(lambda: "pause" in [event["event"] for event in recording.read().events])  # the chunk is closed at once
    call.talk([2, 3])
    call.engine.resume_recording(7, reason="limit")
    call.talk([4])
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    file = recording.read()
    assert said(file, 0) == said(file, 1) == [1, 4]
    assert file.events[1:] == [
        {"event": "pause", "mode": "omit", "secure": True, "by": "agent 7"},
        {"event": "resume", "reason": "limit"},
    ]


def test_an_event_stands_between_the_packets_before_and_after_it(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    for number in range(20):
        call.talk([number])
        call.engine.write_event(7, 1, {"event": "codecs", "number": number})
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    records = recording.read().records[2:-1]  # META and `begin` before, END behind
    for number in range(20):
        caller, called, event = records[3 * number : 3 * number + 3]
        assert isinstance(caller, Packet)
        assert isinstance(called, Packet)
        assert isinstance(event, Other)
        assert (caller.sequence, called.sequence, json.loads(event.octets)["number"]) == (number, number, number)
        assert (caller.side, called.side, event.side) == (0, 1, 1)
        assert caller.at <= called.at <= event.at


def test_packets_are_in_the_file_within_a_second_while_the_recording_runs(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    call.talk(range(10))
    until(lambda: len(said(recording.read(), 0)) == 10, seconds=1.0)
    assert recording.read().seal is None


def test_no_chunk_spans_more_than_600_ms(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    for number in range(75):
        call.talk([number])
        time.sleep(0.02)
    until(lambda: len(said(recording.read(), 0)) == 75)  # also the last ones, though nobody speaks
    file = recording.read()
    assert len(file.chunks) >= 3
    for chunk in file.chunks:
        times = [record.at for record in chunk.records]
        assert max(times) - min(times) < 4800
        assert chunk.time_ms == min(times) // 8


def test_a_chunk_is_closed_at_64_kib(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    for number in range(200):
        call.a.send(rtp(number, payload=bytes(1400)), call.a_relay)
        call.b.receive()
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    sizes = [
        sum(len(record.payload) for record in chunk.records if isinstance(record, Packet))
        for chunk in recording.read().chunks
        if chunk.type == RECORDS
    ]
    assert sum(sizes) == 200 * 1400
    assert max(sizes) < 64 * 1024 + 1400


def test_the_file_is_private_and_never_written_over(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    start(call.engine, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        start(call.engine, path, number=8)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_made_leaves_the_session_ready_for_another(call: Call, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start(call.engine, tmp_path / "missing" / "x.spool")
    start(call.engine, tmp_path / "x.spool")
    call.talk([1])
    call.engine.stop_recording(7, "stopped")
    assert [side.packets for side in closed(call.engine).sides] == [1, 1]


def test_a_session_has_one_recording_at_a_time_and_several_one_after_another(call: Call, tmp_path: Path) -> None:
    recordings = []
    for segment in (1, 2, 3):
        recordings.append(start(call.engine, tmp_path / f"{segment}.spool", number=segment))
        with pytest.raises(ValueError, match="being recorded already"):
            start(call.engine, tmp_path / "99.spool", number=99)
        call.talk([segment])
        call.engine.stop_recording(segment, "stopped")
    events_until_closed(call.engine, 3)
    assert [said(recording.read(), 0) for recording in recordings] == [[1], [2], [3]]
    assert not (tmp_path / "99.spool").exists()


def test_a_recording_outlives_its_session_until_it_is_stopped(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    call.talk([1])
    call.engine.close_session(call.session)
    call.engine.write_event(7, 0, {"event": "session-closed"})
    call.engine.stop_recording(7, 'call "ended"')
    assert [side.packets for side in closed(call.engine).sides] == [1, 1]
    assert recording.read().end["reason"] == 'call "ended"'
    with pytest.raises(KeyError):
        call.engine.stop_recording(7, "again")


def test_what_fits_no_record_and_keys_of_another_size_are_refused(call: Call, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 KiB"):
        start(call.engine, tmp_path / "x.spool", meta={"metadata": "x" * 66000})
    with pytest.raises(ValueError, match="long ago"):
        start(call.engine, tmp_path / "x.spool", created_ns=0)
    recording = start(call.engine, tmp_path / "x.spool")
    with pytest.raises(ValueError, match="64 KiB"):
        call.engine.write_event(7, 0, {"note": "x" * 66000})
    assert [path.name for path in tmp_path.iterdir()] == [recording.path.name]


def test_a_ring_that_runs_over_is_counted_and_the_call_is_not_disturbed(tmp_path: Path) -> None:
    with Engine(tap_ring_bytes=1 << 16) as engine, Call(engine) as call:
        recording = start(engine, tmp_path / "x.spool")
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
        assert result.sides[0].packets + result.overflow == sent
        assert recording.read().end["tap_overflow"] == result.overflow


def test_closing_the_engine_keeps_what_was_received(tmp_path: Path) -> None:
    with Engine() as engine, Call(engine) as call:
        recording = start(engine, tmp_path / "x.spool")
        call.talk(range(10))
    file = recording.read()
    assert len(said(file, 0)) == 10
    assert (file.seal, file.torn) == (None, 0)


def test_the_index_names_every_chunk_of_records_at_its_place(call: Call, tmp_path: Path) -> None:
    recording = start(call.engine, tmp_path / "x.spool")
    for number in range(100):
        call.talk([number])
        call.engine.pause_recording(7)
        call.engine.resume_recording(7)
    call.engine.stop_recording(7, "stopped")
    closed(call.engine)
    file = recording.read()  # compares each entry with what is at its place
    assert file.seal is not None
    assert file.seal["chunks"] > 100
    assert file.seal["index"] == file.chunks[-2].offset
