"""Hosts for a test: network namespaces with addresses of their own, joined by veth pairs to a bridge in the test's.

A host can be cut off (its cable, in effect), and whatever runs on it too can be frozen or killed. It is gone with the
test, however that ends: a namespace lives as long as a process in it, and those die with the test run. Needs a network
namespace in which the test is root (``tests/in-netns``, also without being root outside). Not responsible for what
runs on a host (``site``).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.kit.child import Child

HERE: Final = "10.93.0.1"  # the test itself, where the phones are
_BRIDGE: Final = "hosts"
_FIRST: Final = 11  # the last number of the first host's address
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PIECE: Final = 1 << 16
_CONNECT_S: Final = 2.0


class Host:
    """``address`` is its own; the test reaches it there, and at its loopback through a ``window``."""

    def __init__(self, name: str, number: int, holder: Child) -> None:
        self.name = name
        self.address = f"10.93.0.{_FIRST + number}"
        self._cable = f"host{number}"
        self._holder = holder
        self._windows: list[asyncio.Server] = []

    @property
    def inside(self) -> tuple[str, ...]:
        """What goes before a command so that it runs on this host."""
        return "nsenter", f"--net={self._namespace}", "--"

    def connect(self) -> None:
        """Plug it in for the first time; its namespace is there already."""
        _ip(f"link add {self._cable} type veth peer name eth0 netns {self._holder.pid}")
        _ip(f"link set {self._cable} master {_BRIDGE} up")
        for command in ("link set lo up", f"address add {self.address}/24 dev eth0", "link set eth0 up"):
            _ip(command, self.inside)

    def cut(self) -> None:
        """No packet goes to or from it any more, and nobody is told."""
        _ip(f"link set {self._cable} down")

    def mend(self) -> None:
        _ip(f"link set {self._cable} up")

    async def window(self, port: int) -> int:
        """A port on the test's own loopback behind which is this port of the host's loopback."""
        server = await asyncio.start_server(lambda *ends: self._look_through(port, *ends), "127.0.0.1", 0)
        self._windows.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def remove(self) -> None:
        for window in self._windows:
            window.close()
        await self._holder.stop()

    @property
    def _namespace(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/ns/net")

    async def _look_through(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.to_thread(self._connection, port)
            far_reader, far_writer = await asyncio.open_connection(sock=there)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(OSError):
            await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))

    def _connection(self, port: int) -> socket.socket:
        """A socket belongs for life to the namespace of the thread that made it, at the moment of the making."""
        with Path("/proc/thread-self/ns/net").open() as home, self._namespace.open() as there:
            _enter(there.fileno())
            try:
                made = socket.socket()
            finally:
                _enter(home.fileno())
        made.settimeout(_CONNECT_S)
        try:
            made.connect(("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        made.setblocking(False)
        return made


class Network:
    """Use as ``async with Network(directory) as network``; ``directory`` is for the logs of the hosts' keepers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.hosts: list[Host] = []

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        _ip(f"link add {_BRIDGE} type bridge")
        _ip(f"address add {HERE}/24 dev {_BRIDGE}")
        _ip(f"link set {_BRIDGE} up")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts:
            await host.remove()
        _ip(f"link delete {_BRIDGE}")

    async def add(self, name: str) -> Host:
        keeper = await Child.start(f"host-{name}", ["unshare", "--net", "sleep", "infinity"], self._directory)
        host = Host(name, len(self.hosts), keeper)
        self.hosts.append(host)
        async with keeper.patience(10.0, "to have a network of its own"):
            while os.readlink(host._namespace) == os.readlink("/proc/self/ns/net"):
                await asyncio.sleep(0.01)
        host.connect()
        return host


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace of a host")


def _ip(command: str, inside: Sequence[str] = ()) -> None:
    done = subprocess.run([*inside, "ip", *command.split()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {command}: {done.stderr.strip()}")
