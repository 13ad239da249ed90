"""The stories of calls that ended: the last thousand, in memory. Running calls are the switchboard's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

ENDED_LIMIT = 1000  # about 5 KB each


class Archive:
    def __init__(self) -> None:
        self._stories: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def keep(self, call_id: str, story: Mapping[str, Any]) -> None:
        self._stories[call_id] = story
        while len(self._stories) > ENDED_LIMIT:
            self._stories.popitem(last=False)

    def story(self, call_id: str) -> Mapping[str, Any] | None:
        return self._stories.get(call_id)

    def newest(self, limit: int) -> list[Mapping[str, Any]]:
        return [story for _, story in zip(range(limit), reversed(self._stories.values()), strict=False)]
