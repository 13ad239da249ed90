"""The role ``controller``: puts its parts together, starts them in order, and ends them in order.

Not responsible for anything that they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from mediaserverd.controller import metrics
from mediaserverd.controller.call_record import VERSION, CallRecord, read
from mediaserverd.controller.call_store import CallStore, StoredCall
from mediaserverd.controller.control import control_routes
from mediaserverd.controller.ledger import Ledger
from mediaserverd.controller.locations import Locations
from mediaserverd.controller.media_link import MediaState
from mediaserverd.controller.rules import Rules
from mediaserverd.controller.settings import ControllerSettings
from mediaserverd.controller.switchboard import Switchboard
from mediaserverd.process.role import Reload, StartFault
from mediaserverd.process.status import StatusServer
from mediaserverd.process.tls import ServerTls, client_context
from mediaserverd.process.tokens import read_token

log = structlog.get_logger()

SWEEP_INTERVAL_S: Final = 10.0  # how long an expired registration may stay in memory; it is not called meanwhile
LEDGER_FLUSH_S: Final = 1.0  # at a stop: what is not sent by then is sent by the next run

# Bound to sockets, files or names that others know: a reload tells of them and keeps the running ones.
_FIXED: Final = ("name", "state_directory", "status_address", "status_port", "control_token_file")
_FIXED_SIP: Final = ("address", "advertised", "udp_port", "tcp_port", "tls_port")


class Controller:
    """A ``process.role.Role``."""

    def __init__(self, settings: ControllerSettings, reload: Reload | None = None) -> None:
        """``reload`` is what the control API offers; without it there is none."""
        self.settings = settings
        self._reload = reload
        self._stack = contextlib.AsyncExitStack()  # what was started, to be ended the other way round
        self._draining = False

    async def start(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        settings = self.settings
        rules = Rules.of(settings)
        token = read_token(settings.control_token_file)
        certificate = ServerTls(settings.sip.certificate, settings.sip.private_key)
        self._ledger = Ledger(
            settings.state_directory, settings.name, settings.ledger, settings.certificate_authority, certificate
        )
        self._locations = Locations(settings.state_directory, time.time)
        self._store = CallStore(settings.state_directory, VERSION)
        left = await self._open_state()
        self._switchboard = Switchboard(rules, self._locations, self._ledger, self._store)
        self._stack.push_async_callback(self._switchboard.stop)
        await self._switchboard.start(left)
        for kind in ("one-way-audio", "silence"):
            metrics.calls_unheard.labels(kind).set_function(functools.partial(self._switchboard.unheard, kind))
        metrics.calls_unrecorded.set_function(lambda: len(self._switchboard.unrecorded))
        routes = control_routes(self._switchboard, token, self._reload)
        status = StatusServer(settings.status_address, settings.status_port, self._not_ready, routes)
        await status.start()
        self._stack.push_async_callback(status.stop)
        self.status_port = status.port
        sweep = asyncio.create_task(self._sweep_forever())
        self._stack.callback(sweep.cancel)
        log.info("controller_started", advertised=self._switchboard.sockets.addresses())

    async def _open_state(self) -> list[CallRecord]:
        """What an earlier process left of calls that were up."""
        directory = self.settings.state_directory
        try:
            stored = await self._store.open()
            self._stack.push_async_callback(self._store.close)
            left = self._readable(stored)
            await self._ledger.start({each for record in left for each in record.running})
            self._stack.push_async_callback(self._close_ledger)
            await self._locations.open()
            self._stack.push_async_callback(self._locations.close)
        except (sqlite3.Error, OSError) as fault:
            raise StartFault(
                f"cannot keep state in {directory}: {fault}; give this user write access, or move a damaged file away"
            ) from fault
        return left

    def _readable(self, stored: Iterable[StoredCall]) -> list[CallRecord]:
        found = []
        for each in stored:
            record = read(each)
            if isinstance(record, CallRecord):
                found.append(record)
            else:
                log.error("call_not_restored", call_id=each.id, reason=record)
                metrics.call_state_faults.labels("not-restored").inc()
                self._store.forget(each.id)
        return found

    async def reload(self, settings: ControllerSettings) -> list[str]:
        """Verifies all, then swaps. Calls that run keep the rules they began with. Raises StartFault."""
        old = self.settings
        restart = [name for name in _FIXED if getattr(settings, name) != getattr(old, name)]
        restart += [f"sip.{name}" for name in _FIXED_SIP if getattr(settings.sip, name) != getattr(old.sip, name)]
        effective = _with_fixed(settings, old)
        rules = Rules.of(effective)
        client_context(effective.certificate_authority)
        self._switchboard.sockets.renew_tls(effective.sip)
        await self._switchboard.use(rules)
        await self._ledger.reconfigure(effective.ledger, effective.certificate_authority)
        self.settings = effective
        return restart

    async def drain(self) -> None:
        self._draining = True
        if self.settings.calls_at_stop == "hand-over":
            await self._switchboard.hand_over()
        else:
            await self._switchboard.drain()

    async def hand_over(self) -> None:
        self._draining = True
        await self._switchboard.hand_over()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _close_ledger(self) -> None:
        await self._ledger.flush(LEDGER_FLUSH_S)
        await self._ledger.stop()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            self._locations.forget_expired()

    def _not_ready(self) -> Mapping[str, str]:
        """The recorder is not asked: calls and recordings go on without it."""
        if self._draining:
            return {"controller": "draining"}
        states = self._switchboard.media.states()
        if any(state.state is MediaState.ACTIVE for state in states):
            return {}
        return {f"media server {state.name}": f"{state.state}: {state.reason}" for state in states}


def _with_fixed(new: ControllerSettings, running: ControllerSettings) -> ControllerSettings:
    """The new settings, but for what only a restart can change."""
    sip = new.sip.model_copy(update={name: getattr(running.sip, name) for name in _FIXED_SIP})
    return new.model_copy(update={"sip": sip, **{name: getattr(running, name) for name in _FIXED}})
