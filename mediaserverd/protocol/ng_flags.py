"""The flags that newer proxies leave to the server to understand: one string under the key ``rtpp-flags``.

Words, ``key=value`` and ``key=[a b]``, where a bracket may hold words, pairs and brackets:
``codec=[strip=[EVS] mask=[all]]``. Not responsible for what a flag means. Nothing is refused here: what is broken is
taken as far as it goes.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Value: TypeAlias = "int | str | list[Value] | dict[str, Value]"
Item: TypeAlias = tuple[str, "Value | None"]  # a word has no value, a bracket within a bracket may have no key

MAX_BRACKETS: Final = 8  # one within the other; those in use have 3
_TOKEN: Final = re.compile(r"(?P<key>[^\s\[\]=]+)?=?\[|\]|[^\s\[\]]+")


def items_of(text: str) -> list[Item]:
    """In their order; a key may come again."""
    open_ones: list[tuple[str, list[Item]]] = [("", [])]
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word.endswith("["):
            if len(open_ones) > MAX_BRACKETS:
                break
            open_ones.append((token["key"] or "", []))
        elif word != "]":
            key, equals, value = word.partition("=")
            open_ones[-1][1].append((key, value if equals else None))
        elif len(open_ones) > 1:
            _close(open_ones)
    while len(open_ones) > 1:
        _close(open_ones)
    return open_ones[0][1]


def _close(open_ones: list[tuple[str, list[Item]]]) -> None:
    key, items = open_ones.pop()
    open_ones[-1][1].append((key, _value(items)))


def _value(items: list[Item]) -> Value:
    if items and all(key and value is not None for key, value in items):
        return {key: value for key, value in items if value is not None}
    return [key if value is None else value for key, value in items]
