"""The body of an HTTP request, read within a limit: whoever may ask may still not fill the memory with it."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request


class TooLong(ValueError):
    """The body has more bytes than are taken. What came of it has been thrown away."""


async def json_body(request: Request, limit_bytes: int) -> Any:
    """The JSON value in a body of at most ``limit_bytes``; no body is as good as an empty object.

    Raises TooLong, or ValueError when it is not JSON or too deeply nested.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise TooLong(f"the body may have {limit_bytes} bytes")
    try:
        return json.loads(body) if body.strip() else {}
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
