"""Which packets of a voice are worth encoding: all but those that are digitally silent for a while already.

A room is never so quiet; what is dropped is where a decoder had nothing to say: holds, pauses, a line not yet answered.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio.sound import Samples

Flags: TypeAlias = npt.NDArray[np.bool_]

HOLD_MS: Final = 300  # of silence is encoded before a voice stops: the last packet of it is nothing but silent
A_LAW_IDLE: Final = 8  # A-law has no zero; its smallest value is silence


class SilenceGate:
    """Asked for packets in order. ``peak``: what is not above it is silence."""

    def __init__(self, packet_ms: int, peak: int = A_LAW_IDLE) -> None:
        self._hold = -(-HOLD_MS // packet_ms)
        self._peak = peak
        self._silent = 0  # packets, up to the last one asked for

    def open_for(self, packets: Samples) -> Flags:
        """``packets``: one in each row."""
        if not len(packets):
            return np.zeros(0, bool)
        spoken = (packets.max(axis=1) > self._peak) | (packets.min(axis=1) < -self._peak)
        number = np.arange(len(spoken))
        last_spoken = np.maximum.accumulate(np.where(spoken, number, -1 - self._silent))
        silent = number - last_spoken
        self._silent = min(int(silent[-1]), self._hold)
        return np.asarray(silent <= self._hold)
