"""Every codec by content: real payloads of generated speech, over a perfect and over a lossy network."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from mediaserverd.audio import _codec, concealment
from mediaserverd.audio.render import CELL_SECONDS, Rendering
from mediaserverd.protocol.sasf.contents import Contents
from tests.audio.recorded import Rtp, codecs, contents, packetized
from tests.kit.g711 import PCMA, PCMU, Law
from tests.kit.judge import judge
from tests.kit.speech import Samples
from tests.kit.spoken import decoded, encoded, intelligibility, lag_samples, perceived, spoken


@dataclass(frozen=True, slots=True)
class Case:
    """``ticks`` of the RTP clock a packet of 20 ms. Limits: of PESQ without loss, and of STOI with a loss of 5 %."""

    rtpmap: str
    payloads: Callable[[int], Sequence[bytes]]
    ticks: int
    rate: int
    best_rate: int
    pesq: float
    lossy_stoi: float
    stoi: float = 0.97


def g711(law: Law) -> Callable[[int], list[bytes]]:
    return lambda voice: pieces(law.encode(spoken(voice, 8000)), 160)


def linear(rate: int, channels: int) -> Callable[[int], list[bytes]]:
    def payloads(voice: int) -> list[bytes]:
        samples = np.repeat(spoken(voice, rate)[:, None], channels, axis=1)
        return pieces(samples.astype(">i2").tobytes(), rate // 50 * 2 * channels)

    return payloads


def gsm(voice: int) -> list[bytes]:
    """By our own encoder, as FFmpeg has none; that FFmpeg decodes the same from it is tested below."""
    return pieces(_codec.encode_gsm(spoken(voice, 8000)), 33)


def g722(voice: int) -> list[bytes]:
    return encoded(spoken(voice, 16_000), "g722", 16_000, 320)


def opus(**options: str) -> Callable[[int], list[bytes]]:
    return lambda voice: encoded(spoken(voice, 48_000), "libopus", 48_000, 960, application="voip", **options)


def pieces(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)]


CASES = {
    "PCMU": Case("PCMU/8000", g711(PCMU), 160, 8000, 8000, 3.9, 0.96),
    "PCMA": Case("PCMA/8000", g711(PCMA), 160, 8000, 8000, 3.9, 0.96),
    "GSM": Case("GSM/8000", gsm, 160, 8000, 8000, 2.3, 0.9, 0.94),
    "G.722": Case("G722/8000", g722, 160, 16_000, 16_000, 2.9, 0.94),
    "L16": Case("L16/16000", linear(16_000, 1), 320, 16_000, 16_000, 4.5, 0.96),
    "L16 stereo": Case("L16/44100/2", linear(44_100, 2), 882, 16_000, 48_000, 4.3, 0.96),
    "Opus": Case("opus/48000/2", opus(b="24000"), 960, 16_000, 48_000, 3.3, 0.92),
    "Opus narrow band": Case("opus/48000/2", opus(b="12000", cutoff="4000"), 960, 8000, 8000, 3.0, 0.9),
}


def recording(case: Case, *, loss: float = 0.0, start_ms: float = 0.0, clock_ppm: float = 0.0) -> Contents:
    dice = random.Random(1)
    both: list[Rtp] = []
    for side in (0, 1):
        both += packetized(
            side,
            case.payloads(side),
            ticks=case.ticks,
            payload_type=96,
            ssrc=side,
            start_ms=side * start_ms,
            clock_ppm=clock_ppm,
        )
    kept = [each for each in both if dice.random() >= loss]
    events = [codecs({"96": case.rtpmap}, side=side) for side in (0, 1)]
    return contents(kept, *events, duration_ms=max(each.arrival_ms for each in both) + 20)


def heard(given: Contents, rate: int) -> tuple[Samples, Samples]:
    rendering = Rendering(given, sample_rate=rate)  # type: ignore[arg-type]
    frames = rendering.block(0, rendering.frames)
    return frames[:, 0], frames[:, 1]


@pytest.mark.parametrize("name", CASES)
def test_speech_is_heard_as_it_was_spoken_on_its_own_channel(name: str) -> None:
    case = CASES[name]
    given = recording(case, start_ms=500)
    assert Rendering(given).sample_rate == case.best_rate
    channels = heard(given, case.rate)
    for side, channel in enumerate(channels):
        said = spoken(side, case.rate)
        assert abs(lag_samples(said, channel) * 1000 / case.rate - 500 * side) < 7.5  # Opus looks ahead by 6.5 ms
        assert intelligibility(said, channel, case.rate) > case.stoi
        assert perceived(said, channel, case.rate) > case.pesq
    narrow = heard(given, 8000)
    assert judge(spoken(0, 8000), narrow[0]).faults(seconds=12, correlation=0.8) == []
    assert judge(spoken(0, 8000), narrow[1]).worst < 0.3


@pytest.mark.parametrize(("name", "decoder"), [("G.722", "g722"), ("GSM", "gsm")])
def test_decoded_is_what_ffmpeg_decodes(name: str, decoder: str) -> None:
    case = CASES[name]
    expected = decoded(case.payloads(0), decoder, case.rate)
    assert np.array_equal(heard(recording(case), case.rate)[0][: len(expected)], expected)


@pytest.mark.parametrize("name", CASES)
def test_five_percent_lost_stay_intelligible_and_better_than_silence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    given = recording(case, loss=0.05)
    said, got = spoken(0, case.rate), heard(given, case.rate)[0]
    quality = Rendering(given).quality.sides[0]
    assert quality.lost > 20
    assert quality.concealed_ms == pytest.approx(quality.lost * 20, rel=0.05)
    monkeypatch.setattr(concealment, "MAX_CONCEALED_MS", 0)
    silent = heard(given, case.rate)[0]
    assert intelligibility(said, got, case.rate) > case.lossy_stoi
    assert intelligibility(said, got, case.rate) > intelligibility(said, silent, case.rate) + 0.01
    assert perceived(said, got, case.rate) > perceived(said, silent, case.rate) + 0.2


def test_opus_brings_lost_packets_back_from_the_copies_in_the_next_ones() -> None:
    said = spoken(0, 16_000)
    scores = {}
    for options in ({}, {"fec": "1", "packet_loss": "20"}):
        case = replace(CASES["Opus"], payloads=opus(b="24000", **options))
        scores[bool(options)] = intelligibility(said, heard(recording(case, loss=0.1), 16_000)[0], 16_000)
    assert scores[True] > scores[False] + 0.03, scores


@pytest.mark.parametrize("frame_ms", [10, 40, 60])
def test_opus_packets_of_any_length_are_placed(frame_ms: int) -> None:
    options = {"application": "voip", "b": "24000", "frame_duration": str(frame_ms)}
    payloads = encoded(spoken(0, 48_000), "libopus", 48_000, 48 * frame_ms, **options)
    packets = packetized(0, payloads, ticks=48 * frame_ms, frame_ms=frame_ms, payload_type=96)
    given = contents(packets, codecs({"96": "opus/48000/2"}), duration_ms=len(payloads) * frame_ms)
    channel = heard(given, 8000)[0]
    assert judge(spoken(0, 8000), channel).faults(seconds=12, correlation=0.8, drift_ms=1) == []


def test_opus_that_sends_nothing_while_nobody_speaks_is_no_loss() -> None:
    """As an encoder with DTX does: a packet every 400 ms, sequence numbers without gaps, timestamps that go on."""
    payloads = opus(b="24000")(0)
    spoken_until, quiet_until = 200, 400
    quiet = [payloads[-10 + index % 10] for index in range(quiet_until - spoken_until)]
    payloads = payloads[:spoken_until] + quiet + payloads[spoken_until:]
    packets = packetized(0, payloads, ticks=960, payload_type=96)
    kept = [each for each in packets if not spoken_until <= each.sequence < quiet_until or each.sequence % 20 == 0]
    sent = [replace(each, sequence=index) for index, each in enumerate(kept)]
    given = contents(sent, codecs({"96": "opus/48000/2"}), duration_ms=len(payloads) * 20)
    quality = Rendering(given).quality.sides[0]
    assert (quality.lost, quality.concealed_ms) == (0, 0)
    assert quality.comfort_noise_ms == 20 * (quiet_until - spoken_until - 10)
    channel, said = heard(given, 8000)[0], spoken(0, 8000)
    assert judge(said[: 4 * 8000], channel[: 4 * 8000]).faults(seconds=3, correlation=0.8) == []
    assert judge(said[4 * 8000 :], channel[8 * 8000 :]).faults(seconds=8, correlation=0.8) == []
    assert channel[5 * 8000 : 7 * 8000].std() < 0.1 * said.std()


def test_codecs_that_change_in_the_middle_of_a_call_go_on_in_their_place() -> None:
    """PCMU, then G.722 with the same SSRC and clock, then Opus with another clock rate; after re-INVITEs."""
    narrow, wide, opus_payloads = g711(PCMU)(0), g722(0), opus(b="32000")(0)
    packets = packetized(0, narrow, payload_type=0)[:200]
    packets += [replace(each, payload_type=9) for each in packetized(0, wide, payload_type=9)[200:450]]
    packets += packetized(0, opus_payloads, ticks=960, payload_type=111)[450:]
    given = contents(packets, codecs({"111": "opus/48000/2"}, ms=8990), duration_ms=len(narrow) * 20)
    rendering = Rendering(given)
    assert rendering.sample_rate == 48_000
    assert rendering.quality.sides[0].codecs == ("PCMU/8000", "G722/8000", "opus/48000/2")
    channel = heard(given, 8000)[0]
    assert judge(spoken(0, 8000), channel).faults(seconds=12, correlation=0.8) == []
    assert intelligibility(spoken(0, 8000), channel, 8000) > 0.93  # Opus is 6.5 ms late, so no one lag fits all


@pytest.mark.parametrize("name", ["PCMU", "G.722", "Opus"])
def test_any_block_is_the_same_as_in_the_whole_in_every_kind_of_codec(name: str) -> None:
    case = CASES[name]
    looped = replace(case, payloads=lambda voice: list(case.payloads(voice)) * 3)
    given = recording(looped, loss=0.03, clock_ppm=-180)
    whole = Rendering(given).block(0, 1 << 40)
    scattered = Rendering(given)
    assert len(whole) == scattered.frames > 2 * CELL_SECONDS * case.best_rate
    dice = random.Random(2)
    for _ in range(30):
        first, count = dice.randrange(len(whole)), dice.choice([1, 100, 5000])
        assert np.array_equal(scattered.block(first, count), whole[first : first + count])


@pytest.mark.parametrize("name", ["G.722", "Opus"])
def test_where_two_cells_meet_nothing_is_heard(name: str) -> None:
    """A decoder that remembers starts anew with each cell, a second before it: what differs is far below the speech."""
    case = CASES[name]
    looped = replace(case, payloads=lambda voice: list(case.payloads(voice)) * 3)
    frames = Rendering(recording(looped)).block(0, 1 << 40)[:, 0]
    seam = CELL_SECONDS * case.best_rate
    period = len(case.payloads(0)) * case.best_rate // 50
    around = frames[seam - 500 : seam + 500].astype(float)
    elsewhere = frames[seam + period - 500 : seam + period + 500].astype(float)  # the same words, within a cell
    assert np.abs(around - elsewhere).max() < 0.02 * np.abs(frames).max()
