"""How many calls a second may be sent to another media server after they have lost theirs. Pure: ``now`` goes in.

A thousand calls that arrive at the next server at the same moment would drown it, and then the one after it. Who loses
nothing by waiting a moment longer waits: the first ones are back at once, the others in the order in which they came.
"""

from __future__ import annotations

from typing import Final

# Two cores, which also run the phones, move a hundred recorded calls in half a second (`tests/e2e/test_failover.py`):
# to move one takes no digest, no routing, no ringing. A thousand calls take five seconds.
CALLS_PER_S: Final = 200.0
AT_ONCE: Final = 20


class Turnstile:
    """A token bucket: ``AT_ONCE`` calls pass, then one after the other."""

    def __init__(self, per_s: float = CALLS_PER_S, at_once: int = AT_ONCE) -> None:
        self._step_s = 1.0 / per_s
        self._ahead_s = (at_once - 1) * self._step_s
        self._next_at = float("-inf")  # when the bucket is full again but for one

    def wait_s(self, now: float) -> float:
        """How long this one has to wait; its place is taken with that."""
        self._next_at = max(self._next_at, now - self._ahead_s)
        wait_s = max(0.0, self._next_at - now)
        self._next_at += self._step_s
        return wait_s
