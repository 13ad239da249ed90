"""Runs roles: one role in this process, or all of them as supervised children. Signals, reload, drain, notification.

Signals, for one role and for the whole alike: TERM or INT drains and stops (a second one stops at once), HUP verifies
the configuration and applies it, or keeps the running one and says what is wrong. USR2 is for a restart: the role stops
without waiting, and leaves what runs to its next process; of the whole, that is the controller, which starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog
import uvloop

from mediaserverd.config import Config, ConfigError, load_config
from mediaserverd.media.identity import ensure_identity, publish_identity
from mediaserverd.process.logs import configure_logging
from mediaserverd.process.notify import NotifyListener, notify, watchdog_interval_s
from mediaserverd.process.role import Reload, ReloadRefused, Role, StartFault
from mediaserverd.process.tls import ensure_site_certificates
from mediaserverd.process.tokens import ensure_token
from mediaserverd.recorder.vault import Vault

log = structlog.get_logger()

ROLES = ("media", "recorder", "controller")  # in the order of starting; they stop in the opposite order
EXIT_FAULT = 78  # EX_CONFIG: the administrator must change something; systemd does not restart on it
RESTART_DELAY_S = 0.2  # of a child that ran well before
RESTART_DELAY_MAX_S = 10.0
RAN_WELL_S = 30.0  # a child that ran for so long starts again without a growing delay
STOP_GRACE_S = 10.0  # beyond the drain time, for closing files and sockets, before a child is killed
PR_SET_PDEATHSIG = 1
GC_YOUNG_OBJECTS = 2_000  # a pass over so few takes well under 1 ms; many more, and a flood of errors would pile up


def prepare_host(config: Config, roles: Collection[str] = ROLES) -> None:
    """Makes what a first start of these roles lacks: directories, certificates, tokens, identities, keys."""
    try:
        config.data_directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if config.tls_directory is not None:
            names = dict.fromkeys([config.address, "localhost", "127.0.0.1", "::1"])
            ensure_site_certificates(config.tls_directory, list(names))
        for token_file in config.token_files():
            ensure_token(token_file)
        if "media" in roles:
            identity = ensure_identity(config.media.identity_file)
            publish_identity(identity.public_key(), config.signers_directory, config.media.name)
        if "recorder" in roles:
            Vault.open(config.recorder.keys_directory, config.recorder.vault_password_file)
    except OSError as fault:
        raise StartFault(f"cannot write below {config.data_directory}: {fault.strerror}; change its owner") from fault


# -- one role ------------------------------------------------------------------------------------------------------


def make_role(name: str, config: Config, reload: Reload) -> Role:
    """Imports only the one role: a media server has no need of a database library."""
    match name:
        case "controller":
            from mediaserverd.controller.server import Controller

            return Controller(config.controller, reload)
        case "media":
            from mediaserverd.media.server import MediaServer

            return MediaServer(config.media)
        case "recorder":
            from mediaserverd.recorder.server import Recorder

            return Recorder(config.recorder)
    raise ValueError(name)


def run_role(name: str, config: Config) -> int:
    """Runs one role until it is told to stop. Returns the exit status."""
    configure_logging(name, config.log_level, console=config.log_console)
    _die_with_parent()
    _raise_descriptor_limit()
    try:
        prepare_host(config, (name,))
        uvloop.run(_RoleRun(name, config).run())
    except StartFault as fault:
        log.error("start_failed", fault=str(fault))
        return EXIT_FAULT
    return 0


def _die_with_parent() -> None:
    """A child never outlives its supervisor, however that one ended."""
    if "MEDIASERVERD_SUPERVISOR" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(os.environ["MEDIASERVERD_SUPERVISOR"]):
            sys.exit("the supervisor is gone")


def _settle_memory() -> None:
    """What is loaded by now stays: full garbage collections leave it out, and come rarely.

    At 50 calls/s they stalled the controller's loop for 60 to 390 ms; without them the 99th percentile of the set-up
    time fell from 147 to 23 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 10, 20)


def _raise_descriptor_limit() -> None:
    """As far as the system lets us: a media session takes four sockets, and running out of them loses calls."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _RoleRun:
    """One role with its signals."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.config = config
        self.role = make_role(name, config, self.reload_all)
        self._reloading = asyncio.Lock()
        self.stopping = asyncio.Event()
        self.stop_now = asyncio.Event()
        self.handing_over = False

    async def run(self) -> None:
        on_signals(self._stop, self._reload_soon, self._hand_over)
        await self.role.start()
        _settle_memory()
        log.info("started", pid=os.getpid())
        notify("READY=1")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(gc.unfreeze)  # the end of the process clears away what the start froze
            stack.push_async_callback(self.role.stop)
            beat = asyncio.create_task(_watchdog())
            stack.callback(beat.cancel)
            await self.stopping.wait()
            notify("STOPPING=1")
            await self._drain()
        log.info("stopped")

    async def _drain(self) -> None:
        log.info("draining", timeout_s=self.config.drain_timeout_s)
        drain = asyncio.create_task(self.role.hand_over() if self.handing_over else self.role.drain())
        hurry = asyncio.create_task(self.stop_now.wait())
        await asyncio.wait((drain, hurry), timeout=self.config.drain_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (drain, hurry):
            task.cancel()
        await asyncio.gather(drain, hurry, return_exceptions=True)

    def _stop(self) -> None:
        (self.stop_now if self.stopping.is_set() else self.stopping).set()

    def _hand_over(self) -> None:
        self.handing_over = not self.stopping.is_set()
        self.stopping.set()

    def _reload_soon(self) -> None:
        self._reload_task = asyncio.create_task(self._reload_quietly())

    async def _reload_quietly(self) -> None:
        with contextlib.suppress(ReloadRefused):  # the log says it
            await self.reload()

    async def reload(self) -> list[str]:
        """A ``Reload`` of this role."""
        async with self._reloading:
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                config = await asyncio.to_thread(load_config, self.config.file)
                restart = await self.role.reload(getattr(config, self.name))
                self.config = config
                log.info("reloaded", restart_needed_for=restart)
                return restart
            except (ConfigError, StartFault) as fault:
                refused = ReloadRefused(str(fault).splitlines())
                log.error("reload_refused", faults=refused.faults)
                raise refused from fault
            finally:
                notify("READY=1")

    async def reload_all(self) -> list[str]:
        """A ``Reload`` of this role, and then of all that run beside it on this host."""
        restart = await self.reload()
        if supervisor := os.environ.get("MEDIASERVERD_SUPERVISOR"):
            os.kill(int(supervisor), signal.SIGHUP)
        return restart


async def _watchdog() -> None:
    interval = watchdog_interval_s()
    while interval:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def on_signals(stop: Callable[[], None], reload: Callable[[], None], hand_over: Callable[[], None]) -> None:
    """TERM and INT call ``stop`` (each time), HUP calls ``reload``, USR2 calls ``hand_over``."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR2, hand_over)


# -- all roles as children -----------------------------------------------------------------------------------------


def run_all(config: Config) -> int:
    """Runs the roles of this host as supervised children until told to stop. Returns the exit status."""
    roles = tuple(role for role in ROLES if role in config.roles)
    configure_logging("supervisor", config.log_level, console=config.log_console)
    try:
        prepare_host(config, roles)
    except StartFault as fault:
        log.error("start_failed", fault=str(fault))
        return EXIT_FAULT
    return asyncio.run(Supervisor(config, roles).run())


@dataclass(slots=True)
class _Child:
    """One supervised role: its process, and how its last starts went."""

    role: str
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    was_ready: bool = False
    delay_s: float = RESTART_DELAY_S
    started_at: float = 0.0


class Supervisor:
    """Starts the children, starts again what dies, ends them in order."""

    def __init__(self, config: Config, roles: tuple[str, ...]) -> None:
        self.config = config
        self.children = [_Child(role) for role in roles]
        self.stopping = asyncio.Event()
        self.status = 0
        self._stop_signals = 0

    async def run(self) -> int:
        on_signals(self._stop, self._reload, self._restart_controller)
        tasks = [asyncio.create_task(self._keep(child), name=child.role) for child in self.children]
        announce = asyncio.create_task(self._announce())
        await self.stopping.wait()
        notify("STOPPING=1")
        announce.cancel()
        for child, task in reversed(list(zip(self.children, tasks, strict=True))):
            await self._end(child, task)
        return self.status

    def _stop(self) -> None:
        self._stop_signals += 1
        self.stopping.set()
        if self._stop_signals > 1:
            for child in self.children:
                _signal(child, signal.SIGTERM)

    def _restart_controller(self) -> None:
        for child in self.children:
            if child.role == "controller":
                _signal(child, signal.SIGUSR2)

    def _reload(self) -> None:
        try:
            self.config = load_config(self.config.file)
        except ConfigError as error:
            log.error("reload_refused", faults=[str(fault) for fault in error.faults])
            return
        for child in self.children:
            _signal(child, signal.SIGHUP)

    async def _announce(self) -> None:
        for child in self.children:
            await child.ready.wait()
        notify("READY=1")
        log.info("all_roles_ready")

    async def _keep(self, child: _Child) -> None:
        """Runs one role again and again until the supervisor stops."""
        while not self.stopping.is_set():
            status = await self._run_once(child)
            if self.stopping.is_set():
                return
            if status == EXIT_FAULT and not child.was_ready:
                log.error("role_cannot_start", child=child.role)
                self.status = EXIT_FAULT
                self.stopping.set()
                return
            if time.monotonic() - child.started_at > RAN_WELL_S:
                child.delay_s = RESTART_DELAY_S
            if status:  # else it was told to restart
                log.error("role_died", child=child.role, exit_status=status, restart_in_s=child.delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), child.delay_s)
            child.delay_s = min(child.delay_s * 2, RESTART_DELAY_MAX_S)

    async def _run_once(self, child: _Child) -> int:
        child.ready.clear()
        child.started_at = time.monotonic()

        def ready() -> None:
            child.was_ready = True
            child.ready.set()

        with NotifyListener(ready) as listener:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "mediaserverd", "run", "--role", child.role, "--config", str(self.config.file)),
                env=_child_environment(listener.address),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends the children in order
            )
            log.info("role_starting", child=child.role, child_pid=child.process.pid)
            if self.stopping.is_set():  # told to stop while the process was being made
                _signal(child, signal.SIGTERM)
            return await child.process.wait()

    async def _end(self, child: _Child, task: asyncio.Task[None]) -> None:
        _signal(child, signal.SIGTERM)
        done, _ = await asyncio.wait((task,), timeout=self.config.drain_timeout_s + STOP_GRACE_S)
        if not done:
            log.error("role_killed", child=child.role, reason="did not end in time")
            _signal(child, signal.SIGKILL)
            await task


def _child_environment(notify_address: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "WATCHDOG_USEC"}
    return {
        **kept,
        "NOTIFY_SOCKET": notify_address,
        "MEDIASERVERD_SUPERVISOR": str(os.getpid()),
        # Python's own clean-up after a killed child says so in plain text; the log is JSON, and the death is in it.
        "PYTHONWARNINGS": "ignore:resource_tracker",
    }


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)
