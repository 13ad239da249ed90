"""What the phones of a crowd noticed of a media server that failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.e2e.crowd import Conversation
from tests.kit.rtp import Ear

_UNNOTICED_S: Final = 3.0


@dataclass(slots=True)
class Outage:
    """Begins when it is made. ``back`` waits until everybody hears again, and tells after how long each one did."""

    conversations: Sequence[Conversation]
    at: float = field(default_factory=time.monotonic)

    def ears(self) -> Iterator[Ear]:
        for one in self.conversations:
            yield one.caller.voice.ear
            yield one.called.voice.ear

    async def back(self, timeout_s: float) -> list[float]:
        """Seconds from the fault until the first packet after the pause that it made, of every ear."""
        deadline = self.at + timeout_s
        while waiting := [ear for ear in self.ears() if not self._hears_again(ear)]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(waiting)} of {2 * len(self.conversations)} hear nothing after {timeout_s} s")
            await asyncio.sleep(0.02)
        return [max(0.0, self._pause(ear) - self.at) for ear in self.ears()]

    def longest_pause_s(self) -> float:
        """Of any ear since then."""
        return max((end - start for ear in self.ears() for start, end in ear.pauses if end > self.at), default=0.0)

    def _hears_again(self, ear: Ear) -> bool:
        """Behind the pause; or there was none, and so much time has gone by that there will be none."""
        now = time.monotonic()
        hears_now = ear.last_at is not None and ear.last_at > now - 0.3
        return bool(self._pause(ear)) or (hears_now and now > self.at + _UNNOTICED_S)

    def _pause(self, ear: Ear) -> float:
        return next((end for _, end in ear.pauses if end > self.at), 0.0)
