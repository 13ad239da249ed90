"""What can be encoded: two channels of samples, reachable anywhere. ``render.Rendering`` is one.

Left (0) is the calling party, right (1) the called one. Not responsible for where the samples come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]
Progress: TypeAlias = Callable[[float], None]  # told how much is done, from 0 to 1


class Sound(Protocol):
    @property
    def frames(self) -> int: ...

    @property
    def sample_rate(self) -> int: ...

    def block(self, first: int, count: int, /) -> Samples:
        """``count`` frames from ``first`` on, as (count, 2); all of them lie within the sound."""
        ...


def mono_mix(block: Samples) -> Samples:
    """Both parties on one channel at full level each, as a conference bridge mixes; limited where both shout."""
    both = block[:, 0].astype(np.int32) + block[:, 1]
    return np.asarray(np.clip(both, -32768, 32767), np.int16)


def unheard(progress: float) -> None:
    """For those who do not ask for progress."""
