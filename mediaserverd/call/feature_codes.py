"""Feature codes among the digits of one side. Pure: digits and time in, digits and codes out.

A digit that may be the beginning of a code is held back until it is known, for a code is a command and not content.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

CODE_GAP_S: Final = 3.0  # between two keys of one code


@dataclass(frozen=True, slots=True)
class Typed:
    """``digits`` are content, ``code`` was completed. Either may be empty."""

    digits: str = ""
    code: str = ""


class CodeReader:
    """No code may be the beginning of another one. ``until``: what is held is let go then."""

    def __init__(self, codes: Collection[str]) -> None:
        self.until: float | None = None
        self._codes = frozenset(code for code in codes if code)
        self._held = ""

    def typed(self, digit: str, now: float) -> Typed:
        held = ("" if self.until is not None and now >= self.until else self._held) + digit
        free = self._held if len(held) == 1 else ""
        while held and not any(code.startswith(held) for code in self._codes):
            free, held = free + held[0], held[1:]
        code = held if held in self._codes else ""
        self._held = "" if code else held
        self.until = now + CODE_GAP_S if self._held else None
        return Typed(free, code)

    def let_go(self) -> str:
        """The digits that became no code."""
        held, self._held, self.until = self._held, "", None
        return held
