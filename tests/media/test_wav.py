"""Rendering by content: speech that went through a simulated network must come out in its place, on its channel."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mediaserverd.media import g711, spool, wav
from mediaserverd.media.settings import WavEncoding
from mediaserverd.media.wav import Rendered
from tests.kit.g711 import PCMA, PCMU
from tests.kit.judge import judge, judge_stereo
from tests.kit.speech import RATE, Samples, speech
from tests.kit.wav import read_wav
from tests.media.spools import (
    FRAME_SAMPLES,
    Rtp,
    end_frame,
    event_frame,
    padded,
    spool_bytes,
    stream,
    write,
)

SECONDS = 12
CALLER = padded(speech(1, SECONDS))
CALLED = padded(speech(2, SECONDS))


def rendered(
    directory: Path, content: bytes, encoding: WavEncoding = "audio/L16"
) -> tuple[Rendered, tuple[Samples, ...]]:
    read = spool.read(write(directory / "a.spool", content))
    result = wav.render(read, directory / "a.wav", encoding)
    assert (directory / "a.wav").stat().st_size == result.size
    return result, read_wav(directory / "a.wav")


def both(**options: int) -> list[Rtp]:
    return stream(0, PCMU.encode(CALLER), **options) + stream(1, PCMA.encode(CALLED), payload_type=8, ssrc=7)


def test_each_side_is_on_its_channel_sample_by_sample(tmp_path: Path) -> None:
    result, (left, right) = rendered(tmp_path, spool_bytes(both(), end=end_frame(SECONDS * 1000)))
    assert (len(left), result.duration_ms) == (SECONDS * RATE, SECONDS * 1000)
    assert np.array_equal(left[: len(CALLER)], PCMU.decode(PCMU.encode(CALLER)))
    assert np.array_equal(right[: len(CALLED)], PCMA.decode(PCMA.encode(CALLED)))
    assert not result.quality["degraded"]
    silent = {"lost": 0, "duplicates": 0, "undecodable": 0, "ssrc_changes": 0, "jitter_ms": 0.0}
    assert result.quality["sides"] == [{"packets": len(CALLER) // FRAME_SAMPLES, **silent}] * 2


def test_jitter_reordering_and_duplicates_move_nothing(tmp_path: Path) -> None:
    dice = random.Random(3)
    packets = [packet.later(dice.expovariate(1 / 15)) for packet in both()]
    packets += [packet.later(5) for packet in packets[::40]]
    result, (left, right) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000)))
    verdict = judge_stereo(CALLER, CALLED, (left, right))
    assert verdict.faults(seconds=SECONDS - 1, correlation=0.99, drift_ms=0.2, skew_ms=5) == []
    assert abs(verdict.left.lag_ms) < 5
    sides = result.quality["sides"]
    assert [side["lost"] for side in sides] == [0, 0]
    assert sum(side["duplicates"] for side in sides) == len(both()[::40])
    assert all(5 < side["jitter_ms"] < 25 for side in sides)


def test_lost_packets_are_silence_of_their_length_and_counted(tmp_path: Path) -> None:
    dice = random.Random(4)
    packets = both()
    kept = [packet for index, packet in enumerate(packets) if index % 599 in (0, 598) or dice.random() > 0.05]
    result, (left, right) = rendered(tmp_path, spool_bytes(kept, end=end_frame(SECONDS * 1000)))
    missing = {(packet.side, packet.sequence) for packet in packets} - {(each.side, each.sequence) for each in kept}
    assert sum(side["lost"] for side in result.quality["sides"]) == len(missing) > 20
    for side, number in missing:
        assert not (left, right)[side][number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES].any()
    present = np.ones(len(CALLER), bool)
    for side, number in missing:
        if side == 0:
            present[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES] = False
    assert np.array_equal(left[: len(CALLER)][present], PCMU.decode(PCMU.encode(CALLER))[present])


def test_sequence_numbers_and_timestamps_that_wrap_are_one_line(tmp_path: Path) -> None:
    packets = both(sequence=65_400, timestamp=2**32 - 200 * FRAME_SAMPLES)
    packets[135], packets[138] = packets[138], packets[135]  # reordered across the wrap
    result, (left, _) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000)))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99, drift_ms=0.2) == []
    assert result.quality["sides"][0]["lost"] == 0


def test_a_side_that_begins_late_is_late_in_the_file(tmp_path: Path) -> None:
    packets = stream(0, PCMU.encode(CALLER)) + stream(1, PCMU.encode(CALLED), start_ms=1234.5, ssrc=9, timestamp=77)
    _, channels = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000 + 2000)))
    verdict = judge_stereo(CALLER, CALLED, channels, called_starts_ms=1234.5)
    assert verdict.faults(seconds=SECONDS - 1, correlation=0.99, skew_ms=1) == []


@pytest.mark.parametrize("ppm", [-200, 200])
def test_the_drift_of_a_senders_clock_does_not_separate_the_sides(tmp_path: Path, ppm: int) -> None:
    minutes = 10
    voice = np.tile(CALLED, minutes * 60 // SECONDS)
    dice = random.Random(5)
    drifting = stream(1, PCMU.encode(voice), clock_ppm=ppm, ssrc=9)
    packets = [packet.later(dice.uniform(0, 20)) for packet in drifting]
    _, (_, right) = rendered(tmp_path, spool_bytes(packets, end=end_frame(minutes * 60_000 + 1000)))
    for start_s in range(0, minutes * 60 - SECONDS, 60):
        excerpt = CALLED[2 * RATE : 6 * RATE]  # shorter than the voice, which repeats
        heard = right[(start_s + 1) * RATE : (start_s + 8) * RATE]
        expected_ms = 1000 + (start_s + 2) * 1000 * ppm / 1e6
        verdict = judge(excerpt, heard)
        assert abs(verdict.lag_ms - expected_ms) < 5, f"at {start_s} s"
        assert verdict.worst > 0.7  # one sample is left out or doubled every 0.6 s, so no lag fits a whole second


def test_a_new_ssrc_is_anchored_anew(tmp_path: Path) -> None:
    half = SECONDS // 2 * RATE
    before = stream(0, PCMU.encode(CALLER[:half]), ssrc=1, timestamp=5_000)
    after = stream(0, PCMU.encode(CALLER[half:]), ssrc=2, sequence=40_000, timestamp=999, start_ms=SECONDS * 500)
    result, (left, _) = rendered(tmp_path, spool_bytes(before + after, end=end_frame(SECONDS * 1000)))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []
    side = result.quality["sides"][0]
    assert (side["ssrc_changes"], side["lost"]) == (1, 0)


@pytest.mark.parametrize("jump", [-4_000_000, -3000, 3000, 4_000_000, 2**31 - 5])
def test_timestamps_that_jump_within_one_source_do_not_move_the_audio(tmp_path: Path, jump: int) -> None:
    packets = stream(0, PCMU.encode(CALLER))
    packets = [replace(each, timestamp=each.timestamp + jump * (each.sequence >= 301)) for each in packets]
    _, (left, _) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000)))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []


def test_a_stray_timestamp_takes_nothing_with_it(tmp_path: Path) -> None:
    packets = stream(0, PCMU.encode(CALLER))
    packets[100] = replace(packets[100], timestamp=0xDEADBEEF)
    _, (left, _) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000)))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.98, dropped_ms=20) == []


def test_a_stall_of_the_network_is_no_jump(tmp_path: Path) -> None:
    packets = [
        each.later(max(0, 3500 - each.arrival_ms)) if 2000 <= each.arrival_ms < 3500 else each
        for each in stream(0, PCMU.encode(CALLER))
    ]
    _, (left, _) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000)))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []


def test_a_sender_that_stops_its_clock_while_silent_is_placed_by_arrival(tmp_path: Path) -> None:
    packets = [each.later(5000 * (each.sequence >= 250)) for each in stream(0, PCMU.encode(CALLER))]
    _, (left, _) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000 + 5000)))
    split = 250 * FRAME_SAMPLES
    assert judge(CALLER[:split], left[:split]).faults(seconds=4, correlation=0.99) == []
    assert not left[split : split + 5 * RATE].any()
    later = judge(CALLER[split:], left[split + 5 * RATE :])
    assert later.faults(seconds=6, correlation=0.99) == []
    assert abs(later.lag_ms) < 1


def test_comfort_noise_and_digits_are_no_audio_and_no_loss(tmp_path: Path) -> None:
    packets = stream(0, PCMU.encode(CALLER))
    for index in range(100, 110):
        packets[index] = replace(packets[index], payload_type=101, timestamp=100 * 160, payload=b"\x05\x0a\x00\xa0")
    for index in range(200, 205):
        packets[index] = replace(packets[index], payload_type=13, payload=b"\x40")
    result, (left, _) = rendered(tmp_path, spool_bytes(packets, end=end_frame(SECONDS * 1000)))
    assert not left[100 * 160 : 110 * 160].any()
    assert not left[200 * 160 : 205 * 160].any()
    assert result.quality["sides"][0]["lost"] == 0
    assert result.quality["sides"][0]["undecodable"] == 0
    assert not result.quality["degraded"]


def test_an_unknown_codec_is_silent_counted_and_called_degraded(tmp_path: Path) -> None:
    packets = [replace(each, payload_type=96) if each.sequence >= 300 else each for each in both()[:600]]
    packets = [each for each in packets if each.side == 0]
    opus = event_frame(6000, 0, event="codecs", payload_types={"96": "opus/48000/2"})
    result, (left, _) = rendered(tmp_path, spool_bytes(packets, opus, end=end_frame(SECONDS * 1000)))
    assert result.quality["degraded"]
    assert result.quality["sides"][0]["undecodable"] == 300
    assert left[: 6 * RATE].any()
    assert not left[6 * RATE :].any()


def test_a_payload_type_means_what_was_agreed_when_it_arrived(tmp_path: Path) -> None:
    first, second = CALLER[: 6 * RATE], CALLER[6 * RATE :]
    packets = stream(0, PCMU.encode(first), payload_type=97)
    packets += stream(0, PCMA.encode(second), payload_type=97, sequence=300, timestamp=48_000, start_ms=6000)
    events = [
        event_frame(0, 0, event="codecs", payload_types={"97": "PCMU/8000"}),
        event_frame(5990, 0, event="codecs", payload_types={"97": "pcma/8000"}),
    ]
    _, (left, _) = rendered(tmp_path, spool_bytes(packets, *events, end=end_frame(SECONDS * 1000)))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []


def test_a_pause_is_masked_and_a_pause_without_resume_lasts_to_the_end(tmp_path: Path) -> None:
    events = [event_frame(ms, 0, event=name) for ms, name in ((2000, "pause"), (3000, "resume"), (10_000, "pause"))]
    _, (left, right) = rendered(tmp_path, spool_bytes(both(), *events, end=end_frame(SECONDS * 1000)))
    for channel in (left, right):
        assert not channel[2 * RATE : 3 * RATE].any()
        assert not channel[10 * RATE :].any()
        assert channel[: 2 * RATE].any()
        assert channel[3 * RATE : 10 * RATE].any()


@pytest.mark.parametrize(
    ("encoding", "tag", "width"), [("audio/L16", 1, 2), ("audio/PCMU", 7, 1), ("audio/PCMA", 6, 1)]
)
def test_the_header_says_what_is_in_the_file(tmp_path: Path, encoding: WavEncoding, tag: int, width: int) -> None:
    result, channels = rendered(tmp_path, spool_bytes(both(), end=end_frame(SECONDS * 1000)), encoding)
    data = (tmp_path / "a.wav").read_bytes()
    frames = SECONDS * RATE
    assert struct.unpack_from("<4sI4s", data) == (b"RIFF", len(data) - 8, b"WAVE")
    assert struct.unpack_from("<HHIIHH", data, 20) == (tag, 2, RATE, RATE * 2 * width, 2 * width, 8 * width)
    assert data.count(b"fact" + struct.pack("<II", 4, frames)) == (encoding != "audio/L16")
    assert result.size == len(data) == data.index(b"data") + 8 + frames * 2 * width
    assert judge_stereo(CALLER, CALLED, channels).faults(seconds=SECONDS - 1, correlation=0.99, skew_ms=1) == []


def test_a_recording_in_which_nothing_came_is_silence_of_its_length(tmp_path: Path) -> None:
    result, (left, right) = rendered(tmp_path, spool_bytes([], end=end_frame(2500)))
    assert (len(left), result.duration_ms) == (20_000, 2500)
    assert not left.any()
    assert not right.any()


def test_a_file_that_breaks_off_is_rendered_up_to_there(tmp_path: Path) -> None:
    content = spool_bytes(both())
    result, (left, _) = rendered(tmp_path, content[: len(content) // 2 + 5])
    assert 5900 < result.duration_ms < 6100
    assert judge(CALLER[: 5 * RATE], left).faults(seconds=5, correlation=0.99) == []


def test_hostile_timestamps_cannot_make_the_file_longer_than_the_call(tmp_path: Path) -> None:
    dice = random.Random(6)
    packets = [replace(each, timestamp=dice.getrandbits(32), ssrc=dice.getrandbits(2)) for each in both()]
    fast = [replace(each, timestamp=each.timestamp * 3, ssrc=99) for each in both()]
    result, _ = rendered(tmp_path, spool_bytes(packets + fast, end=end_frame(SECONDS * 1000)))
    assert result.duration_ms == SECONDS * 1000


def test_an_hour_is_rendered_in_seconds_and_little_memory(tmp_path: Path) -> None:
    minutes = 60
    voices = [np.tile(voice, minutes * 60 // SECONDS) for voice in (CALLER, CALLED)]
    packets = [each for side in (0, 1) for each in stream(side, PCMU.encode(voices[side]), ssrc=side)]
    path = write(tmp_path / "a.spool", spool_bytes(packets, end=end_frame(minutes * 60_000)))
    began = time.process_time()
    result = wav.render(spool.read(path), tmp_path / "a.wav", "audio/L16")
    took_s = time.process_time() - began
    assert result.duration_ms == minutes * 60_000
    assert took_s < 20, f"{took_s:.1f} s of CPU time"
    print(f"60 minutes rendered in {took_s:.2f} s of CPU time")


@pytest.mark.parametrize(("law", "table"), [(PCMU, g711.MU_LAW), (PCMA, g711.A_LAW)])
def test_the_tables_agree_with_a_second_implementation(law: type(PCMU), table: Samples) -> None:  # type: ignore[valid-type]
    assert np.array_equal(law.decode(bytes(range(256))), table)


def test_encoding_takes_the_nearest_value_and_keeps_every_code() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    for encode, table in ((g711.to_mu_law, g711.MU_LAW), (g711.to_a_law, g711.A_LAW)):
        assert np.array_equal(table[encode(table)], table)
        error = np.abs(table[encode(samples)].astype(int) - samples)
        assert error[np.abs(samples.astype(int)) < 30_000].max() <= 512
