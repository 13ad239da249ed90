"""What of a running call is kept on disk: noticed whenever it has changed, written soon, gone when the call ends.

Not responsible for the way back from a record to a running call (``live_call``), nor for the disk (``call_store``).
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mediaserverd.call.events import CALLER
from mediaserverd.call.phase import Phase
from mediaserverd.controller import metrics
from mediaserverd.controller.call_record import CallRecord, LegRecord, Moment, Told, written
from mediaserverd.controller.call_store import CallStore
from mediaserverd.controller.selecting import KEPT_CHOICES, shortened
from mediaserverd.controller.trace import Traces
from mediaserverd.protocol.sip.message import Response

if TYPE_CHECKING:
    from mediaserverd.controller.live_call import LiveCall
    from mediaserverd.controller.live_leg import LiveLeg


log = structlog.get_logger()


class Keeping:
    """Of one call."""

    def __init__(self, store: CallStore, traces: Traces) -> None:
        self._store = store
        self._traces = traces
        self.record: CallRecord | None = None  # the newest that was given to the store

    def note(self, live: LiveCall, promised: Response | None = None) -> bool:
        """Whether there is anything to keep. ``promised`` is the answer to the caller that waits for it."""
        if live.over or live.call.phase in (Phase.CLOSING, Phase.ENDED):
            self._forget(live.id)
            return False
        try:
            record = record_of(live, promised)
        except Exception:  # the call goes on, but the next process will not know of it
            log.exception("call_state_fault", call_id=live.id)
            metrics.call_state_faults.labels("not-written").inc()
            return False
        if record is not None and record != self.record:
            self.record = record
            self._store.keep(live.id, partial(self._written, live, record))
        return record is not None

    def _written(self, live: LiveCall, record: CallRecord) -> bytes:
        """With what is told of the call at the moment of writing."""
        selections = tuple(shortened(each) for each in live.selections[-KEPT_CHOICES:])
        return written(replace(record, told=Told(self._traces.record(live.id), selections)))

    def let_go(self) -> None:
        """What is written stays as it is."""
        self.record = None

    def _forget(self, call_id: str) -> None:
        if self.record is not None:
            self.record = None
            self._store.forget(call_id)


def record_of(live: LiveCall, promised: Response | None = None) -> CallRecord | None:
    """None: it is not up, or not any more."""
    kept = live.call.snapshot()
    if kept is None:
        return None
    caller = _leg_record(live.legs[CALLER], promised)
    called = _leg_record(live.legs[kept.winner])
    if caller is None or called is None:
        return None
    return CallRecord(
        call=kept,
        legs=(caller, called),
        servers=tuple(sorted(live.servers)),
        holding=tuple(sorted(live.holding)),
        selection=live.selection,
        reasons=live.reasons,
        invited_at=live.invited_at,
        made_at=Moment(live.now, time.time()),
    )


def _leg_record(leg: LiveLeg, promised: Response | None = None) -> LegRecord | None:
    session = leg.session.snapshot(promised) if leg.session is not None else None
    if session is None:
        return None
    return LegRecord(leg.id, session, leg.station, leg.line)
