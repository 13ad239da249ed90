"""A mediaserverd under test: a configuration in a directory, the real command as a subprocess, and a clean end.

The end is part of the test: exit status 0, no process left behind, and no error in the log but those that the test said
would come.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from tests.kit.account import Account, Transport
from tests.kit.child import Child
from tests.kit.doors import ROLES, STATUS_PORTS, Json, RecorderApi, Retrieval, Status
from tests.kit.hosts import Host

HOST: Final = "127.0.0.1"
PASSWORDS: Final = {"alice": "correct-horse-7", "bob": "battery-staple-8"}
_READY_S: Final = 40.0
_STOP_S: Final = 30.0
_SCOPES: Final = ("recordings:read", "recordings:audio", "recordings:delete")
_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}

# A test has little disk and little time; everything else is the default that an administrator gets.
_CONFIG: Final[Json] = {
    "address": HOST,
    "data_directory": "data",
    "record": "all",
    "stations": [
        {"name": "alice", "extension": "100", "password": PASSWORDS["alice"]},
        {"name": "bob", "extension": "101", "password": PASSWORDS["bob"]},
    ],
    "media": {"disk_floor_mib": 16},
    "discard_calls_shorter_than_s": 0,
    "drain_timeout_s": 5,
}


class Daemon:
    """Use as ``async with await Daemon.start(tmp_path) as daemon``. Runs in a network namespace: ports are the default.

    ``api``, ``retrieval`` and ``status`` are its doors, as far as its roles have them. ``expect`` names log events of
    level error that must not fail the test.
    """

    def __init__(self, config: Path, child: Child, roles: Sequence[str], host: Host | None = None) -> None:
        self.directory = config.parent
        self.config = config
        self.roles = roles
        self.host = host
        self.address = host.address if host else HOST
        self.api: RecorderApi
        self.retrieval: Retrieval
        self.status = Status()
        self._child = child
        self._status_ports: Mapping[str, int] = STATUS_PORTS
        self._expected: set[str] = set()

    @classmethod
    async def start(
        cls,
        directory: Path,
        changes: Mapping[str, Any] | None = None,
        *,
        role: str = "",
        ready: bool = True,
        host: Host | None = None,
    ) -> Self:
        """``changes`` to the configuration, section by section; ``role``: that one alone; ``ready``: wait for it."""
        config = write_config(directory, changes or {})
        daemon = await cls.run(config, role=role, host=host)
        if ready:
            try:
                await daemon.ready()
                await daemon.open_doors()
            except BaseException:
                await daemon._child.stop()
                raise
        return daemon

    @classmethod
    async def run(cls, config: Path, *, role: str = "", host: Host | None = None) -> Self:
        """``host``: not on the test's own, but on that one."""
        daemon = cls(config, await _start(config, role, host), (role,) if role else ROLES, host)
        if host:
            daemon._status_ports = {role: await host.window(STATUS_PORTS[role]) for role in daemon.roles}
            daemon.status = Status(daemon._status_ports)
        return daemon

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        faults = await self.stop()
        if fault is not None:
            fault.add_note(f"the daemon's log is {self._child.log}; its errors: {self.errors()}")
        elif faults:
            raise AssertionError("; ".join(faults))

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def authority(self) -> Path:
        return self.data / "tls" / "ca.pem"

    def account(self, user: str, transport: Transport = "udp") -> Account:
        password = PASSWORDS.get(user, "")
        return Account(user, self.address, _PORTS[transport], password, transport, self.authority)

    def target(self, extension: str, transport: Transport = "udp") -> str:
        return f"sip:{extension}@{self.address}:{_PORTS[transport]};transport={transport}"

    def secret(self, name: str) -> str:
        return (self.data / "secrets" / f"{name}.token").read_text().strip()

    async def ready(self, timeout_s: float = _READY_S) -> None:
        deadline = time.monotonic() + timeout_s
        while missing := [text for role in self.roles if (text := await self.status.missing(role))]:
            if not self._child.running:
                raise self._child.failure(f"ended with {self._child.process.returncode}")
            if time.monotonic() > deadline:
                raise self._child.failure(f"is not ready after {timeout_s} s ({missing})")
            await asyncio.sleep(0.1)

    def control_door(self) -> Status:
        return Status(self._status_ports, control_token=self.secret("control"))

    async def open_doors(self, scopes: Sequence[str] = _SCOPES) -> None:
        await self.status.close()
        self.status = self.control_door()
        if "media" in self.roles:
            self.retrieval = Retrieval(f"https://{self.address}:8102", self.authority, self.secret("retrieval"))
        if "recorder" in self.roles:
            self.api = RecorderApi(f"https://{self.address}:8443", self.authority, await self.token(*scopes))

    async def token(self, *scopes: str) -> str:
        """A new API token, made by the command line."""
        options = [word for scope in scopes for word in ("--scope", scope)]
        return (await self.command("token", "create", "--name", "kit", *options)).strip()

    async def command(self, *words: str) -> str:
        """What a command of the command line prints, with this configuration. Raises if it does not end with 0."""
        process = await asyncio.create_subprocess_exec(
            *(self.host.inside if self.host else ()),
            *(sys.executable, "-m", "mediaserverd", *words, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"mediaserverd {' '.join(words)} ended with {process.returncode}: {output.decode()}")
        return output.decode()

    def pid(self, role: str) -> int:
        """The process that runs the role now."""
        started = [line for line in self.log() if line.get("event") == "role_starting" and line.get("child") == role]
        return int(started[-1]["child_pid"])

    def kill(self, role: str) -> int:
        """kill -9; returns the pid that is gone. What the log then says of it is expected."""
        self.expect("role_died", *(["call_unrecorded"] if role == "media" else []))
        pid = self.pid(role)
        os.kill(pid, signal.SIGKILL)
        return pid

    def restart_controller(self) -> int:
        """As for an upgrade; returns the pid that goes."""
        pid = self.pid("controller")
        os.kill(self._child.pid, signal.SIGUSR2)
        return pid

    def kill_supervisor(self) -> None:
        """kill -9 of the whole; what the children then do is theirs."""
        os.kill(self._child.pid, signal.SIGKILL)

    def crash(self) -> None:
        """kill -9 of all of it at once; ``start_again`` is the only way back."""
        self._child.signal(signal.SIGKILL)

    async def start_again(self) -> None:
        """What has crashed, with the same configuration and data."""
        await self._child.process.wait()
        role = "" if self.roles is ROLES else self.roles[0]
        self._child = await _start(self.config, role, self.host)
        await self.ready()

    def freeze(self) -> None:
        """As a host that hangs: everything stands, every connection stays."""
        self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.signal(signal.SIGCONT)

    async def came_back(self, role: str, old: int, timeout_s: float = _READY_S) -> None:
        """Wait until another process runs the role and all roles are ready."""
        deadline = time.monotonic() + timeout_s
        while self.pid(role) == old:
            if time.monotonic() > deadline:
                raise self._child.failure(f"did not start {role} again within {timeout_s} s")
            await asyncio.sleep(0.05)
        await self.ready(timeout_s)

    async def idle(self, timeout_s: float = 10.0) -> None:
        """Wait until no call is left in the controller and no session on the media server."""
        deadline = time.monotonic() + timeout_s
        while (calls := await self.status.calls()) or await self.sessions():
            if time.monotonic() > deadline:
                raise self._child.failure(f"has {await self.sessions()} media sessions and these calls left: {calls}")
            await asyncio.sleep(0.1)

    async def sessions(self) -> int:
        return int(await self.status.metric("media", "mediaserverd_media_sessions"))

    def reload(self) -> None:
        os.kill(self._child.pid, signal.SIGHUP)

    def log(self) -> list[Json]:
        """The lines that are JSON; a line that is not is kept as ``{"text": ...}``."""
        return [_parsed(line) for line in self._child.output().splitlines() if line.strip()]

    async def logged(self, event: str, timeout_s: float = 10.0) -> Json:
        """The first line of that event, once there is one."""
        await self._child.wait_for(f'"event": ?"{event}"', timeout_s)
        return next(line for line in self.log() if line.get("event") == event)

    def expect(self, *events: str) -> None:
        self._expected.update(events)

    def errors(self) -> list[Json]:
        """Log lines that nobody announced: errors, and whatever is not a log line (a traceback)."""
        return [
            line
            for line in self.log()
            if line.keys() == {"text"}
            or (line.get("level") in ("error", "critical") and line.get("event") not in self._expected)
            or ("exception" in line and line.get("event") not in self._expected)
        ]

    async def ended(self, timeout_s: float = _STOP_S) -> int:
        """Wait for it to end by itself; its exit status."""
        return await self._child.ended(timeout_s)

    async def stop(self) -> list[str]:
        """End it as an administrator would. Returns what was wrong with that."""
        for door in (self.status, getattr(self, "api", None), getattr(self, "retrieval", None)):
            if door is not None:
                await door.close()
        self.thaw()
        was_running = self._child.running
        if was_running:
            os.kill(self._child.pid, signal.SIGTERM)
        faults = []
        try:
            status = await self._child.ended(_STOP_S)
            if was_running and status:
                faults.append(f"the daemon ended with {status}")
        except Exception as fault:
            faults.append(str(fault))
        if left := self._left_behind():
            faults.append(f"processes were left behind: {left}")
        await self._child.stop()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if errors := self.errors():
            faults.append(f"unexpected errors in {self._child.log}: {errors[:5]}")
        return faults

    def _left_behind(self) -> dict[int, str]:
        """Processes whose command line has this configuration: the path of a test is its own."""
        mark, found = str(self.config), {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in (os.getpid(), self._child.pid):
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if mark in words:
                    found[int(entry.name)] = words
        return found


async def _start(config: Path, role: str, host: Host | None) -> Child:
    alone = ("--role", role) if role else ()
    command = [sys.executable, "-m", "mediaserverd", "run", "--config", str(config), *alone]
    inside = host.inside if host else ()
    return await Child.start(f"mediaserverd{role and '-' + role}", [*inside, *command], config.parent)


def write_config(directory: Path, changes: Mapping[str, Any]) -> Path:
    """``config.yaml``: the kit's own with ``changes``; mappings are merged, everything else is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(_merged(_CONFIG, changes), sort_keys=False))
    return path


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    made = dict(base)
    for key, value in changes.items():
        old = made.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        made[key] = _merged(old, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return made


def _parsed(line: str) -> Json:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return {"text": line}
    return found if isinstance(found, dict) else {"text": line}
