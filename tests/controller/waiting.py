"""Waiting for something that real sockets bring about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    """Returns once the condition holds; TimeoutError when it does not within the limit."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)
