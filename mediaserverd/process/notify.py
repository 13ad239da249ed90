"""The service notification protocol (sd_notify(3)): the sender, and the listener for supervised children."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from types import TracebackType

_MESSAGE_LIMIT = 4096  # bytes; states are a few words


def notify(state: str) -> None:
    """Sends ``READY=1``, ``STATUS=...`` and the like to whoever started this process; nothing if nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), _socket_name(address))
        except OSError:
            return  # a notification is a courtesy: its failure must not end the service


def watchdog_interval_s() -> float:
    """Half of what systemd allows between two signs of life; 0 when it expects none."""
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6


def _socket_name(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address


class NotifyListener:
    """Hears one child. ``address`` goes into its environment; ``on_ready`` is called at each READY=1."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self.address = f"@mediaserverd-{secrets.token_hex(16)}"
        self._on_ready = on_ready

    def __enter__(self) -> NotifyListener:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.bind(_socket_name(self.address))
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        if b"READY=1" in self._socket.recv(_MESSAGE_LIMIT).split(b"\n"):
            self._on_ready()
