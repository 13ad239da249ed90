"""Calls that are to be recorded while no media server can: an alarm for each when that begins, and for how long it was.

Not responsible for finding a media server (``call``), nor for the account that the ledger gives of it.
"""

from __future__ import annotations

import structlog

from mediaserverd.controller import metrics
from mediaserverd.controller.live_call import LiveCall

log = structlog.get_logger()


class Unrecorded:
    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # by the id of the call, on its clock

    def __len__(self) -> int:
        return len(self._since)

    def note(self, live: LiveCall) -> None:
        """To be called whenever something may have changed in the call."""
        waiting = None if live.over else live.call.recordings.unserved
        if waiting is not None and live.id not in self._since:
            self._since[live.id] = live.now
            log.error(
                "call_unrecorded",
                call_id=live.id,
                recording_id=waiting.order.recording_id,
                media_server=live.call.media_server,
                advice="bring a media server back that can record: it goes on there, and the gap is accounted for",
            )
        elif waiting is None and live.id in self._since:
            seconds = live.now - self._since.pop(live.id)
            metrics.unrecorded_seconds.inc(seconds)
            goes_on = not live.over and live.call.recordings.current is not None
            log.warning("call_unrecorded_no_longer", call_id=live.id, after_s=round(seconds, 3), recorded_again=goes_on)
