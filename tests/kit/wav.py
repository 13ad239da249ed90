"""WAV files: 16 bit PCM, PCMU or PCMA, one channel or two; read as 8 kHz from any rate, written as PCM.

Python's own ``wave`` reads PCM alone. Anything that is not a well-formed file raises ``WavError``: a recording that
opens here is one that an ordinary player opens.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np
import soxr

from tests.kit import g711
from tests.kit.speech import RATE, Samples

_PCM: Final = 1
_LAWS: Final = {6: g711.PCMA, 7: g711.PCMU}


class WavError(Exception):
    pass


def write_wav(path: Path, *channels: Samples, rate: int = RATE) -> None:
    length = max(map(len, channels))
    frames = np.zeros((length, len(channels)), dtype="<i2")
    for index, samples in enumerate(channels):
        frames[: len(samples), index] = samples
    data = frames.tobytes()
    width = 2 * len(channels)
    form = struct.pack("<HHIIHH", _PCM, len(channels), rate, rate * width, width, 16)
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"data", data)
    path.write_bytes(_chunk(b"RIFF", body))


def read_wav(source: Path | bytes) -> tuple[Samples, ...]:
    """The channels of a file, left first."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("not a RIFF/WAVE file")
    if struct.unpack_from("<I", data, 4)[0] + 8 != len(data):
        raise WavError(f"RIFF says {struct.unpack_from('<I', data, 4)[0] + 8} octets, the file has {len(data)}")
    chunks = _chunks(data[12:])
    if b"fmt " not in chunks or b"data" not in chunks:
        raise WavError(f"a fmt or data chunk is missing, there is {sorted(chunks)}")
    code, count, rate, _, width, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if width != count * bits // 8 or len(chunks[b"data"]) % width:
        raise WavError("the data does not divide into frames")
    channels = _split(_samples(code, bits, chunks[b"data"]), count)
    return channels if rate == RATE else tuple(soxr.resample(channel, rate, RATE) for channel in channels)


def _samples(code: int, bits: int, data: bytes) -> Samples:
    if code == _PCM and bits == 16:
        return np.frombuffer(data, dtype="<i2").astype(np.int16)
    if code in _LAWS and bits == 8:
        return _LAWS[code].decode(data)
    raise WavError(f"format {code} with {bits} bits")


def _split(samples: Samples, count: int) -> tuple[Samples, ...]:
    return tuple(np.ascontiguousarray(samples[index::count]) for index in range(count))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    position = 0
    while position + 8 <= len(data):
        name, length = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if position + 8 + length > len(data):
            raise WavError(f"chunk {name!r} runs past the end of the file")
        found[name] = data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    return found
