"""PJSIP (pjsua2) as a softphone in a child process; see ``pjsip_child`` for what runs there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final, Literal, Self

from tests.kit.account import LOOPBACK, Account
from tests.kit.child import Child
from tests.kit.speech import Samples, silence
from tests.kit.wav import read_wav, write_wav

_STEP_S: Final = 15.0
_ROOT: Final = Path(__file__).parents[2]


class Pjsip:
    """One PJSIP phone with one account. Use as ``async with await Pjsip.start(...)``."""

    # Packets that came while it set up its audio make its buffer too deep, and it then discards them little by little.
    SETTLING_S: Final = 2.0

    def __init__(self, directory: Path, account: Account, child: Child) -> None:
        self.directory = directory
        self.account = account
        self._child = child
        self._seen: list[str] = []
        self._arrived = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        directory: Path,
        account: Account,
        spoken: Samples,
        *,
        address: str = LOOPBACK,
        listen: int = 0,
        rtp_first: int = 41000,
    ) -> Self:
        """``address`` is its own, ``listen`` its SIP port there on the account's transport [any]; ``rtp_first``: the
        first of its RTP ports."""
        _prepare(directory, spoken)
        command = [sys.executable, "-m", "tests.kit.pjsip_child"]
        child = await Child.start("pjsip", command, directory, environment={"PYTHONPATH": str(_ROOT)}, pipes=True)
        phone = cls(directory, account, child)
        phone._send(
            {
                "identity": f"sip:{account.user}@{account.host}",
                "registrar": f"sip:{account.host}:{account.port};transport={account.transport}",
                "user": account.user,
                "password": account.password,
                "transport": account.transport,
                "authority": str(account.authority or ""),
                "address": address,
                "listen": listen,
                "rtp_first": rtp_first,
                "codecs": list(account.codecs),
                "spoken": str(directory / "spoken.wav"),
                "heard": str(directory / "heard.wav"),
                "log": str(directory / "pjsip-trace.log"),
            }
        )
        await phone._event("ready")
        return phone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def register(self) -> None:
        await self._event("registered")

    async def dial(self, uri: str) -> None:
        self._send({"do": "dial", "uri": uri})

    async def rings(self) -> None:
        await self._event("rings")

    async def answer(self) -> None:
        self._send({"do": "answer"})

    async def established(self) -> None:
        await self._event("established")

    async def hold(self) -> None:
        self._send({"do": "hold"})

    async def resume(self) -> None:
        self._send({"do": "resume"})

    async def press(self, digits: str, by: Literal["rtp", "info"] = "rtp") -> None:
        """Keys, as telephone events in RTP (RFC 4733) or each in a SIP INFO."""
        self._send({"do": "press", "digits": digits, "by": by})

    async def hang_up(self) -> None:
        self._send({"do": "hang_up"})

    async def cleared(self) -> None:
        await self._event("cleared")

    async def close(self) -> None:
        """Ends it as a user would: it unregisters first, so that no stale contact is left behind."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._send({"do": "quit"})
            await asyncio.wait_for(self._child.process.wait(), 5)
        self._reader.cancel()
        await self._child.stop()

    def heard(self) -> Samples:
        """What came out of its ear piece, silence included; complete when the phone is closed."""
        path = self.directory / "heard.wav"
        return read_wav(path)[0] if path.exists() else silence(0)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._child.process.stdin is not None
        self._child.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self._child.process.stdout is not None
        async for line in self._child.process.stdout:
            message: dict[str, Any] = json.loads(line)
            with (self._child.log).open("a") as log:
                log.write(line.decode())
            self._seen.append(str(message["event"]))
            self._arrived.set()
        await self._child.process.wait()
        self._arrived.set()

    async def _event(self, name: str) -> None:
        """Events may come before they are waited for, so all that were seen and not yet waited for count."""
        async with self._child.patience(_STEP_S, f"to {name!r} (seen: {self._seen})"):
            while name not in self._seen:
                if not self._child.running:
                    raise self._child.failure(f"ended with {self._child.process.returncode}")
                self._arrived.clear()
                await self._arrived.wait()
        self._seen.remove(name)


def _prepare(directory: Path, spoken: Samples) -> None:
    directory.mkdir(parents=True)
    write_wav(directory / "spoken.wav", spoken)
