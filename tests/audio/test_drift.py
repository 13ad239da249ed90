"""An hour with clocks that drift, in seconds: where the sides are at its end, by what is heard there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pytest

from mediaserverd.audio.render import Rendering
from mediaserverd.protocol.sasf.contents import SenderReport
from tests.audio.recorded import FRAME_SAMPLES, Rtp, codecs, contents, packetized, padded, stream, units
from tests.kit.g711 import PCMA, PCMU
from tests.kit.judge import judge
from tests.kit.speech import RATE, Samples, speech

MINUTES = 60
LOOP_S = 60
VOICES = tuple(padded(speech(seed, LOOP_S)) for seed in (11, 12))
SKEW_MS = 20.0


@lru_cache(maxsize=2)
def hour(side: int) -> bytes:
    return (PCMU, PCMA)[side].encode(VOICES[side]) * MINUTES


def network(packets: list[Rtp], dice: random.Random, *, loss: float = 0.02, jitter_ms: float = 12.0) -> Iterator[Rtp]:
    """Loss, exponential jitter (so packets overtake each other), and now and then a stall of a quarter of a second."""
    stall_ends = -1.0
    for packet in packets:
        if dice.random() < 0.0005:
            stall_ends = packet.arrival_ms + dice.uniform(50, 250)
        if dice.random() >= loss:
            yield packet.later(dice.expovariate(1 / jitter_ms) + max(0.0, stall_ends - packet.arrival_ms))


def lateness_ms(heard: Samples, side: int, at_s: float, clock_ppm: float) -> float:
    """How late what a side said at ``at_s`` of its own clock is heard, against the time at which it was said."""
    begin = int(at_s * RATE)
    said = np.resize(np.roll(VOICES[side], -begin), 2 * RATE)
    truly = begin / (1 + clock_ppm / 1e6)
    verdict = judge(said, heard[int(truly) - RATE : int(truly) + 4 * RATE])
    assert verdict.worst > 0.45, f"side {side} at {at_s} s"  # a second in which some of 2 % was lost
    return verdict.lag_ms - 1000 - (truly - int(truly)) * 1000 / RATE


def skews_ms(channels: tuple[Samples, ...], ppm: tuple[float, float], seconds: int) -> list[float]:
    times = [at + 7.3 for at in range(0, seconds - 70, 293)] + [seconds - 20.0]
    return [lateness_ms(channels[1], 1, at, ppm[1]) - lateness_ms(channels[0], 0, at, ppm[0]) for at in times]


@pytest.mark.parametrize("ppm", [(200.0, -200.0), (-200.0, 0.0), (37.0, 41.0)])
def test_after_an_hour_of_drift_loss_jitter_and_reordering_the_sides_are_together(ppm: tuple[float, float]) -> None:
    dice = random.Random(5)
    packets: list[Rtp] = []
    for side in (0, 1):
        sent = stream(side, hour(side), payload_type=8 * side, ssrc=side, clock_ppm=ppm[side])
        packets += network(sent, dice)
    rendering = Rendering(contents(packets, duration_ms=MINUTES * 60_000))
    frames = rendering.block(0, rendering.frames)
    found = skews_ms((frames[:, 0], frames[:, 1]), ppm, MINUTES * 60)
    quality = rendering.quality
    print(f"{ppm}: skew {min(found):.2f} to {max(found):.2f} ms, reported {quality.skew_ms} ms")
    assert max(map(abs, found)) <= SKEW_MS / 4  # at every minute looked at, not at the end alone
    assert quality.skew_ms <= SKEW_MS / 4
    for each, clock in zip(quality.sides, ppm, strict=True):
        assert each.drift_ppm == pytest.approx(clock, abs=2)
        assert each.lost == pytest.approx(180_000 * 0.02, rel=0.1)
        assert each.late > 1000
        assert each.concealed_ms == pytest.approx(each.lost * 20, rel=0.05)


def test_a_crystal_that_warms_up_is_followed() -> None:
    """Its drift goes from -30 to +50 ppm in the course of the call: no one line fits."""
    dice = random.Random(6)
    steady = list(network(stream(0, hour(0), ssrc=0), dice))
    wandering: list[Rtp] = []
    now_ms = 0.0
    for packet in stream(1, hour(1), payload_type=8, ssrc=1):
        ppm = -30 + 80 * packet.sequence / (MINUTES * 3000)
        wandering.append(packet.later(now_ms - packet.arrival_ms))
        now_ms += 20 / (1 + ppm / 1e6)
    rendering = Rendering(contents(steady + list(network(wandering, dice)), duration_ms=MINUTES * 60_000 + 1000))
    frames = rendering.block(0, rendering.frames)
    for minute in (1, 15, 30, 45, 58):
        at_ms = wandering[minute * 3000].arrival_ms
        said = np.resize(VOICES[1], 2 * RATE)
        begin = int((at_ms - 1000) * RATE / 1000)
        lag = judge(said, frames[begin : begin + 5 * RATE, 1]).lag_ms - 1000
        assert abs(lag) <= SKEW_MS / 2, f"{lag} ms at minute {minute}"
    assert rendering.quality.skew_ms <= SKEW_MS / 2


def test_drift_is_corrected_without_dropping_or_repeating_anything() -> None:
    """A tone stays a tone: with frames dropped or doubled it would have sidebands at -20 dB."""
    seconds, ppm, hertz = 120, 200.0, 1004.0
    tone = np.asarray(12_000 * np.sin(2 * np.pi * hertz * np.arange(seconds * RATE) / RATE), np.int16)
    payloads = [tone[at : at + FRAME_SAMPLES].astype(">i2").tobytes() for at in range(0, len(tone), FRAME_SAMPLES)]
    packets = packetized(0, payloads, payload_type=96, clock_ppm=ppm)
    recording = contents(packets, codecs({"96": "L16/8000"}), duration_ms=seconds * 1000)
    rendering = Rendering(recording)
    heard = rendering.block(10 * RATE, 60 * RATE)[:, 0].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(heard * np.blackman(len(heard)))) ** 2
    peak = int(spectrum.argmax())
    assert peak / 60 == pytest.approx(hertz * (1 + ppm / 1e6), abs=0.02)
    inside = spectrum[peak - 30 : peak + 31].sum()
    assert 10 * np.log10((spectrum.sum() - inside) / inside) < -60


@pytest.mark.parametrize("told", [True, False])
def test_sender_reports_tell_a_longer_way_from_a_clock_that_slipped(told: bool) -> None:
    """Four minutes before the end the way gets 120 ms longer. What was said then was said when it was said."""
    minutes, ppm, longer_ms = 12, -80.0, 120.0
    dice = random.Random(7)
    packets = stream(1, hour(1)[: minutes * 60 * RATE], payload_type=8, ssrc=1, clock_ppm=ppm, timestamp=2**32 - 4000)
    detour = len(packets) * 2 // 3
    arrived = list(network([each.later(longer_ms * (each.sequence >= detour)) for each in packets], dice))
    reports = []
    for packet in packets[::250]:
        own_ms = packet.arrival_ms + 987_654  # some clock that nobody set
        arrival = units(packet.arrival_ms + longer_ms * (packet.sequence >= detour) + dice.expovariate(1 / 12))
        rtp = packet.timestamp & 0xFFFFFFFF
        reports.append(SenderReport(arrival, 1, 1, int(own_ms / 1000 * 2**32), rtp))
    recording = contents(arrived, duration_ms=minutes * 60_000 + 1000, reports=reports if told else ())
    heard = Rendering(recording).block(0, 1 << 40)[:, 1]
    late = lateness_ms(heard, 1, minutes * 60 - 20, ppm)
    assert (abs(late) <= SKEW_MS) == told, late
    assert late <= longer_ms + 5


def test_an_hour_is_rendered_in_seconds() -> None:
    packets = [each for side in (0, 1) for each in stream(side, hour(side), payload_type=8 * side, ssrc=side)]
    recording = contents(packets, duration_ms=MINUTES * 60_000)
    rendered = timed(lambda: Rendering(recording).block(0, 1 << 40))
    assert rendered < 10, f"{rendered:.1f} s of CPU time"
    last_minute = timed(lambda: Rendering(recording).block(59 * 60 * RATE, RATE))
    assert last_minute < rendered  # what is before it is not rendered
    print(f"60 minutes in {rendered:.2f} s of CPU time, a second of the last minute in {last_minute:.2f} s")


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
