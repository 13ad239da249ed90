"""Judges audio: is what was heard what was spoken, in every second and at one and the same delay?

One global lag is found first; then every full second of what was spoken is compared at that lag, give or take
``slack_ms`` (a phone's sample clock and jitter buffer are not the server's). A lost or inserted piece longer than the
slack therefore spoils every second after it; a shorter one shows as drift. A piece that was replaced by silence keeps
the correlation high, so it is counted on its own as dropped time.

It does not judge quality as people perceive it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tests.kit.speech import RATE, Samples

CORRELATION_LIMIT: Final = 0.9  # G.711 gives 0.99; a wrong or silent source stays under 0.15
GSM_CORRELATION_LIMIT: Final = 0.7  # GSM 06.10 gives 0.77 to 0.96: it keeps the spectrum, not the wave
DRIFT_LIMIT_MS: Final = 15.0  # below one 20 ms packet, so a lost packet is found
DROPPED_LIMIT_MS: Final = 0.0
SKEW_LIMIT_MS: Final = 20.0
_CROSSTALK_LIMIT: Final = 0.4
_FRAME: Final = RATE // 200  # 5 ms: a lost packet of 20 ms has at least one such frame with silent neighbours
_AUDIBLE: Final = 400.0  # RMS above which a frame of speech counts as spoken

_Wave: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``lag_ms``: where the beginning of what was spoken lies in what was heard; negative if its start was missed."""

    lag_ms: float
    correlations: tuple[float, ...]  # of each full second, in order
    lags_ms: tuple[float, ...]  # each second's own best lag
    dropped_ms: float

    @property
    def worst(self) -> float:
        return min(self.correlations, default=0.0)

    @property
    def drift_ms(self) -> float:
        return max(self.lags_ms) - min(self.lags_ms) if self.lags_ms else 0.0

    def faults(
        self,
        *,
        seconds: int = 1,
        correlation: float = CORRELATION_LIMIT,
        drift_ms: float = DRIFT_LIMIT_MS,
        dropped_ms: float = DROPPED_LIMIT_MS,
    ) -> list[str]:
        """What is wrong, in words; empty if at least ``seconds`` seconds were heard as they were spoken."""
        found = []
        if len(self.correlations) < seconds:
            found.append(f"{len(self.correlations)} s could be compared, expected {seconds}")
        if self.worst <= correlation:
            shown = " ".join(f"{value:.2f}" for value in self.correlations)
            found.append(f"correlation per second is {shown}, the limit is {correlation}")
        elif self.drift_ms > drift_ms:
            found.append(f"the delay drifts by {self.drift_ms:.1f} ms, the limit is {drift_ms}")
        elif self.dropped_ms > dropped_ms:
            found.append(f"{self.dropped_ms:.0f} ms of speech were silent, the limit is {dropped_ms:.0f}")
        return found


@dataclass(frozen=True, slots=True)
class StereoVerdict:
    """Two channels against two voices. ``skew_ms``: how much the right channel is late against the left one."""

    left: Verdict
    right: Verdict
    crosstalk: float  # the best correlation of a voice with the other one's channel
    skew_ms: float

    def faults(
        self,
        *,
        seconds: int = 1,
        correlation: float = CORRELATION_LIMIT,
        drift_ms: float = DRIFT_LIMIT_MS,
        dropped_ms: float = DROPPED_LIMIT_MS,
        skew_ms: float | None = SKEW_LIMIT_MS,
    ) -> list[str]:
        """As for one channel; ``skew_ms=None`` where it is not known when the phones began to speak."""
        found = []
        for name, verdict in (("left", self.left), ("right", self.right)):
            faults = verdict.faults(seconds=seconds, correlation=correlation, drift_ms=drift_ms, dropped_ms=dropped_ms)
            found += [f"{name} channel: {fault}" for fault in faults]
        if self.crosstalk > _CROSSTALK_LIMIT:
            found.append(f"a voice is on the other one's channel (correlation {self.crosstalk:.2f})")
        if skew_ms is not None and not found and abs(self.skew_ms) > skew_ms:
            found.append(f"the channels are {self.skew_ms:.1f} ms apart, the limit is {skew_ms}")
        return found


def judge(spoken: Samples, heard: Samples, *, slack_ms: float = 20.0) -> Verdict:
    said, got = spoken.astype(np.float64), heard.astype(np.float64)
    lag = _global_lag(said, got)
    slack = int(slack_ms * RATE / 1000)
    correlations, lags = [], []
    for start in range(0, len(said) - RATE + 1, RATE):
        if start + lag < 0 or start + lag + RATE > len(got):
            continue  # the window was not recorded as a whole
        score, shift = best_match(said[start : start + RATE], got, start + lag, slack)
        correlations.append(score)
        lags.append((lag + shift) * 1000 / RATE)
    return Verdict(lag * 1000 / RATE, tuple(correlations), tuple(lags), _dropped_ms(said, got, lag))


def correlation_limit(codec: str) -> float:
    """What every second of good audio exceeds behind that codec."""
    return GSM_CORRELATION_LIMIT if codec.upper().startswith("GSM") else CORRELATION_LIMIT


def ear_faults(
    spoken: Samples,
    heard: Samples,
    *,
    seconds: int,
    settling_s: float = 0.0,
    correlation: float = CORRELATION_LIMIT,
) -> list[str]:
    """What is wrong with what came out of a real phone. Its jitter buffer may slip or conceal a little, no more.

    ``settling_s``: so long at the beginning the phone is known to find its buffer's depth by throwing audio away.
    """
    settled = heard[int(settling_s * RATE) :]
    limits = {"drift_ms": 45.0, "dropped_ms": 100.0} if settling_s else {"drift_ms": 25.0, "dropped_ms": 40.0}
    return judge(spoken, settled).faults(seconds=seconds, correlation=correlation, **limits)


def judge_stereo(
    caller: Samples, called: Samples, recording: tuple[Samples, ...], *, called_starts_ms: float = 0.0
) -> StereoVerdict:
    """``called_starts_ms``: how much later than the caller the called party began to speak, by the clock."""
    if len(recording) != 2:
        raise ValueError(f"a recording has two channels, this one has {len(recording)}")
    left, right = judge(caller, recording[0]), judge(called, recording[1])
    crossed = (judge(caller, recording[1]), judge(called, recording[0]))
    crosstalk = max((value for verdict in crossed for value in verdict.correlations), default=0.0)
    skew = right.lag_ms - left.lag_ms - called_starts_ms
    return StereoVerdict(left, right, crosstalk, skew)


def _global_lag(said: _Wave, got: _Wave) -> int:
    if not len(said) or not len(got):
        return 0
    size = 1 << (len(said) + len(got) - 1).bit_length()
    spectrum = np.fft.rfft(got, size) * np.conj(np.fft.rfft(said, size))
    product = np.fft.irfft(spectrum, size)
    peak = int(np.argmax(product))
    return peak if peak < len(got) else peak - size


def best_match(piece: _Wave, got: _Wave, at: int, slack: int) -> tuple[float, int]:
    """The best normalised correlation of ``piece`` with ``got`` around ``at``, and its shift against ``at``."""
    first = max(0, at - slack)
    around = got[first : at + len(piece) + slack]
    products = np.correlate(around, piece, mode="valid")
    energy = np.concatenate(([0.0], np.cumsum(around**2)))
    norms = np.sqrt((energy[len(piece) :] - energy[: -len(piece)]) * np.dot(piece, piece))
    scores = products / np.maximum(norms, 1.0)
    best = int(np.argmax(scores))
    return float(scores[best]), first + best - at


def _dropped_ms(said: _Wave, got: _Wave, lag: int) -> float:
    """How much at least of what was spoken aloud is silence where it should have been heard."""
    sounding = np.flatnonzero(np.abs(got) > _AUDIBLE)
    if not len(sounding):
        return 0.0
    # Silence before the first sound is a late start, silence after the last one an early end: lag and length tell.
    first, last = max(0, int(sounding[0]) - lag), min(len(said), int(sounding[-1]) - lag)
    frames = max(0, last - first) // _FRAME
    if not frames:
        return 0.0
    loud = _levels(said[first : first + frames * _FRAME])
    quiet = _levels(got[first + lag : first + lag + frames * _FRAME])
    # A frame only counts if its neighbours are silent too: a phone's clock may have slipped by part of a frame.
    padded = np.concatenate((quiet[:1], quiet, quiet[-1:]))
    around = np.maximum(np.maximum(padded[:-2], padded[2:]), quiet)
    dropped = (loud > _AUDIBLE) & (around < loud * 0.02)
    return float(dropped.sum() * 1000 * _FRAME / RATE)


def _levels(wave: _Wave) -> _Wave:
    return np.asarray(np.sqrt((wave.reshape(-1, _FRAME) ** 2).mean(axis=1)))
