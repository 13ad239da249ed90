"""The pools of RTP ports: even ones, RTCP on the odd port above (RFC 3550 section 11). Not responsible for sockets.

A port that was given back is taken again last, so that stray packets of its former call meet nobody. There is a pool
for each range that somebody's sessions take their ports from; where ranges overlap, a port is still given once.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from mediaserverd.media import metrics

MAX_RANGES: Final = 64  # each costs a list of its ports; a site has one, or one for each controller


@dataclass(slots=True, eq=False)
class _Pool:
    ports: range
    free: deque[int]  # ports of it that are in use through another pool among them
    used: int = 0  # by whichever pool


class Ports:
    """Ranges are written LOW-HIGH."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}
        self._used: dict[int, _Pool] = {}  # port -> where it goes back to
        metrics.PORTS_USED.set_function(lambda: len(self._used))
        metrics.PORTS_TOTAL.set_function(lambda: len(set().union(*(pool.ports for pool in self._pools.values()))))

    def take(self, of: str, count: int) -> tuple[int, ...] | None:
        """``count`` ports, or None if there are not so many."""
        pool = self._pool(of)
        if len(pool.ports) - pool.used < count:
            return None
        taken: list[int] = []
        while len(taken) < count:
            port = pool.free.popleft()
            (pool.free if port in self._used else taken).append(port)
        for port in taken:
            self._used[port] = pool
            self._count(port, 1)
        return tuple(taken)

    def give_back(self, ports: tuple[int, ...]) -> None:
        for port in ports:
            self._used.pop(port).free.append(port)
            self._count(port, -1)

    def free(self, of: str) -> int:
        pool = self._pool(of)
        return len(pool.ports) - pool.used

    @property
    def used(self) -> int:
        return len(self._used)

    def _pool(self, of: str) -> _Pool:
        if of not in self._pools:
            if len(self._pools) >= MAX_RANGES:
                self._forget_unused()
            self._pools[of] = self._made(of)
        return self._pools[of]

    def _forget_unused(self) -> None:
        used = {id(pool) for pool in self._used.values()}
        self._pools = {of: pool for of, pool in self._pools.items() if id(pool) in used}

    def _made(self, of: str) -> _Pool:
        low, _, high = of.partition("-")
        ports = range(int(low) + int(low) % 2, int(high), 2)
        shuffled = list(ports)
        random.SystemRandom().shuffle(shuffled)  # a port that can be guessed invites strangers to send to it
        return _Pool(ports, deque(shuffled), sum(port in ports for port in self._used))

    def _count(self, port: int, change: int) -> None:
        for pool in self._pools.values():
            if port in pool.ports:
                pool.used += change
