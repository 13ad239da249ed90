"""The role ``media``: puts the parts of the media server together, starts them in order, and ends them in order.

Not responsible for anything that they do. What happens each second, and what the engine reports, comes in here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Mapping
from typing import Final

import structlog

from mediaserverd.media import metrics, retrieval
from mediaserverd.media.commands import Commands
from mediaserverd.media.control import control_routes
from mediaserverd.media.controllers import Controllers
from mediaserverd.media.drain import Drain
from mediaserverd.media.engine import DigitDialled, Engine, Latched, RecordingClosed, RecordingFailed, Totals
from mediaserverd.media.identity import ensure_identity
from mediaserverd.media.listening import LOOK_S, Listening
from mediaserverd.media.load import Load, LoadMeter
from mediaserverd.media.ng_door import UdpDoor, WebSocketDoor
from mediaserverd.media.openings import Openings
from mediaserverd.media.recipients import Recipients
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.sealing import Sealer
from mediaserverd.media.sessions import Sessions
from mediaserverd.media.settings import MediaSettings
from mediaserverd.media.taps import Tap, Taps
from mediaserverd.process.http import HttpServer
from mediaserverd.process.role import StartFault
from mediaserverd.process.status import StatusServer
from mediaserverd.process.tls import ServerTls
from mediaserverd.process.tokens import ensure_token

TICK_S: Final = 1.0
POLL_S: Final = 0.1
CLOSE_TIMEOUT_S: Final = 3.0  # for the last frames of running recordings to reach their files

# Taken over at once by a reload; everything else is bound to sockets, threads or files.
_RELOADABLE: Final = frozenset({
    "own", "per_controller", "media_timeout_s", "recording", "drain_timeout_s", "retrieval_advertised",
})  # fmt: skip

log = structlog.get_logger()


class MediaServer:
    """A ``process.role.Role``."""

    def __init__(self, settings: MediaSettings) -> None:
        self.settings = settings
        self._load = Load()
        self._counted = Totals(**dict.fromkeys(Totals.__slots__, 0))
        self._stack = contextlib.AsyncExitStack()  # what was started, to be ended the other way round

    async def start(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        settings = self.settings
        _check_udp_door(settings)
        _check_directory(settings)
        self._meter = LoadMeter(settings.spool_directory)
        self._load = self._meter.measure()
        await self._start_recordings()
        self._start_engine()
        self._sessions = Sessions(
            self._engine,
            self._taps,
            lambda: self._load,
            lambda message, controller: self._web_socket.broadcast(message, controller),
            settings.own.parameters.session_limit,
            Drain(settings.drain_file),
        )
        self._stack.push_async_callback(self._end_sessions)
        self._controllers = Controllers(settings.own, settings.per_controller, self._sessions.count)
        self._listening = Listening(self._engine, self._sessions)
        self._commands = Commands(
            self._engine,
            self._sessions,
            self._controllers,
            self._taps,
            self._listening,
            server_name=settings.name,
            retrieval_url="",
            defaults=settings.recording,
            load=lambda: self._load,
        )
        await self._open_retrieval()
        await self._open_doors()
        token = ensure_token(settings.control_token_file)
        routes = control_routes(settings.name, self._sessions, self._controllers, token)
        status = StatusServer(settings.status_address, settings.status_port, self._not_ready, routes)
        await status.start()
        self._stack.push_async_callback(status.stop)
        tick = asyncio.create_task(self._tick_forever())
        self._stack.callback(tick.cancel)
        listen = asyncio.create_task(self._listen_forever())
        self._stack.callback(listen.cancel)
        self.status_port = status.port
        log.info("media_server_started", ng_port=self.ng_port, retrieval_port=self.retrieval_port)

    async def _start_recordings(self) -> None:
        settings = self.settings
        identity = ensure_identity(settings.identity_file)
        self._recipients = Recipients(settings.recipients_directory)
        self._recipients.load()
        self._openings = Openings(identity, self._recipients, settings.name)
        sealer = Sealer(settings.identity_file)
        self._stack.push_async_callback(sealer.close)
        self._recordings = Recordings(settings.spool_directory, sealer)
        await self._recordings.open()
        self._stack.push_async_callback(self._recordings.close)
        warming = asyncio.create_task(sealer.warm_up())
        self._stack.callback(warming.cancel)

    def _start_engine(self) -> None:
        self._engine = Engine(self.settings.workers)
        self._taps = Taps(self._engine, self._recordings, self._openings, self._recording_failed)
        self._stack.callback(self._engine.close)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._engine.fileno(), self._take_engine_events)
        self._stack.callback(loop.remove_reader, self._engine.fileno())

    async def _open_retrieval(self) -> None:
        settings = self.settings
        identity = ensure_identity(settings.identity_file).public_key()
        token = ensure_token(settings.retrieval_token_file)
        app = retrieval.application(self._recordings, token, settings.name, identity, self._recipients)
        tls = ServerTls(settings.certificate, settings.private_key, settings.certificate_authority)
        server = HttpServer(app, settings.retrieval_address, settings.retrieval_port, tls)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self.retrieval_port = server.port
        self._commands.retrieval_url = self._retrieval_url()

    def _retrieval_url(self) -> str:
        host = self.settings.retrieval_advertised
        return f"https://{f'[{host}]' if ':' in host else host}:{self.retrieval_port}"

    async def _open_doors(self) -> None:
        settings = self.settings
        self._web_socket = WebSocketDoor(self._commands.execute, ensure_token(settings.ng_token_file))
        tls = ServerTls(settings.certificate, settings.private_key, settings.certificate_authority)
        await self._web_socket.open(settings.ng_address, settings.ng_port, tls)
        self._stack.push_async_callback(self._web_socket.close)
        self.ng_port = self._web_socket.port
        udp = UdpDoor(self._commands.execute)
        await udp.open(settings.ng_udp_address, self.ng_port)
        self._stack.callback(udp.close)

    async def reload(self, settings: MediaSettings) -> list[str]:
        _check_directory(settings)
        await asyncio.to_thread(self._recipients.load)
        self._controllers.use(settings.own, settings.per_controller)
        before, after = self.settings.model_dump(), settings.model_dump()
        changed = {name for name in after if after[name] != before[name]}
        self.settings = self.settings.model_copy(update={name: after[name] for name in changed & _RELOADABLE})
        self._sessions.limit = settings.own.parameters.session_limit
        self._commands.defaults = self.settings.recording
        self._commands.retrieval_url = self._retrieval_url()
        return sorted(changed - _RELOADABLE)

    async def drain(self) -> None:
        """No new calls; returns when the last one has ended and its recording is sealed."""
        self._sessions.stopping = True
        await self._until_quiet()
        await self._recordings.settled()

    async def hand_over(self) -> None:
        """The sockets of a call cannot be left to another process."""
        await self.drain()

    async def _until_quiet(self) -> None:
        while len(self._sessions) or self._taps.running:  # noqa: ASYNC110 - calls end in many ways, and slowly
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """What is not sealed by now is sealed at the next start."""
        await self._stack.aclose()

    async def _end_sessions(self) -> None:
        for session in self._sessions:
            self._sessions.close(session, "media-server-stopped")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed(), CLOSE_TIMEOUT_S)

    async def _closed(self) -> None:
        while self._taps.running:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S / 10)

    def _not_ready(self) -> Mapping[str, str]:
        missing: dict[str, str] = {}
        if self._sessions.draining:
            order = self._sessions.drain.order
            missing["sessions"] = f"drained {order}" if order else "draining: no new calls are taken"
        floor_mib = self.settings.own.parameters.disk_floor_mib
        if self._load.disk_free_bytes < floor_mib << 20:
            missing["disk"] = f"less than {floor_mib} MiB are free: new recordings are refused"
        if self.settings.recording.encrypt and not self._recipients.known:
            missing["keys"] = (
                f"no public key in {self._recipients.directory}: encrypted recordings are refused; "
                "put the recorder's there (its own data directory has it in keys/recipients)"
            )
        return missing

    def _take_engine_events(self) -> None:
        for event in self._engine.poll_events():
            match event:
                case RecordingClosed():
                    self._taps.on_closed(event)
                case RecordingFailed():
                    self._taps.on_failed(event)
                case DigitDialled():
                    self._listening.digit(event)
                case Latched():
                    log.debug("media_latched", session=event.session, leg=event.leg, port=event.port)

    def _recording_failed(self, tap: Tap, reason: str) -> None:
        self._sessions.recording_failed(tap, reason)

    async def _listen_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self._listening.look()
            except Exception:  # as in a tick
                log.exception("media_listening_broke")

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._load = await asyncio.to_thread(self._meter.measure)
                await asyncio.to_thread(self._recipients.current)
                self._sessions.expire(self.settings.media_timeout_s)
                self._taps.give_up_on_lost_ones()
                self._count()
            except Exception:  # whatever broke in this second, the next one must come
                log.exception("media_tick_broke")

    def _count(self) -> None:
        now, before = self._engine.totals(), self._counted
        metrics.RTP_PACKETS.inc(now.packets - before.packets)
        metrics.RTP_BYTES.inc(now.octets - before.octets)
        metrics.RTP_DROPPED.inc(now.dropped - before.dropped)
        metrics.DISK_FREE.set(self._load.disk_free_bytes)
        metrics.CPU.set(self._load.cpu_permille)
        self._counted = now


def _check_udp_door(settings: MediaSettings) -> None:
    try:
        address = ipaddress.ip_address(settings.ng_udp_address)
    except ValueError as fault:
        raise StartFault(f"ng_udp_address must be an IP address, not a name: {fault}") from fault
    if address.is_unspecified or not address.is_private:
        raise StartFault(
            f"ng_udp_address {address} must be loopback or another private address: "
            "ng over UDP has no authentication, and who reaches it can redirect calls"
        )


def _check_directory(settings: MediaSettings) -> None:
    directory = settings.spool_directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise StartFault(f"cannot make the spool directory {directory}: {fault.strerror}") from fault
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartFault(f"the spool directory {directory} is not writable for this user; change its owner or mode")
