"""The native codecs, as the rest of the package calls them. The only module that imports ``_codec`` to decode."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio import _codec

Samples: TypeAlias = npt.NDArray[np.int16]

DECODERS: Final = frozenset({"PCMU", "PCMA", "G722", "GSM", "OPUS", "L16", "X-TRUESPEECH"})
OPUS_RATES: Final = frozenset({8000, 12000, 16000, 24000, 48000})  # what libopus decodes to

decode = _codec.decode
comfort_noise = _codec.comfort_noise


@lru_cache(maxsize=16)
def resampler(source_rate: int, target_rate: int) -> _codec.Resampler:
    """Its table takes 130 KB and some milliseconds to make; it has no state."""
    return _codec.Resampler(source_rate / target_rate)
