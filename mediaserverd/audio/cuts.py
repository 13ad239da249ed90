"""What cutting pauses out (``omit``) does to times: where something is heard that was recorded at a given time. Pure.

Needs no samples, so that whoever only reckons with times need not load what works on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

BEEP_MS: Final = 200  # marks the place

Cuts: TypeAlias = Sequence[tuple[int, int]]  # from, to: in ms of the recording, one behind the other


def heard_ms(cuts: Cuts, recorded_ms: int) -> int:
    """How much is heard of what was recorded before that."""
    begun = [(start, min(end, recorded_ms)) for start, end in cuts if start < recorded_ms]
    return recorded_ms - sum(end - start for start, end in begun) + len(begun) * BEEP_MS
