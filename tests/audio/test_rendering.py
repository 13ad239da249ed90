"""Rendering by content: speech that went through a simulated network must come out in its place, on its channel."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mediaserverd.audio.cuts import BEEP_MS
from mediaserverd.audio.render import CELL_SECONDS, Rendering
from mediaserverd.protocol.sasf.contents import Contents, Span
from tests.audio.recorded import FRAME_SAMPLES, Rtp, codecs, contents, event, padded, stream, units
from tests.kit.g711 import PCMA, PCMU
from tests.kit.judge import judge, judge_stereo
from tests.kit.speech import RATE, Samples, speech

SECONDS = 12
CALLER = padded(speech(1, SECONDS))
CALLED = padded(speech(2, SECONDS))


def rendered(recording: Contents) -> tuple[Rendering, tuple[Samples, ...]]:
    rendering = Rendering(recording)
    frames = rendering.block(0, rendering.frames)
    assert frames.shape == (rendering.frames, 2)
    return rendering, (frames[:, 0], frames[:, 1])


def both(**options: Any) -> list[Rtp]:
    return stream(0, PCMU.encode(CALLER), **options) + stream(1, PCMA.encode(CALLED), payload_type=8, ssrc=7)


def test_each_side_is_on_its_channel_sample_by_sample() -> None:
    rendering, (left, right) = rendered(contents(both(), duration_ms=SECONDS * 1000))
    assert (rendering.frames, rendering.sample_rate) == (SECONDS * RATE, 8000)
    assert np.array_equal(left[: len(CALLER)], PCMU.decode(PCMU.encode(CALLER)))
    assert np.array_equal(right[: len(CALLED)], PCMA.decode(PCMA.encode(CALLED)))
    quality = rendering.quality
    assert (quality.degraded, quality.duration_ms, quality.skew_ms) == (False, SECONDS * 1000, 0.0)
    assert (quality.masked, quality.one_way, quality.unreadable) == ((), (), ())
    for side, codec in zip(quality.sides, ("PCMU/8000", "PCMA/8000"), strict=True):
        assert (side.packets, side.expected, side.received) == (len(CALLER) // FRAME_SAMPLES,) * 3
        assert (side.lost, side.late, side.duplicates, side.concealed_ms, side.undecodable) == (0, 0, 0, 0, 0)
        assert (side.codecs, side.jitter_ms, side.drift_ppm) == ((codec,), 0.0, 0.0)


def test_jitter_reordering_and_duplicates_move_nothing() -> None:
    dice = random.Random(3)
    packets = [packet.later(dice.expovariate(1 / 15)) for packet in both()]
    packets += [packet.later(5) for packet in packets[::40]]
    rendering, channels = rendered(contents(packets, duration_ms=SECONDS * 1000))
    verdict = judge_stereo(CALLER, CALLED, channels)
    assert verdict.faults(seconds=SECONDS - 1, correlation=0.99, drift_ms=0.2, skew_ms=5) == []
    assert abs(verdict.left.lag_ms) < 5
    sides = rendering.quality.sides
    assert [side.lost for side in sides] == [0, 0]
    assert sum(side.duplicates for side in sides) == len(both()[::40])
    assert all(5 < side.jitter_ms < 25 and side.late > 10 for side in sides)


def test_lost_packets_are_concealed_and_counted_and_the_others_stay_in_their_place() -> None:
    dice = random.Random(4)
    packets = both()
    kept = [packet for index, packet in enumerate(packets) if index % 599 in (0, 598) or dice.random() > 0.05]
    rendering, (left, right) = rendered(contents(kept, duration_ms=SECONDS * 1000))
    missing = {(packet.side, packet.sequence) for packet in packets} - {(each.side, each.sequence) for each in kept}
    sides = rendering.quality.sides
    assert sum(side.lost for side in sides) == len(missing) > 20
    assert 20 * len(missing) - 40 <= sum(side.concealed_ms for side in sides) <= 20 * len(missing)
    assert judge_stereo(CALLER, CALLED, (left, right)).faults(seconds=SECONDS - 1, correlation=0.8) == []
    # What was received is as it was sent, but for the seams of a concealment: 4 ms behind, a quarter of a pitch before.
    seam = np.ones(len(CALLER), bool)
    for _, number in [each for each in missing if each[0] == 0]:
        seam[number * FRAME_SAMPLES - 32 : (number + 1) * FRAME_SAMPLES + 32] = False
    assert np.array_equal(left[: len(CALLER)][seam], PCMU.decode(PCMU.encode(CALLER))[seam])


def test_a_long_loss_fades_into_silence() -> None:
    kept = [each for each in both() if each.side or not 200 <= each.sequence < 260]
    rendering, (left, _) = rendered(contents(kept, duration_ms=SECONDS * 1000))
    assert not left[202 * FRAME_SAMPLES + FRAME_SAMPLES : 260 * FRAME_SAMPLES].any()
    assert rendering.quality.sides[0].lost == 60
    assert rendering.quality.sides[0].concealed_ms == 120


def test_sequence_numbers_and_timestamps_that_wrap_are_one_line() -> None:
    packets = both(sequence=65_400, timestamp=2**32 - 200 * FRAME_SAMPLES)
    packets[135], packets[138] = packets[138], packets[135]  # reordered across the wrap
    rendering, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99, drift_ms=0.2) == []
    assert rendering.quality.sides[0].lost == 0


def test_a_side_that_begins_late_is_late_in_the_file() -> None:
    packets = stream(0, PCMU.encode(CALLER)) + stream(1, PCMU.encode(CALLED), start_ms=1234.5, ssrc=9, timestamp=77)
    _, channels = rendered(contents(packets, duration_ms=SECONDS * 1000 + 2000))
    verdict = judge_stereo(CALLER, CALLED, channels, called_starts_ms=1234.5)
    assert verdict.faults(seconds=SECONDS - 1, correlation=0.99, skew_ms=1) == []


def test_packets_of_another_length_do_not_shift_a_side() -> None:
    """A phone that sends 60 ms at once speaks 60 ms before its packet leaves, one that sends 20 ms only 20."""
    voice = PCMU.encode(CALLED)
    long = [
        Rtp(1, 40 + index * 60, index, index * 480, voice[index * 480 : index * 480 + 480], ssrc=9)
        for index in range(len(voice) // 480)
    ]
    _, channels = rendered(contents(stream(0, PCMU.encode(CALLER)) + long, duration_ms=SECONDS * 1000))
    assert judge_stereo(CALLER, CALLED, channels).faults(seconds=SECONDS - 1, correlation=0.99, skew_ms=1) == []


def test_a_new_ssrc_is_anchored_anew() -> None:
    half = SECONDS // 2 * RATE
    before = stream(0, PCMU.encode(CALLER[:half]), ssrc=1, timestamp=5_000)
    after = stream(0, PCMU.encode(CALLER[half:]), ssrc=2, sequence=40_000, timestamp=999, start_ms=SECONDS * 500)
    rendering, (left, _) = rendered(contents(before + after, duration_ms=SECONDS * 1000))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []
    side = rendering.quality.sides[0]
    assert (side.ssrc_changes, side.lost) == (1, 0)


@pytest.mark.parametrize("jump", [-4_000_000, -3000, 3000, 4_000_000, 2**31 - 5])
def test_timestamps_that_jump_within_one_source_do_not_move_the_audio(jump: int) -> None:
    packets = stream(0, PCMU.encode(CALLER))
    packets = [replace(each, timestamp=each.timestamp + jump * (each.sequence >= 301)) for each in packets]
    _, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []


def test_a_stray_timestamp_takes_nothing_with_it() -> None:
    packets = stream(0, PCMU.encode(CALLER))
    packets[100] = replace(packets[100], timestamp=0xDEADBEEF)
    _, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.98, dropped_ms=20) == []


def test_a_stall_of_the_network_is_no_jump() -> None:
    packets = [
        each.later(max(0, 3500 - each.arrival_ms)) if 2000 <= each.arrival_ms < 3500 else each
        for each in stream(0, PCMU.encode(CALLER))
    ]
    _, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []


@pytest.mark.parametrize("wakes_ms", [4500, 7000])
def test_what_a_frozen_server_finds_when_its_phones_have_gone_is_heard_when_it_was_spoken(wakes_ms: int) -> None:
    """Here after more and after less time than the window has in which the least delayed packet is looked for."""
    packets = [each for each in stream(0, PCMU.encode(CALLER)) if each.arrival_ms < 3800]
    packets = [each.later(max(0, wakes_ms - each.arrival_ms)) if each.arrival_ms >= 2000 else each for each in packets]
    rendering, (left, _) = rendered(contents(packets, duration_ms=wakes_ms + 100))
    assert judge(CALLER[: 37 * RATE // 10], left).faults(seconds=3, correlation=0.99) == []
    assert rendering.heard_ms is not None
    assert abs(rendering.heard_ms[1] - 3800) <= 40


def test_a_sender_that_stops_its_clock_while_silent_is_placed_by_arrival() -> None:
    packets = [each.later(5000 * (each.sequence >= 250)) for each in stream(0, PCMU.encode(CALLER))]
    _, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000 + 5000))
    split = 250 * FRAME_SAMPLES
    assert judge(CALLER[:split], left[:split]).faults(seconds=4, correlation=0.99) == []
    assert not left[split : split + 5 * RATE].any()
    later = judge(CALLER[split:], left[split + 5 * RATE :])
    assert later.faults(seconds=6, correlation=0.99) == []
    assert abs(later.lag_ms) < 1


def test_digits_are_no_audio_and_no_loss_and_only_counted() -> None:
    packets = stream(0, PCMU.encode(CALLER))
    for index in range(100, 110):
        packets[index] = replace(packets[index], payload_type=101, timestamp=100 * 160, payload=b"\x05\x0a\x00\xa0")
    rendering, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000))
    assert not left[100 * 160 : 110 * 160].any()
    side = rendering.quality.sides[0]
    assert (side.lost, side.undecodable, side.concealed_ms, side.dtmf) == (0, 0, 0, 1)
    assert side.codecs == ("PCMU/8000",)
    assert not rendering.quality.degraded


def test_comfort_noise_sounds_at_its_level_until_voice_comes_back() -> None:
    packets = stream(0, PCMU.encode(CALLER))
    packets[200] = replace(packets[200], payload_type=13, payload=b"\x32")
    del packets[201:250]
    packets = [replace(each, sequence=each.sequence - 49 * (index > 200)) for index, each in enumerate(packets)]
    rendering, (left, _) = rendered(contents(packets, duration_ms=SECONDS * 1000))
    noise = left[200 * 160 : 250 * 160].astype(float)
    assert 20 * np.log10(noise.std() / 32767) == pytest.approx(-50, abs=1)
    side = rendering.quality.sides[0]
    assert (side.lost, side.concealed_ms, side.comfort_noise_ms, side.undecodable) == (0, 0, 1000, 0)


def test_an_unknown_codec_is_silent_counted_and_called_degraded() -> None:
    packets = [replace(each, payload_type=96) if each.sequence >= 300 else each for each in both()]
    packets = [each for each in packets if each.side == 0]
    ilbc = codecs({"96": "iLBC/8000"}, ms=6000)
    rendering, (left, _) = rendered(contents(packets, ilbc, duration_ms=SECONDS * 1000))
    assert rendering.quality.degraded
    assert rendering.quality.sides[0].undecodable == 300
    assert rendering.quality.sides[0].codecs == ("PCMU/8000", "iLBC/8000")
    assert left[: 6 * RATE].any()
    assert not left[6 * RATE :].any()


def test_a_payload_type_means_what_was_agreed_when_it_arrived() -> None:
    first, second = CALLER[: 6 * RATE], CALLER[6 * RATE :]
    packets = stream(0, PCMU.encode(first), payload_type=97)
    packets += stream(0, PCMA.encode(second), payload_type=97, sequence=300, timestamp=48_000, start_ms=6000)
    events = [codecs({"97": "PCMU/8000"}), codecs({"97": "pcma/8000"}, ms=5990)]
    _, (left, _) = rendered(contents(packets, *events, duration_ms=SECONDS * 1000))
    assert judge(CALLER, left).faults(seconds=SECONDS - 1, correlation=0.99) == []


def test_a_masked_pause_is_silence_and_without_resume_it_lasts_to_the_end() -> None:
    events = [event(ms, 0, name, mode="mask") for ms, name in ((2000, "pause"), (3000, "resume"), (10_000, "pause"))]
    rendering, channels = rendered(contents(both(), *events, duration_ms=SECONDS * 1000))
    assert rendering.frames == SECONDS * RATE
    assert rendering.quality.masked == ((2000, 3000, "mask"), (10_000, SECONDS * 1000, "mask"))
    for channel in channels:
        assert not channel[2 * RATE : 3 * RATE].any()
        assert not channel[10 * RATE :].any()
        assert channel[: 2 * RATE].any()
        assert channel[3 * RATE : 10 * RATE].any()


def test_an_omitted_pause_is_cut_out_and_marked_by_one_beep() -> None:
    events = [event(3000, 0, "pause", mode="omit"), event(7000, 0, "resume")]
    kept = [each for each in both() if not 3000 <= each.arrival_ms < 7000]
    rendering, (left, right) = rendered(contents(kept, *events, duration_ms=SECONDS * 1000))
    beep = BEEP_MS * RATE // 1000
    assert rendering.frames == (SECONDS - 4) * RATE + beep
    assert np.array_equal(left[: 3 * RATE], PCMU.decode(PCMU.encode(CALLER))[: 3 * RATE])
    assert np.array_equal(left[3 * RATE : 3 * RATE + beep], right[3 * RATE : 3 * RATE + beep])
    assert np.abs(np.fft.rfft(left[3 * RATE : 3 * RATE + beep])).argmax() * RATE / beep == 1000
    assert judge(CALLER[7 * RATE :], left[3 * RATE + beep :]).faults(seconds=4, correlation=0.99) == []
    quality = rendering.quality
    assert quality.masked == ((3000, 7000, "omit"),)
    assert [side.lost for side in quality.sides] == [0, 0]


def test_an_unreadable_span_is_silence_reported_and_no_loss() -> None:
    kept = [each for each in both() if not 4000 <= each.arrival_ms < 5000]
    span = Span(units(4000), units(5000), "tampered at chunk 10")
    rendering, (left, _) = rendered(contents(kept, duration_ms=SECONDS * 1000, unreadable=[span]))
    assert not left[4 * RATE : 5 * RATE].any()
    quality = rendering.quality
    assert quality.degraded
    assert quality.unreadable == ((4000, 5000, "tampered at chunk 10"),)
    assert [(side.lost, side.concealed_ms) for side in quality.sides] == [(0, 0)] * 2


def test_a_side_from_which_nothing_comes_while_the_other_speaks_is_one_way() -> None:
    kept = [each for each in both() if each.side == 0 or not 2000 <= each.arrival_ms < 8000]
    rendering, _ = rendered(contents(kept, duration_ms=SECONDS * 1000))
    ((side, start, end),) = rendering.quality.one_way
    assert (side, end) == (1, 8000)
    assert 2000 <= start <= 2100  # from where the concealment has faded


def test_a_listener_in_a_quiet_room_is_no_one_way_audio() -> None:
    breath = (np.random.default_rng(1).normal(0, 20, len(CALLED))).astype(np.int16)
    quiet = stream(1, PCMA.encode(breath), payload_type=8, ssrc=7)
    rendering, _ = rendered(contents(stream(0, PCMU.encode(CALLER)) + quiet, duration_ms=SECONDS * 1000))
    assert rendering.quality.one_way == ()


def test_a_recording_in_which_nothing_came_is_silence_of_its_length() -> None:
    rendering, (left, right) = rendered(contents([], duration_ms=2500))
    assert (len(left), rendering.quality.duration_ms) == (20_000, 2500)
    assert not left.any()
    assert not right.any()


def test_a_file_that_breaks_off_is_rendered_up_to_there() -> None:
    kept = [each for each in both() if each.arrival_ms < 6000]
    rendering, (left, _) = rendered(contents(kept, duration_ms=5980, closed=False))
    assert rendering.frames == 6 * RATE
    assert judge(CALLER[: 5 * RATE], left).faults(seconds=5, correlation=0.99) == []


def test_hostile_timestamps_cannot_make_the_file_longer_than_the_call() -> None:
    dice = random.Random(6)
    packets = [replace(each, timestamp=dice.getrandbits(32), ssrc=dice.getrandbits(2)) for each in both()]
    fast = [replace(each, timestamp=each.timestamp * 3, ssrc=99) for each in both()]
    rendering, _ = rendered(contents(packets + fast, duration_ms=SECONDS * 1000))
    assert rendering.frames == SECONDS * RATE


def test_overflow_of_the_tap_makes_a_recording_degraded() -> None:
    rendering, _ = rendered(contents(both(), duration_ms=SECONDS * 1000, tap_overflow=3))
    assert (rendering.quality.degraded, rendering.quality.tap_overflow) == (True, 3)


def test_any_block_is_the_same_as_in_the_whole() -> None:
    seconds = 2 * CELL_SECONDS + 7
    dice = random.Random(8)
    voice = padded(speech(5, seconds))
    packets = stream(0, PCMU.encode(voice), clock_ppm=150) + stream(1, PCMA.encode(voice), payload_type=8, ssrc=7)
    packets = [each.later(dice.uniform(0, 30)) for each in packets if dice.random() > 0.02]
    recording = contents(
        packets, event(9000, 0, "pause", mode="omit"), event(11_000, 0, "resume"), duration_ms=seconds * 1000
    )
    whole = Rendering(recording).block(0, 1 << 40)
    scattered = Rendering(recording)
    assert len(whole) == scattered.frames
    for _ in range(200):
        first = dice.randrange(len(whole))
        count = dice.choice([1, 7, 160, 4096, 30_000])
        assert np.array_equal(scattered.block(first, count), whole[first : first + count]), first
    assert len(scattered.block(len(whole), 10)) == 0


def test_what_was_sent_and_never_came_is_told_from_what_nobody_sent() -> None:
    both_sides = both()
    cut_off = [each for each in both_sides if not 2000 <= each.arrival_ms < 5000]
    rendering, _ = rendered(contents(cut_off, duration_ms=SECONDS * 1000))
    ((start, end),) = rendering.outages_ms
    assert (abs(start - 1980) <= 20, abs(end - 5000) <= 20) == (True, True)
    held = [replace(each, sequence=each.sequence - 150 * (each.arrival_ms >= 5000)) for each in cut_off]
    rendering, _ = rendered(contents(held, duration_ms=SECONDS * 1000))
    assert rendering.silences_ms == [[start, end]]
    assert rendering.outages_ms == []
