"""The kit's hosts: what is cut off is silent, what is frozen stands; and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.kit.child import Child
from tests.kit.hosts import Host, Network

_SERVER = """
import asyncio, sys
async def answer(reader, writer):
    while line := await reader.readline():
        writer.write(line)
async def main():
    await asyncio.gather(*[(await asyncio.start_server(answer, at, 7)).serve_forever() for at in sys.argv[1:]])
asyncio.run(main())
"""


async def echoed(address: str, port: int) -> bytes:
    async with asyncio.timeout(5):
        while True:
            try:
                reader, writer = await asyncio.open_connection(address, port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)  # it is starting
        try:
            writer.write(b"hello\n")
            return await reader.readline()
        finally:
            writer.close()


async def echo_server(host: Host, directory: Path) -> Child:
    return await Child.start(
        f"echo-{host.name}", [*host.inside, sys.executable, "-c", _SERVER, host.address, "127.0.0.1"], directory
    )


async def test_a_host_is_reached_until_it_is_cut_off_and_again_when_it_is_mended(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        one, two = await network.add("one"), await network.add("two")
        assert one.address != two.address
        async with await echo_server(one, tmp_path), await echo_server(two, tmp_path) as frozen:
            assert await echoed(one.address, 7) == b"hello\n"
            assert await echoed("127.0.0.1", await one.window(7)) == b"hello\n"
            one.cut()
            with pytest.raises((TimeoutError, OSError)):
                async with asyncio.timeout(0.5):
                    await echoed(one.address, 7)
            assert await echoed(two.address, 7) == b"hello\n"
            assert await echoed("127.0.0.1", await one.window(7)) == b"hello\n"  # the host itself lives
            one.mend()
            assert await echoed(one.address, 7) == b"hello\n"
            frozen.signal(signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await echoed(two.address, 7)
            frozen.signal(signal.SIGCONT)
            assert await echoed(two.address, 7) == b"hello\n"


async def test_nothing_of_the_hosts_is_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with Network(tmp_path) as network:
        await network.add("one")
        assert "host0" in os.listdir("/proc/sys/net/ipv4/conf")
    assert "host0" not in os.listdir("/proc/sys/net/ipv4/conf")
    assert len(os.listdir("/proc/self/fd")) <= before
