"""The judge must be able to fail: everything it is there to find is put in front of it here."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kit.g711 import PCMA, PCMU, Law
from tests.kit.judge import judge, judge_stereo
from tests.kit.speech import RATE, Samples, silence, speech

ALICE, BOB = speech(1, 8), speech(2, 8)


def delayed(samples: Samples, ms: float) -> Samples:
    return np.concatenate((silence(ms / 1000), samples))


def without(samples: Samples, at_s: float, ms: float) -> Samples:
    first = int(at_s * RATE)
    return np.concatenate((samples[:first], samples[first + int(ms * RATE / 1000) :]))


def muted(samples: Samples, at_s: float, ms: float) -> Samples:
    changed = samples.copy()
    changed[int(at_s * RATE) : int((at_s + ms / 1000) * RATE)] = 0
    return changed


def test_what_was_spoken_is_recognised_in_every_second() -> None:
    verdict = judge(ALICE, ALICE)
    assert verdict.faults(seconds=8) == []
    assert verdict.lag_ms == 0


@pytest.mark.parametrize("law", [PCMU, PCMA], ids=lambda law: law.name)
def test_a_telephone_codec_is_recognised(law: Law) -> None:
    heard = law.decode(law.encode(ALICE))
    verdict = judge(ALICE, heard)
    assert verdict.faults(seconds=8) == []
    assert verdict.worst > 0.99


def test_a_delay_is_found_and_is_no_fault() -> None:
    verdict = judge(ALICE, delayed(ALICE, 340))
    assert verdict.faults(seconds=8) == []
    assert verdict.lag_ms == pytest.approx(340)


def test_a_missed_start_is_found_as_a_negative_delay() -> None:
    verdict = judge(ALICE, ALICE[RATE:])
    assert verdict.lag_ms == pytest.approx(-1000)
    assert verdict.faults(seconds=7) == []
    assert verdict.faults(seconds=8) != []


@pytest.mark.parametrize("seed", range(2, 22))
def test_no_other_voice_passes_in_any_second(seed: int) -> None:
    verdict = judge(ALICE, speech(seed, 8))
    assert verdict.faults() != []
    assert max(verdict.correlations) < 0.4


def test_silence_fails() -> None:
    verdict = judge(ALICE, silence(8))
    assert verdict.worst == 0
    assert verdict.faults() != []


def test_nothing_at_all_fails() -> None:
    assert judge(ALICE, silence(0)).faults() != []


def test_noise_at_the_level_of_speech_fails() -> None:
    noise = np.random.default_rng(5).normal(0, 2000, len(ALICE)).astype(np.int16)
    assert judge(ALICE, noise).faults() != []


def test_a_lost_piece_of_100_ms_fails() -> None:
    verdict = judge(ALICE, without(ALICE, 4.0, 100))
    assert verdict.worst < 0.5
    assert verdict.faults() != []


def test_an_inserted_piece_of_100_ms_fails() -> None:
    heard = np.concatenate((ALICE[: 4 * RATE], silence(0.1), ALICE[4 * RATE :]))
    assert judge(ALICE, heard).faults() != []


def test_a_lost_packet_is_found_as_drift_of_its_length() -> None:
    verdict = judge(ALICE, without(ALICE, 4.0, 20))
    assert verdict.drift_ms == pytest.approx(20)
    assert any("drifts" in fault for fault in verdict.faults())


def test_100_ms_replaced_by_silence_fail_although_the_correlation_stays_high() -> None:
    verdict = judge(ALICE, muted(ALICE, 4.3, 100))
    assert verdict.worst > 0.9
    assert verdict.dropped_ms >= 40
    assert verdict.faults() != []


def test_one_bad_second_among_good_ones_fails() -> None:
    heard = ALICE.copy()
    heard[3 * RATE : 4 * RATE] = BOB[3 * RATE : 4 * RATE]
    assert judge(ALICE, heard).faults() != []


def test_a_good_stereo_recording_passes() -> None:
    verdict = judge_stereo(ALICE, BOB, (ALICE, BOB))
    assert verdict.faults(seconds=8) == []
    assert verdict.skew_ms == 0


def test_swapped_channels_fail() -> None:
    verdict = judge_stereo(ALICE, BOB, (BOB, ALICE))
    assert verdict.crosstalk > 0.9
    assert verdict.faults() != []


def test_both_voices_on_one_channel_fail() -> None:
    mixed = np.asarray((ALICE.astype(np.int32) + BOB) // 2, dtype=np.int16)
    assert any("other one's channel" in fault for fault in judge_stereo(ALICE, BOB, (mixed, BOB)).faults())


def test_channels_shifted_against_each_other_by_more_than_20_ms_fail() -> None:
    verdict = judge_stereo(ALICE, BOB, (ALICE, delayed(BOB, 25)))
    assert verdict.skew_ms == pytest.approx(25)
    assert any("ms apart" in fault for fault in verdict.faults())
    assert judge_stereo(ALICE, BOB, (ALICE, delayed(BOB, 15))).faults() == []


def test_a_called_party_who_speaks_later_is_not_skew() -> None:
    verdict = judge_stereo(ALICE, BOB, (ALICE, delayed(BOB, 250)), called_starts_ms=250)
    assert verdict.skew_ms == pytest.approx(0)
    assert verdict.faults() == []


def test_speech_is_the_same_for_the_same_seed_and_never_silent_for_a_second() -> None:
    assert np.array_equal(speech(7, 20), speech(7, 20))
    levels = np.sqrt((speech(7, 20).astype(float).reshape(-1, RATE) ** 2).mean(axis=1))
    assert levels.min() > 500
