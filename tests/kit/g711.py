"""G.711 for the kit, from the recommendation's own formula and independent of the product's engine.

Decoding is a table of 256 values; coding is the nearest value of that table, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tests.kit.speech import Samples

_Octets: TypeAlias = npt.NDArray[np.uint8]


def _expand_mu(code: int) -> int:
    inverted = ~code & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + 0x84) << ((inverted >> 4) & 7)
    return 0x84 - magnitude if inverted & 0x80 else magnitude - 0x84


def _expand_a(code: int) -> int:
    plain = code ^ 0x55
    segment = (plain >> 4) & 7
    magnitude = ((plain & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if plain & 0x80 else -magnitude


class Law:
    """One of the two companding laws."""

    def __init__(self, name: str, payload_type: int, expand: Callable[[int], int], silence: int) -> None:
        self.name = name
        self.payload_type = payload_type
        self.silence = silence
        self._values: Samples = np.array([expand(code) for code in range(256)], dtype=np.int16)
        order = np.argsort(self._values, kind="stable")
        ranked = self._values[order].astype(np.int32)
        # For every 16 bit value the code whose value lies nearest.
        edges = (ranked[:-1] + ranked[1:]) / 2
        self._codes: _Octets = order[np.searchsorted(edges, np.arange(-32768, 32768))].astype(np.uint8)

    def encode(self, samples: Samples) -> bytes:
        return self._codes[samples.astype(np.int32) + 32768].tobytes()

    def decode(self, payload: bytes) -> Samples:
        return self._values[np.frombuffer(payload, dtype=np.uint8)]


PCMU: Final = Law("PCMU", 0, _expand_mu, 0xFF)
PCMA: Final = Law("PCMA", 8, _expand_a, 0xD5)
LAWS: Final = {law.payload_type: law for law in (PCMU, PCMA)}
