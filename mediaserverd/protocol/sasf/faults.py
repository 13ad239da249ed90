"""What can be wrong with a file: what ends the reading of it, and what is found while it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


class SasfError(ValueError):
    """The file cannot be read at all. ``offset``: the byte of the file where it goes wrong."""

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(f"{what} (byte {offset})" if offset else what)
        self.what = what
        self.offset = offset


class WrongKey(SasfError):
    """The file is encrypted, and none of the keys given opens it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as its writer left it. ``chunk`` and ``time_ms``: where in the recording, if known."""

    offset: int
    chunk: int | None
    time_ms: int | None
    what: str

    def __str__(self) -> str:
        place = "" if self.time_ms is None else f", {self.time_ms / 1000:.1f} s into the recording"
        return f"{self.what} (byte {self.offset}{place})"


def json_object(data: bytes | memoryview, what: str, offset: int) -> dict[str, Any]:
    """Raises SasfError, never anything else, for any bytes."""
    try:
        value = json.loads(bytes(data))
    except RecursionError as fault:
        raise SasfError(f"{what} is nested too deeply", offset) from fault
    except ValueError as fault:
        raise SasfError(f"{what} is not JSON", offset) from fault
    if not isinstance(value, dict):
        raise SasfError(f"{what} is not a JSON object", offset)
    return value
