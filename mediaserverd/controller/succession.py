"""From one process of the controller to the next: it goes on with the calls that the earlier one left, and lets go of
those that it leaves itself.

A media server that is back lists its calls. One that it does not list has ended there (silence, a restart): for the
call that is the loss of its media server. Not responsible for making running calls of records (``live_call``), nor for
the disk (``call_store``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from typing import Final

import structlog

from mediaserverd.call import events as on
from mediaserverd.call.ledger import Ended, EndReason
from mediaserverd.controller import metrics
from mediaserverd.controller.call_record import CallRecord
from mediaserverd.controller.database import DatabaseFault
from mediaserverd.controller.doors import Doors
from mediaserverd.controller.live_call import LiveCall
from mediaserverd.controller.settings import Line
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.session import Authorize

log = structlog.get_logger()

# Phones repeat what they say for 32 s; a call whose phone asks for something before its media server is there would be
# told no. So SIP answers a little later.
SIP_WAIT_S: Final = 1.5
LOSS_AFTER_S: Final = 6.0  # a media server that is not there by then is lost; links try again every 2 s at most
HAND_OVER_LIMIT_S: Final = 2.0  # for the end of calls that nobody could go on with


class Succession:
    """``add`` takes a call into the switchboard; ``line`` finds one by its name."""

    def __init__(self, doors: Doors, add: Callable[[LiveCall], None], line: Callable[[str], Line | None]) -> None:
        self._doors = doors
        self._add = add
        self._line = line
        self._unheard: dict[LiveCall, set[str]] = {}  # media servers whose word is missing
        self._lost: dict[LiveCall, list[str]] = {}
        self._told: dict[LiveCall, list[on.Event]] = {}
        self._ready: list[LiveCall] = []  # heard before phones could be spoken to
        self._speaking = False
        self._all_heard = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    # From the earlier process

    async def restore(self, records: Iterable[CallRecord]) -> None:
        for record in records:
            try:
                live = LiveCall.restored(record, self._credentials, self._doors)
            except (SipError, ValueError) as fault:
                await self._give_up(record, str(fault))
            else:
                metrics.calls_restored.inc()
                self._add(live)
                self._unheard[live] = set(live.holding)
        if self._unheard:
            log.info("calls_restored", calls=len(self._unheard))

    async def hear(self) -> None:
        """Once the media servers are asked: returns when all have spoken, or when phones should wait no longer."""
        for live in [live for live, servers in self._unheard.items() if not servers]:
            self._heard(live)
        if self._unheard:
            self._timer = asyncio.get_running_loop().call_later(LOSS_AFTER_S, self._hear_no_longer)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIP_WAIT_S):
                    await self._all_heard.wait()

    def go_on(self) -> None:
        """Phones can be spoken to: every call goes on, now or as soon as its media servers have spoken."""
        self._speaking = True
        while self._ready:
            self._go_on(self._ready.pop())

    def media_listed(self, server: str, call_ids: Collection[str] | None) -> None:
        for live, servers in list(self._unheard.items()):
            if server in servers:
                servers.discard(server)
                if call_ids is not None and live.id not in call_ids:
                    self._lost.setdefault(live, []).append(server)
                if not servers:
                    self._heard(live)

    def keeps(self, live: LiveCall, event: on.Event) -> bool:
        """Whether this call does not go on yet: then it hears of that when it does."""
        waits = live in self._unheard or live in self._ready
        if waits:
            self._told.setdefault(live, []).append(event)
        return waits

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _hear_no_longer(self) -> None:
        for live, servers in list(self._unheard.items()):
            self._lost.setdefault(live, []).extend(servers)
            self._heard(live)

    def _heard(self, live: LiveCall) -> None:
        del self._unheard[live]
        if not self._unheard:
            self._all_heard.set()
        if self._speaking:
            self._go_on(live)
        else:
            self._ready.append(live)

    def _go_on(self, live: LiveCall) -> None:
        self._doors.feed(live, on.TakenOver())
        for server in self._lost.pop(live, ()):
            self._doors.feed(live, on.MediaLost(server, "it has nothing of this call after the controller's restart"))
        for event in self._told.pop(live, ()):
            self._doors.feed(live, event)

    async def _give_up(self, record: CallRecord, reason: str) -> None:
        log.error("call_not_restored", call_id=record.id, reason=reason)
        metrics.call_state_faults.labels("not-restored").inc()
        self._doors.store.forget(record.id)
        for recording_id, segment in record.running:
            with contextlib.suppress(DatabaseFault):
                ended = Ended(recording_id, segment, EndReason.CONTROLLER_RESTART, 0)
                await self._doors.ledger.append(ended.document())

    def _credentials(self, line: str) -> Authorize | None:
        """Of a line, if it is still there."""
        found = self._line(line) if line else None
        return None if found is None else self._doors.dialling.credentials(found)

    # To the next process

    async def hand_over(self, calls: Collection[LiveCall]) -> None:
        """Those that are up are the next process's. The others end: nobody could go on with them."""
        for live in [live for live in calls if not live.is_kept]:
            self._doors.feed(live, on.EndRequested("restart"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_LIMIT_S):
                while not all(live.is_kept or live.over for live in calls):  # noqa: ASYNC110 - no one event tells
                    await asyncio.sleep(0.01)
        for live in calls:
            live.let_go()
        log.info("calls_handed_over", calls=len(calls))
