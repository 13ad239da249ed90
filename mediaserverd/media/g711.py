"""G.711 by table: mu-law and A-law bytes <-> 16 bit samples. Nothing else."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]
Bytes: TypeAlias = npt.NDArray[np.uint8]


def _mu_law_values() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << (code >> 4 & 0x07)
    return np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int16)


def _a_law_values() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = code >> 4 & 0x07
    step = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _nearest(values: Samples) -> Bytes:
    """For each 16 bit sample (as an unsigned index) the code that decodes nearest to it."""
    codes = np.argsort(values, kind="stable")
    ladder = values[codes].astype(np.int32)
    rungs = np.searchsorted((ladder[1:] + ladder[:-1] + 1) // 2, np.arange(-32768, 32768), side="right")
    return np.roll(codes[rungs], 32768).astype(np.uint8)


MU_LAW: Final = _mu_law_values()
A_LAW: Final = _a_law_values()
_TO_MU_LAW: Final = _nearest(MU_LAW)
_TO_A_LAW: Final = _nearest(A_LAW)


def to_mu_law(samples: Samples) -> Bytes:
    return _TO_MU_LAW[samples.view(np.uint16)]


def to_a_law(samples: Samples) -> Bytes:
    return _TO_A_LAW[samples.view(np.uint16)]
