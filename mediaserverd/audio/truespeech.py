"""TrueSpeech (DSP Group, WAV format tag 0x0022) out of samples: 8 kHz, one channel, 8.5 kbit/s, frames of 30 ms.

The encoder is ours (``engine/codec/truespeech_*``): it follows the receiver's decoder to the bit and chooses what will
sound most like the source. Decoding is done by ``codec.decode`` as for any other codec, under the name X-TRUESPEECH.
"""

from __future__ import annotations

import struct
from typing import Final

from mediaserverd.audio._codec import TruespeechEncoder
from mediaserverd.audio.codec import Samples

FRAME_SAMPLES: Final = 240
FRAME_BYTES: Final = 32
WAV_TAG: Final = 0x0022

_REVISION: Final = 1  # TrueSpeech 8.5
_RESERVED: Final = 28


def encode(samples: Samples) -> bytes:
    """``samples``: contiguous, at 8000 Hz. Frames are in step with them; the last one is filled up with silence."""
    encoder = TruespeechEncoder()
    return encoder.encode(samples) + encoder.finish()


def wav_format_extra() -> bytes:
    """What follows the size of the extension in the fmt chunk. There, a sample has 1 bit: the format wants a number."""
    return struct.pack("<HH", _REVISION, FRAME_SAMPLES) + bytes(_RESERVED)
