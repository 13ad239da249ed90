"""The header fields of one message: their order, and finding them by name. Not here: what they mean (``headers``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from mediaserverd.protocol.sip.grammar import MAX_ELEMENTS, SipError, split_list
from mediaserverd.protocol.sip.names import long_name, name_key

Value = TypeVar("Value")


class Headers:
    """The headers of one message in order: immutable, names case-insensitive, compact names read as long ones.

    Values are text as received (unfolded); they are parsed when asked for, and what was parsed is kept.
    """

    __slots__ = ("_index", "_items", "_parsed")

    def __init__(self, items: Iterable[tuple[str, object]] = ()) -> None:
        self._items = tuple((long_name(name), str(value)) for name, value in items)
        self._index: dict[str, list[str]] = {}
        for name, value in self._items:
            self._index.setdefault(name_key(name), []).append(value)
        self._parsed: dict[tuple[str, Any, bool], Any] = {}

    def get(self, name: str) -> str | None:
        """The first value, as written."""
        values = self._index.get(name_key(name))
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """One value a header line, as written."""
        return tuple(self._index.get(name_key(name), ()))

    def elements(self, name: str) -> tuple[str, ...]:
        """All values, those in one line separated by commas too. Not for headers that have commas inside (Date...)."""
        elements: list[str] = []
        for value in self._index.get(name_key(name), ()):
            elements += split_list(value)
            if len(elements) > MAX_ELEMENTS:
                raise SipError(400, f"More than {MAX_ELEMENTS} elements in a list", value)
        return tuple(elements)

    def one(self, name: str, parse: Callable[[str], Value]) -> Value | None:
        """The first value parsed, None if the header is absent."""
        key = (name_key(name), parse, False)
        if key not in self._parsed:
            values = self._index.get(key[0])
            self._parsed[key] = parse(values[0]) if values else None
        value: Value | None = self._parsed[key]
        return value

    def all(self, name: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        """Every element parsed."""
        key = (name_key(name), parse, True)
        if key not in self._parsed:
            self._parsed[key] = tuple(parse(element) for element in self.elements(name))
        values: tuple[Value, ...] = self._parsed[key]
        return values

    def with_(self, name: str, *values: object) -> Headers:
        """The same headers, ``name`` having these values: where it was before, else at the end."""
        key = name_key(name)
        new = [(name, value) for value in values]
        at = next((i for i, (other, _) in enumerate(self._items) if name_key(other) == key), len(self._items))
        after = [item for item in self._items[at:] if name_key(item[0]) != key]
        return Headers([*self._items[:at], *new, *after])

    def with_added(self, name: str, value: object) -> Headers:
        """One more line at the end."""
        return Headers([*self._items, (name, value)])

    def with_top(self, name: str, value: object) -> Headers:
        """One more line before the first of that name, or at the top: Via, Record-Route, Route."""
        key = name_key(name)
        at = next((i for i, (other, _) in enumerate(self._items) if name_key(other) == key), 0)
        return Headers([*self._items[:at], (name, value), *self._items[at:]])

    def without(self, *names: str) -> Headers:
        gone = {name_key(name) for name in names}
        return Headers(item for item in self._items if name_key(item[0]) not in gone)

    def without_top(self, name: str) -> Headers:
        """The same headers without the first element of ``name``."""
        return self.with_(name, *self.elements(name)[1:])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name_key(name) in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Headers({list(self._items)!r})"


NO_HEADERS = Headers()
