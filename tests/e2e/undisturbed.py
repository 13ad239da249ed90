"""A daemon with two registered phones, and the call that must go through and be recorded whatever strangers do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.e2e.crowd import Conversation, converse, two_phones
from tests.kit.daemon import HOST, Daemon
from tests.kit.doors import SETTLED, Json
from tests.kit.judge import judge_stereo
from tests.kit.phone import Phone
from tests.kit.wav import read_wav

_LONG_ENOUGH_S: Final = 2.2  # for one whole second of each voice to be judged
_SETTLED_S: Final = 20.0
_SHORT_PAUSE_S: Final = 0.01


@dataclass(slots=True)
class Site:
    daemon: Daemon
    alice: Phone
    bob: Phone
    calls: int = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, directory: Path, changes: Mapping[str, Any] | None = None) -> AsyncIterator[Self]:
        async with (
            await Daemon.start(directory, changes) as daemon,
            two_phones(daemon) as (alice, bob),
        ):
            yield cls(daemon, alice, bob)

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator[Conversation]:
        """A call that is up during the block. After it both must still talk, and the recording must be whole."""
        conversation = await self.begin()
        try:
            yield conversation
            recording = await self.end(conversation)
        finally:
            await conversation.caller.hang_up()
        assert recording["state"] == "stored", recording
        await self.check_audio(conversation, recording)

    async def begin(self) -> Conversation:
        self.calls += 1
        conversation = await converse(self.alice, self.bob, "101", 900 + self.calls)
        await self.wait_for(conversation, 0.1)
        return conversation

    async def end(self, conversation: Conversation) -> Json:
        """Hang up a call that has not ended by itself; its recording once it is stored or failed."""
        await self.wait_for(conversation, _LONG_ENOUGH_S)
        assert not conversation.caller.over.is_set()
        assert not conversation.called.over.is_set()
        heard = conversation.caller.voice.ear.received, conversation.called.voice.ear.received
        await asyncio.sleep(0.2)
        assert conversation.caller.voice.ear.received > heard[0]
        assert conversation.called.voice.ear.received > heard[1]
        newest = (await self.daemon.api.recordings())[0]["id"]
        await conversation.caller.hang_up()
        await conversation.called.ended()
        async with asyncio.timeout(_SETTLED_S):
            while (recording := await self.daemon.api.recording(newest))["state"] not in SETTLED:
                await asyncio.sleep(0.1)
        return recording

    async def check_audio(self, conversation: Conversation, recording: Json) -> None:
        channels = read_wav(await self.daemon.api.audio(recording["id"]))
        starts = [one.voice.speaks_from for one in (conversation.called, conversation.caller)]
        assert starts[0] is not None
        assert starts[1] is not None
        verdict = judge_stereo(*conversation.voices, channels, called_starts_ms=1000 * (starts[0] - starts[1]))
        faults = verdict.faults(seconds=1)
        assert faults == [], f"{faults} in {recording}: {verdict}"

    async def count(self, role: str, name: str) -> float:
        return await self.daemon.status.metric(role, name)

    async def counted(self, role: str, name: str, at_least: float, timeout_s: float = 5.0) -> None:
        """Wait until the metric has reached that."""
        async with asyncio.timeout(timeout_s):
            while (found := await self.count(role, name)) < at_least:
                await asyncio.sleep(0.1)
        assert found >= at_least

    def told(self, event: str, **having: object) -> list[Json]:
        """The log lines of an event that have these values."""
        return [
            line
            for line in self.daemon.log()
            if line.get("event") == event and all(line.get(key) == value for key, value in having.items())
        ]

    def memory_kib(self, role: str) -> int:
        """What the role's process has resident."""
        status = Path(f"/proc/{self.daemon.pid(role)}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    @staticmethod
    async def wait_for(conversation: Conversation, seconds: float) -> None:
        """Until each has spoken for so long."""
        async with asyncio.timeout(seconds + 10):
            while min(conversation.caller.voice.sent, conversation.called.voice.sent) < 50 * seconds:
                await asyncio.sleep(0.05)


class Stranger:
    """A UDP socket with an address of its own, so that the log and the metrics can be told apart. Counts answers."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        self.address = address
        self.port: int = self.socket.getsockname()[1]
        self.sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, data: bytes, port: int, host: str = HOST) -> None:
        """As fast as the daemon can take it without loss in the socket: this is about content, not about load."""
        self.socket.sendto(data, (host, port))
        self.sent += 1
        if self.sent % 20 == 0:
            await asyncio.sleep(_SHORT_PAUSE_S)

    async def answers(self, expected: int = 0, timeout_s: float = 10.0) -> list[bytes]:
        """What has come, once there is as much as expected, and a moment more."""
        found: list[bytes] = []
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            found += self._waiting()
            if len(found) >= expected:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        return found + self._waiting()

    def _waiting(self) -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(65536))
        return found
