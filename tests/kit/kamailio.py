"""Debian's Kamailio as a child process, with the configuration that we give to people: ``config/kamailio.cfg``.

Not responsible for media servers: their addresses come in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from tests.kit.account import Account
from tests.kit.child import Child

CONFIG: Final = Path(__file__).parents[2] / "config" / "kamailio.cfg"
HOST: Final = "127.0.0.1"
PORT: Final = 5070
_COMMAND_S: Final = 10.0


class Kamailio:
    """Use as ``async with await Kamailio.start(directory, [("127.0.0.1:2223", 1)]) as proxy``."""

    def __init__(self, directory: Path, child: Child) -> None:
        self._directory = directory
        self._child = child

    @classmethod
    async def start(cls, directory: Path, media_servers: Sequence[tuple[str, int]], *, recorded: str = "^9") -> Self:
        """``media_servers``: addresses of ng doors with their weights; ``recorded``: pattern of called numbers."""
        directory.mkdir(parents=True, exist_ok=True)
        listed = " ".join(f"udp:{address}={weight}" for address, weight in media_servers)
        words: list[str | Path] = [
            *("kamailio", "-DD", "-E", "-f", CONFIG, "-m", "16", "-M", "4"),
            *("-P", directory / "kamailio.pid", "-Y", directory),
            *("-A", f"SIP_LISTEN=udp:{HOST}:{PORT}"),
            *("-A", f'CONTROL_SOCKET="{_control(directory)}"'),
            *("-A", f'MEDIA_SERVERS="{listed}"'),
            *("-A", f'RECORDED="{recorded}"'),
        ]
        child = await Child.start("kamailio", words, directory, environment={"PATH": "/usr/sbin:/usr/bin:/bin"})
        made = cls(directory, child)
        try:
            await made._listening()
        except BaseException:
            await child.stop()
            raise
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop()

    def account(self, user: str) -> Account:
        return Account(user, HOST, PORT)

    def output(self) -> str:
        return self._child.output()

    async def wait_for(self, pattern: str, timeout_s: float = 10.0) -> re.Match[str]:
        """The first place of its log that matches."""
        return await self._child.wait_for(pattern, timeout_s)

    async def command(self, *words: str) -> str:
        """What ``kamcmd`` prints, whatever its exit status."""
        process = await asyncio.create_subprocess_exec(
            *("/usr/sbin/kamcmd", "-s", _control(self._directory), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_COMMAND_S):
            output, _ = await process.communicate()
        return output.decode()

    async def _listening(self) -> None:
        """Its control socket comes last; the SIP socket is open by then."""
        async with self._child.patience(10, "to listen"):
            while "kamailio" not in await self.command("core.version"):
                if not self._child.running:
                    raise self._child.failure(f"ended with {self._child.process.returncode}")
                await asyncio.sleep(0.05)


def _control(directory: Path) -> str:
    return f"unix:{directory / 'kamailio.ctl'}"
