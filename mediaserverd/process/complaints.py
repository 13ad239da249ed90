"""Warnings about peers that misbehave: one log line per source and interval, however often it does.

Sources of datagrams can be forged, so the lines of all sources together have a limit too.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

INTERVAL_S: Final = 60.0
SOURCE_LIMIT: Final = 10_000  # sources remembered: 1 MB
LINE_LIMIT: Final = 100  # lines in one interval, of all sources: 30 KB of log a minute, and enough to see who it is


class Complaints:
    """``event`` is the name of the log line."""

    def __init__(self, event: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._event = event
        self._clock = clock
        self._sources: OrderedDict[str, tuple[float, int]] = OrderedDict()  # source -> last line, silent ones since
        self._began = clock()
        self._lines = 0
        self._unnamed = 0  # complaints about sources that got no line of their own

    def note(self, source: str, reason: str, **further: str) -> None:
        """``further`` keys are for the line, if there is one."""
        now = self._clock()
        last, silent = self._sources.pop(source, (now - INTERVAL_S, 0))
        if now - last < INTERVAL_S or not self._has_room(now):
            self._sources[source] = (last, silent + 1)
        else:
            self._sources[source] = (now, 0)
            log.warning(self._event, source=source, reason=reason, not_logged_before=silent, **further)
        if len(self._sources) > SOURCE_LIMIT:
            self._sources.popitem(last=False)

    def _has_room(self, now: float) -> bool:
        if now - self._began >= INTERVAL_S:
            if self._unnamed:
                log.warning(f"{self._event}_by_many", sources_without_a_line=self._unnamed)
            self._began, self._lines, self._unnamed = now, 0, 0
        if self._lines >= LINE_LIMIT:
            self._unnamed += 1
            return False
        self._lines += 1
        return True
