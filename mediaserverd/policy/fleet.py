"""The media servers as they stand, kept in the order in which selection wants them, so that no call sorts them all.

Not responsible for choosing (``selection``), nor for finding out how a server stands.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final

DEFAULT_LOCATION: Final = "default"

Rank = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class MediaServer:
    """A server as it stands. ``unavailable``: why it may not be used now (not connected, draining, at a limit); empty
    if it may. ``relays_only``: it cannot record, as an rtpengine."""

    name: str
    location: str = DEFAULT_LOCATION
    unavailable: str = ""
    cpu_permille: int = 0
    sessions: int = 0
    relays_only: bool = False

    @property
    def rank(self) -> Rank:
        """The most available first: CPU load in whole per cent (less is noise), then resources in use. The name keeps
        the order stable."""
        return self.cpu_permille // 10, self.sessions, self.name


class Fleet:
    """One server changes at a time, in O(log n) comparisons; nothing is copied to look at it."""

    def __init__(self, servers: Iterable[MediaServer] = ()) -> None:
        self._servers: dict[str, MediaServer] = {}
        self._everywhere = _Shelf()
        self._shelves: dict[str, _Shelf] = {}
        for server in servers:
            self.put(server)

    def __len__(self) -> int:
        return len(self._servers)

    def names(self) -> Collection[str]:
        return self._servers.keys()

    def get(self, name: str) -> MediaServer | None:
        return self._servers.get(name)

    def put(self, server: MediaServer) -> None:
        """How this server stands from now on."""
        before = self._servers.get(server.name)
        if before == server:
            return
        if before:
            self.remove(before.name)
        self._servers[server.name] = server
        self._everywhere.put(server)
        self._shelves.setdefault(server.location, _Shelf()).put(server)

    def remove(self, name: str) -> None:
        server = self._servers.pop(name)
        self._everywhere.take(server)
        self._shelves[server.location].take(server)

    def fit(self, locations: Collection[str]) -> Iterator[MediaServer]:
        """Those in these locations that may be used, the most available first."""
        shelves = [self._shelves[each].fit for each in locations if each in self._shelves]
        for rank in shelves[0] if len(shelves) == 1 else merge(*shelves):
            yield self._servers[rank[2]]

    def fit_elsewhere(self, excepted: Collection[str]) -> Iterator[MediaServer]:
        """Those in all other locations that may be used, the most available first."""
        for rank in self._everywhere.fit:
            server = self._servers[rank[2]]
            if server.location not in excepted:
                yield server

    def unfit(self, locations: Collection[str]) -> Iterator[MediaServer]:
        for location in locations:
            if location in self._shelves:
                yield from self._shelves[location].unfit.values()

    def unfit_elsewhere(self, excepted: Collection[str]) -> Iterator[MediaServer]:
        return (server for server in self._everywhere.unfit.values() if server.location not in excepted)


class _Shelf:
    """Some of the servers: ``fit`` is sorted."""

    __slots__ = ("fit", "unfit")

    def __init__(self) -> None:
        self.fit: list[Rank] = []
        self.unfit: dict[str, MediaServer] = {}

    def put(self, server: MediaServer) -> None:
        if server.unavailable:
            self.unfit[server.name] = server
        else:
            insort(self.fit, server.rank)

    def take(self, server: MediaServer) -> None:
        if server.unavailable:
            del self.unfit[server.name]
        else:
            del self.fit[bisect_left(self.fit, server.rank)]
