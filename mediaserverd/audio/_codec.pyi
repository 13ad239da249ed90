"""Types of the native codecs (``engine/codec/``). Arrays are contiguous; each call gives the interpreter lock back.

``ValueError`` for arguments out of range.
"""

from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

_Samples: TypeAlias = npt.NDArray[np.int16]
_Octets: TypeAlias = npt.NDArray[np.uint8]
_Integers: TypeAlias = npt.NDArray[np.int64]

# Decoding (bind_decoding.cpp)

def decode(
    name: str,
    rate: int,
    channels: int,
    data: _Octets,
    start: _Integers,
    length: _Integers,
    at: _Integers,
    gap_at: _Integers,
    gap: _Integers,
    out: _Samples,
) -> None:
    """Decodes a row of packets of one stream, each to its place ``at`` in ``out``, and fills the gaps before them."""

def comfort_noise(payload: _Octets, place: int, out: _Samples) -> None: ...

# Encoding (bind_encoding.cpp). Each call begins anew; samples that do not fill a block are left out.

def encode_gsm(samples: _Samples) -> bytes:
    """33 octets for 160 samples, as in RTP."""

def encode_gsm_pairs(samples: _Samples) -> bytes:
    """65 octets for 320 samples, as in WAV."""

# TrueSpeech (bind_truespeech.cpp)

@final
class TruespeechEncoder:
    """Returns the frames that are ready, which come later than the samples that they are made of."""

    def __init__(self) -> None: ...
    def encode(self, samples: _Samples) -> bytes: ...
    def finish(self) -> bytes:
        """What is left, the last frame filled up with silence. Then the encoder is as new."""

# Mixing (bind_mixing.cpp)

@final
class Resampler:
    """``ratio``: source samples per output sample. ``reach``: source samples needed on each side of a place."""

    def __init__(self, ratio: float) -> None: ...
    @property
    def reach(self) -> int: ...
    def add(self, source: _Samples, position: float, step: float, out: _Samples) -> None:
        """Adds to ``out`` the source from ``position`` on, ``step`` source samples per output sample."""
