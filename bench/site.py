"""The daemon under load: all three roles, started by the command line in a directory of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench.processes import Usage, command_line, descendants, usage
from bench.sip_load import FAR_END_ADDRESS, NUMBER_PREFIX
from tests.kit.account import Account
from tests.kit.child import Child

Role = Literal["controller", "media", "recorder"]
STATUS_PORTS: Final[dict[Role, int]] = {"controller": 9501, "media": 9502, "recorder": 9503}

_SIP: Final = ("127.0.0.1", 5060)
_READY_S: Final = 30.0
_STOP_S: Final = 20.0
_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the recordings. ``missed`` are packets that the tap could not take in."""

    expected: int
    stored: int
    failed: int
    missed: int
    seconds: float  # until the last was stored, or the waiting was given up

    @property
    def is_complete(self) -> bool:
        return self.stored == self.expected and self.failed == 0 and self.missed == 0


class Site:
    """``account`` is the station that calls; numbers that begin with ``NUMBER_PREFIX`` go out by the line."""

    def __init__(self, child: Child, account: Account) -> None:
        self.account = account
        self._child = child
        self._roles: dict[Role, int] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, record: Literal["all", "none"]) -> AsyncIterator[Site]:
        with tempfile.TemporaryDirectory(prefix="mediaserverd-bench-") as name:
            directory = Path(name)
            account = await _configure(directory, record)
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "mediaserverd",
                "run",
                "--config",
                directory / "config.yaml",
            ]
            child = await Child.start("daemon", command, directory)
            try:
                site = cls(child, account)
                await site._ready()
                yield site
            finally:
                await child.stop(_STOP_S)

    def usage(self) -> Mapping[Role, Usage]:
        """Of each role with its own children."""
        return {role: usage(pid) for role, pid in self._roles.items()}

    async def recorded(self, within_s: float) -> Recorded:
        """Wait until every recording that was expected is stored, but not longer than ``within_s``."""
        begun = time.monotonic()
        while True:
            recorder, media = await _metrics("recorder"), await _metrics("media")
            expected, stored = recorder.get("recordings_expected_total", 0), recorder.get("recordings_stored_total", 0)
            failed = recorder.get("recordings_failed_total", 0)
            waited = time.monotonic() - begun
            if stored + failed >= expected or waited > within_s:
                missed = media.get("mediaserverd_media_tap_overflow_packets_total", 0)
                return Recorded(int(expected), int(stored), int(failed), int(missed), waited)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _ready(self) -> None:
        async with self._child.patience(_READY_S, "to be ready"), httpx.AsyncClient() as client:
            for port in STATUS_PORTS.values():
                while not await _is_ready(client, port):
                    if not self._child.running:
                        raise self._child.failure("ended")
                    await asyncio.sleep(_LOOK_EVERY_S)
        self._roles = {role: pid for pid in descendants(self._child.pid) if (role := _role(pid)) is not None}


async def _configure(directory: Path, record: str) -> Account:
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediaserverd", "init", "--directory", str(directory)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await made.wait() != 0:
        raise RuntimeError("mediaserverd init failed")
    file = directory / "config.yaml"
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    host, port = FAR_END_ADDRESS
    document |= {
        "record": record,
        "audio_path": "always-in",  # what is measured is the relay, with and without recording
        "lines": [
            {"name": "far-end", "address": f"{host}:{port}", "transport": "udp", "numbers": [f"{NUMBER_PREFIX}*"]}
        ],
        "log": {"level": "info", "format": "json"},  # as in production: a line a call
        "discard_calls_shorter_than_s": 0,  # those of the set-up rates are
        "drain_timeout_s": 2.0,  # all calls have ended by then
    }
    file.write_text(json.dumps(document))  # YAML too
    station = document["stations"][0]
    return Account(station["name"], *_SIP, password=station["password"])


def _role(pid: int) -> Role | None:
    """Which role's main process it is, by its command line; a role's own children have another one."""
    words = command_line(pid)
    named = words[words.index("--role") + 1] if "--role" in words[:-1] else ""
    return next((role for role in STATUS_PORTS if role == named), None)


async def _is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def _metrics(role: Role) -> dict[str, float]:
    """Each sample's value; those of one name are added up."""
    async with httpx.AsyncClient(timeout=10) as client:
        text = (await client.get(f"http://127.0.0.1:{STATUS_PORTS[role]}/metrics")).text
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return values
