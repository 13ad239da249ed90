"""The bare relay as a process: the floor that a media server's cost is measured from."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from bench.native import program
from bench.rtp_load import LoadFailed, LoadSide, LoadTarget, phone_address

_ADDRESS: Final = "127.0.0.1"
_FIRST_PORT: Final = 20_000
_READY_S: Final = 10.0


@contextlib.asynccontextmanager
async def relay_floor(calls: int) -> AsyncIterator[tuple[int, list[LoadTarget]]]:
    """A relay for so many calls: its process id, and the calls."""
    targets = [_target(call) for call in range(calls)]
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(program, "relay_floor"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(map(_line, targets)).encode())
        process.stdin.close()
        async with asyncio.timeout(_READY_S):
            if await process.stdout.readline() != b"ready\n":
                assert process.stderr is not None
                raise LoadFailed((await process.stderr.read()).decode().strip())
        yield process.pid, targets
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _target(call: int) -> LoadTarget:
    """Two ports a call, as a media server opens them: the even ones, RTCP would have the odd ones."""
    port = _FIRST_PORT + 4 * call
    return LoadTarget(
        LoadSide(phone_address(call, "caller"), (_ADDRESS, port)),
        LoadSide(phone_address(call, "called"), (_ADDRESS, port + 2)),
    )


def _line(target: LoadTarget) -> str:
    both = (target.caller, target.called)
    return " ".join(f"{host}:{port}" for side in both for host, port in (side.remote, side.local)) + "\n"
