"""Who wants to be woken when, without looking at everybody: a heap in which outdated entries are passed over.

An item has one entry that counts. If its deadline moves later or goes away, the entry stays and is corrected when it
comes up. So ``deadline`` may be too early, never too late, and stopping a timer costs nothing.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

__all__ = ["Agenda", "Timed"]


class Timed(Protocol):
    """``entry`` belongs to the agenda: when the item will come up, None if it is not in the heap."""

    entry: float | None

    @property
    def deadline(self) -> float | None: ...


Item = TypeVar("Item", bound=Timed)


class Agenda(Generic[Item]):
    __slots__ = ("_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._serial = count()  # so that the heap never compares items

    @property
    def deadline(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def note(self, item: Item) -> None:
        """To be called whenever the item's deadline may have changed."""
        when = item.deadline
        if when is not None and (item.entry is None or when < item.entry):
            item.entry = when
            heappush(self._heap, (when, next(self._serial), item))

    def due(self, now: float) -> Item | None:
        """The next item whose deadline has come, taken out; it is noted again when it has been dealt with."""
        while self._heap and self._heap[0][0] <= now:
            when, _, item = heappop(self._heap)
            if item.entry != when:
                continue  # an earlier deadline was noted since, and has come up already
            item.entry = None
            if item.deadline is not None and item.deadline <= now:
                return item
            self.note(item)
        return None
