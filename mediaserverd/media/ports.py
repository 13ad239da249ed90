"""The pool of RTP ports: even ones, RTCP on the odd port above (RFC 3550 section 11). Not responsible for sockets.

A port that was given back is taken again last, so that stray packets of its former call meet nobody.
"""

from __future__ import annotations

import random
from collections import deque

from mediaserverd.media import metrics


class PortPool:
    def __init__(self, lowest: int, highest: int) -> None:
        ports = list(range(lowest + lowest % 2, highest, 2))
        random.SystemRandom().shuffle(ports)  # a port that can be guessed invites strangers to send to it
        self._free = deque(ports)
        self._used: set[int] = set()
        metrics.PORTS_TOTAL.set(len(ports))
        metrics.PORTS_USED.set_function(lambda: len(self._used))

    def take(self, count: int) -> tuple[int, ...] | None:
        """``count`` ports, or None if there are not so many."""
        if len(self._free) < count:
            return None
        taken = tuple(self._free.popleft() for _ in range(count))
        self._used.update(taken)
        return taken

    def give_back(self, ports: tuple[int, ...]) -> None:
        for port in ports:
            self._used.remove(port)
            self._free.append(port)

    @property
    def used(self) -> int:
        return len(self._used)

    @property
    def free(self) -> int:
        return len(self._free)
