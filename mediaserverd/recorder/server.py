"""The recorder as a role: puts its parts together, starts and stops them, applies new settings."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client import REGISTRY
from sqlalchemy.engine import make_url

from mediaserverd.audio.workshop import Workshop
from mediaserverd.process.http import HttpServer
from mediaserverd.process.role import StartFault
from mediaserverd.process.status import StatusServer
from mediaserverd.process.tls import ServerTls, client_context
from mediaserverd.process.tokens import read_token
from mediaserverd.recorder.acquaintance import Acquaintance
from mediaserverd.recorder.api.access import Access
from mediaserverd.recorder.api.app import make_app
from mediaserverd.recorder.api.audio import AudioRoutes
from mediaserverd.recorder.api.recordings import RecordingRoutes
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.segments import try_failed_again
from mediaserverd.recorder.census import Census
from mediaserverd.recorder.fetch import Fetcher
from mediaserverd.recorder.housekeeping import Housekeeping
from mediaserverd.recorder.intake import Intake
from mediaserverd.recorder.ledger import LedgerDoor
from mediaserverd.recorder.media_servers import MediaServers
from mediaserverd.recorder.metrics import CatalogueCollector
from mediaserverd.recorder.playback import Playback
from mediaserverd.recorder.retrieval import RetrievalClient
from mediaserverd.recorder.second_look import SecondLook
from mediaserverd.recorder.settings import RecorderSettings
from mediaserverd.recorder.store import Store
from mediaserverd.recorder.vault import Vault

log = structlog.get_logger()

# Settings that a running recorder can take; every other one needs a restart.
RELOADED = frozenset(
    {"media_servers", "certificate_authority", "ledger_token_file", "drain_timeout_s"}
    | {"missing_after_s", "ledger_grace_s", "poll_interval_s"}
)
RENDERINGS_WAITING = 64  # listeners; one more is told to come back
CLOSE_DELAY_S = 60.0  # transfers that use a former client's connection get so long to end


class Recorder:
    """Implements ``process.role.Role``."""

    def __init__(self, settings: RecorderSettings) -> None:
        self.settings = settings
        self.media_servers = MediaServers()
        self._running: _Running | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def api_port(self) -> int:
        return self._parts().http.port

    @property
    def status_port(self) -> int:
        return self._parts().status.port

    async def start(self) -> None:
        settings = self.settings
        swap = self.media_servers.prepare(settings.media_servers, _trust(settings))
        ledger_token = read_token(settings.ledger_token_file)
        vault = await asyncio.to_thread(_open_vault, settings)
        store = Store(settings.store_url)
        if fault := await store.probe():
            raise StartFault(f"the store {settings.store_url} cannot be written: {fault}; mend it or set store_url")
        database = await Database.open(settings.database_url)
        try:
            incoming = _incoming_directory(settings)
        except StartFault:
            await database.close()
            raise
        swap()
        self._running = _Running(settings, database, store, vault, self.media_servers, incoming, ledger_token)
        try:
            await self._running.start()
        except BaseException:
            await self.stop()
            raise

    async def reload(self, settings: RecorderSettings) -> list[str]:
        running = self._parts()
        swap = self.media_servers.prepare(settings.media_servers, _trust(settings))
        ledger_token = read_token(settings.ledger_token_file)
        self._close_later(swap())
        running.access.ledger_token = ledger_token
        running.census.missing_after_s = settings.missing_after_s
        running.census.ledger_grace_s = settings.ledger_grace_s
        running.housekeeping.poll_s = settings.poll_interval_s
        former, self.settings = self.settings, settings
        await running.try_again(self.media_servers.names())
        return [
            name
            for name in RecorderSettings.model_fields
            if name not in RELOADED and getattr(former, name) != getattr(settings, name)
        ]

    async def drain(self) -> None:
        """Fetches nothing new; the API and the ledger stay open until ``stop``, because others depend on them."""
        await self._parts().fetcher.drain()

    async def hand_over(self) -> None:
        await self.drain()

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.stop()
        for task in tuple(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.media_servers.close()

    def _parts(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the recorder has not been started")
        return self._running

    def _close_later(self, clients: list[RetrievalClient]) -> None:
        async def close() -> None:
            try:
                await asyncio.sleep(CLOSE_DELAY_S)
            finally:
                for client in clients:
                    await client.close()

        task = asyncio.create_task(close(), name="close former media server clients")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Running:
    """The parts of a started recorder."""

    def __init__(
        self,
        settings: RecorderSettings,
        database: Database,
        store: Store,
        vault: Vault,
        media_servers: MediaServers,
        incoming: Path,
        ledger_token: str,
    ) -> None:
        self.database = database
        self.media_servers = media_servers
        self.examiners = Workshop(settings.workers)
        intake = Intake(vault, self.examiners, settings.compression, settings.name)
        self.fetcher = Fetcher(database, store, media_servers, intake, incoming)
        self.census = Census(settings.missing_after_s, settings.ledger_grace_s)
        self.housekeeping = Housekeeping(
            database, store, media_servers, self.fetcher, self.census, Acquaintance(vault), settings.poll_interval_s
        )
        self.fetcher.on_change = self.housekeeping.changed
        self.second_look = SecondLook(
            database,
            store,
            vault,
            self.examiners,
            incoming,
            lambda: self.housekeeping.poll_s,
            self.housekeeping.changed,
        )
        self.renderers = Workshop(settings.workers, waiting_limit=RENDERINGS_WAITING)
        self.playback = Playback(store, vault, self.renderers, settings.name, version("mediaserverd"))
        self.access = Access(database, ledger_token)
        recordings = RecordingRoutes(
            database, self.access, media_servers, lambda: self.census.missing_after_s, self._deleted
        )
        ledger = LedgerDoor(database, self._ledger_came)
        app = make_app(recordings, AudioRoutes(database, self.playback, self.access), ledger, self.access)
        tls = ServerTls(settings.certificate, settings.private_key, settings.certificate_authority)
        self.http = HttpServer(app, settings.api_address, settings.api_port, tls)
        self.status = StatusServer(settings.status_address, settings.status_port, self.readiness)
        self._collector = CatalogueCollector(lambda: self.housekeeping.tally, media_servers, self._store_fault)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.http.start()
        await self.status.start()
        REGISTRY.register(self._collector)
        self._tasks = [
            asyncio.create_task(self.fetcher.run(), name="fetch recordings"),
            asyncio.create_task(self.housekeeping.run(), name="housekeeping"),
            asyncio.create_task(self.second_look.run(), name="second look at unread recordings"),
        ]

    async def stop(self) -> None:
        await self.http.stop()
        await self.status.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.fetcher.stop()
        await self.examiners.close()
        await self.renderers.close()
        if self._tasks:
            REGISTRY.unregister(self._collector)
        await self.database.close()

    async def try_again(self, media_servers: frozenset[str]) -> None:
        """After a change of configuration: what failed because of it gets another chance."""
        revived = await self.database.write(try_failed_again, media_servers, datetime.now(UTC))
        if revived:
            log.info("segments_tried_again", segments=revived)
        self.housekeeping.poll_soon()

    def readiness(self) -> Mapping[str, str]:
        """One media server of many that is away is no reason to send people elsewhere; all of them are."""
        faults = {"database": self.housekeeping.database_fault, "store": self._store_fault()}
        servers = tuple(self.media_servers)
        if servers and all(server.fault for server in servers):
            faults["media servers"] = "; ".join(f"{server.name}: {server.fault}" for server in servers[:3])
        return {part: fault for part, fault in faults.items() if fault}

    def _store_fault(self) -> str:
        return self.fetcher.store_fault or self.housekeeping.store_fault

    def _ledger_came(self) -> None:
        self.fetcher.wake()
        self.housekeeping.changed()

    def _deleted(self) -> None:
        self.playback.forget()
        self.housekeeping.poll_soon()
        self.housekeeping.changed()


def _trust(settings: RecorderSettings) -> ssl.SSLContext:
    """Of media servers, and what we show them."""
    return client_context(settings.certificate_authority, ServerTls(settings.certificate, settings.private_key))


def _open_vault(settings: RecorderSettings) -> Vault:
    vault = Vault.open(settings.keys_directory, settings.vault_password_file)
    vault.check()
    return vault


def _incoming_directory(settings: RecorderSettings) -> Path:
    """Where half-fetched files lie. Audio of calls: for this user alone."""
    directory = settings.incoming_directory or _default_incoming(settings.database_url)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
    except OSError as fault:
        raise StartFault(f"cannot use {directory} for half-fetched files: {fault}; set incoming_directory") from fault
    if owner != os.geteuid():
        raise StartFault(f"{directory} belongs to another user; remove it or set incoming_directory")
    return directory


def _default_incoming(database_url: str) -> Path:
    location = make_url(database_url)
    if location.get_backend_name() == "sqlite" and location.database:
        return Path(location.database).parent / "incoming"
    return Path(tempfile.gettempdir()) / "mediaserverd-incoming"
