"""Debian's rtpengine-daemon as a child process: a media server that we did not write. Userspace forwarding only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

from mediaserverd.process.tls import ServerTls
from tests.kit.child import Child


class Rtpengine:
    """Use as ``async with await Rtpengine.start(directory, tls, 9443) as relay``."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    async def start(cls, directory: Path, tls: ServerTls, port: int) -> Self:
        """Its WebSocket over TLS listens on ``port`` of loopback."""
        directory.mkdir(parents=True, exist_ok=True)
        words: list[str | Path] = [
            *("rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1"),
            *("--interface=127.0.0.1", "--port-min=31000", "--port-max=31999", f"--pidfile={directory / 'pid'}"),
            *(f"--listen-https=127.0.0.1:{port}", f"--https-cert={tls.certificate}", f"--https-key={tls.private_key}"),
        ]
        child = await Child.start("rtpengine", words, directory)
        made = cls(child)
        try:
            await made._listening(port)
        except BaseException:
            await child.stop()
            raise
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop()

    def output(self) -> str:
        return self._child.output()

    async def _listening(self, port: int) -> None:
        async with self._child.patience(10, "to listen"):
            while self._child.running:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return
            raise self._child.failure(f"ended with {self._child.process.returncode}")
