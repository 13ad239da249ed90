"""Codings of constant rate: samples -> bytes, block by block. PCM, G.711, GSM 06.10, TrueSpeech.

Codings with a memory are encoded in segments: each begins anew, with ``WARM_UP`` samples of what came before it that
are thrown away. What a segment's bytes are then depends on nothing else, so any part of a file can be made without the
parts before it, byte for byte the same. By then the memory is that of an encoder which never stopped, or so near it
that nobody hears a seam. Not responsible for files or packets around the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio import _codec, truespeech
from mediaserverd.audio.sound import Samples

Encoder: TypeAlias = Callable[[Samples], bytes]

# Multiples of the blocks of GSM in WAV (320 samples) and of TrueSpeech (240 samples): blocks never straddle segments.
SEGMENT: Final = 240_000
SEGMENT_S: Final = SEGMENT // 8000
WARM_UP: Final = 7_680  # 0.96 s; the longest memory of them, GSM's long-term predictor, reaches back 15 ms at a time


@dataclass(frozen=True, slots=True)
class Coding:
    """``block_samples`` of one channel become ``block_bytes``. A coding with a memory takes one channel alone."""

    block_samples: int
    block_bytes: int
    encoder: Encoder
    has_memory: bool = False

    def bytes_of(self, samples: int) -> int:
        return -(-samples // self.block_samples) * self.block_bytes

    def encode(self, samples: Samples, warm_up: Samples | None = None) -> bytes:
        """Whole blocks: the last is filled up with silence. ``warm_up``: what was heard before, in whole blocks too."""
        before = 0 if warm_up is None else len(warm_up) // self.block_samples * self.block_bytes
        parts = [samples] if warm_up is None else [warm_up, samples]
        missing = -len(samples) % self.block_samples
        if missing:
            parts.append(np.zeros((missing, *samples.shape[1:]), np.int16))
        return self.encoder(np.ascontiguousarray(np.concatenate(parts) if len(parts) > 1 else parts[0]))[before:]


def _nearest(decoded: Samples) -> npt.NDArray[np.uint8]:
    """For each 16 bit sample (as an unsigned index) the code that decodes nearest to it."""
    codes = np.argsort(decoded, kind="stable")
    ladder = decoded[codes].astype(np.int32)
    rungs = np.searchsorted((ladder[1:] + ladder[:-1] + 1) // 2, np.arange(-32768, 32768), side="right")
    return np.roll(codes[rungs], 32768).astype(np.uint8)


def mu_law() -> Samples:
    """What each code of G.711 mu-law decodes to."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << (code >> 4 & 0x07)
    return np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int16)


def a_law() -> Samples:
    """What each code of G.711 A-law decodes to."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = code >> 4 & 0x07
    step = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _by_table(table: npt.NDArray[np.uint8]) -> Encoder:
    return lambda samples: table[samples.view(np.uint16)].tobytes()


PCM: Final = Coding(1, 2, lambda samples: samples.astype("<i2", copy=False).tobytes())
NETWORK_PCM: Final = Coding(1, 2, lambda samples: samples.astype(">i2").tobytes())  # L16 of RFC 3551 4.5.11
PCMU: Final = Coding(1, 1, _by_table(_nearest(mu_law())))
PCMA: Final = Coding(1, 1, _by_table(_nearest(a_law())))
GSM: Final = Coding(160, 33, _codec.encode_gsm, has_memory=True)
GSM_PAIRS: Final = Coding(320, 65, _codec.encode_gsm_pairs, has_memory=True)  # as in WAV: two frames of 260 bits
TRUESPEECH: Final = Coding(truespeech.FRAME_SAMPLES, truespeech.FRAME_BYTES, truespeech.encode, has_memory=True)
