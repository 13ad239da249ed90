"""Warnings about peers that misbehave: one log line per source and interval, however often it does."""

from __future__ import annotations

import time
from collections import OrderedDict

import structlog

log = structlog.get_logger()

INTERVAL_S = 60.0
SOURCE_LIMIT = 10_000  # sources remembered; a flood from more addresses than that may log a source twice


class Complaints:
    """``event`` is the name of the log line."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._sources: OrderedDict[str, tuple[float, int]] = OrderedDict()  # source -> last line, silent ones since

    def note(self, source: str, reason: str, transport: str) -> None:
        now = time.monotonic()
        last, silent = self._sources.pop(source, (-INTERVAL_S, 0))
        if now - last < INTERVAL_S:
            self._sources[source] = (last, silent + 1)
            return
        self._sources[source] = (now, 0)
        if len(self._sources) > SOURCE_LIMIT:
            self._sources.popitem(last=False)
        log.warning(self._event, source=source, transport=transport, reason=reason, not_logged_before=silent)
