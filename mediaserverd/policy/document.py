"""Reading a policy document that some YAML file was: every fault is found, with its path, before anything is refused.

Knows no YAML and no files: ``where`` is a name for people, and who loaded the file finds the line of a path.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MAX_FAULTS: Final = 100  # nobody reads more; a document that is wrong throughout stays cheap
MAX_ENTRIES: Final = 10_000  # of any list: far above any site, far below what would stop the controller


Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """``keys`` lead to the place, ("policies", 2, "when"); none of them: the document as a whole."""

    where: str
    keys: Path
    text: str

    @property
    def path(self) -> str:
        """``policies[2].when``"""
        shown = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys)
        return "".join(shown).removeprefix(".")

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.text) if part)


class PolicyError(ValueError):
    """The document cannot be used; what ran before goes on."""

    def __init__(self, faults: Collection[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class Node:
    """A value of the document and its path. Readers return a default after noting a fault, so that reading goes on."""

    __slots__ = ("_faults", "keys", "value", "where")

    def __init__(self, value: object, where: str, keys: Path = (), faults: list[Fault] | None = None) -> None:
        self.value, self.where, self.keys = value, where, keys
        self._faults: list[Fault] = [] if faults is None else faults

    def fault(self, text: str) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(self.where, self.keys, text))

    def raise_faults(self) -> None:
        if self._faults:
            raise PolicyError(self._faults)

    @property
    def absent(self) -> bool:
        return self.value is None

    def __getitem__(self, key: str) -> Node:
        """The value under a key of a mapping; an absent one is a node too."""
        value = self.value.get(key) if isinstance(self.value, Mapping) else None
        return Node(value, self.where, (*self.keys, key), self._faults)

    def mapping(self, *keys: str) -> Node:
        """Notes a fault unless this is a mapping with no other keys than these."""
        if not isinstance(self.value, Mapping):
            self.fault("expected a mapping" if not self.absent else "is missing")
            return self
        for key in self.value:
            if key not in keys:
                known = ", ".join(keys)
                Node(None, self.where, (*self.keys, str(key)), self._faults).fault(f"unknown; known here: {known}")
        return self

    def items(self) -> Iterator[tuple[str, Node]]:
        if isinstance(self.value, Mapping):
            for key, value in self.value.items():
                yield str(key), Node(value, self.where, (*self.keys, str(key)), self._faults)
        elif not self.absent:
            self.fault("expected a mapping")

    def entries(self) -> Iterator[Node]:
        """The entries of a list; an absent one has none, and a single value stands for a list of one."""
        if not isinstance(self.value, (list, tuple)):
            if not self.absent:
                yield self
            return
        if len(self.value) > MAX_ENTRIES:
            self.fault(f"more than {MAX_ENTRIES} entries")
        for index, value in enumerate(self.value[:MAX_ENTRIES]):
            yield Node(value, self.where, (*self.keys, index), self._faults)

    def text(self, default: str = "") -> str:
        if self.absent:
            return default
        if not isinstance(self.value, str):
            # YAML reads 0123 as octal and +49 as 49: a number that is dialled must be quoted.
            self.fault(f"expected text, got {_shown(self.value)}; write it in quotes")
            return default
        return self.value

    def required_text(self) -> str:
        if self.absent or self.value == "":
            self.fault("is missing")
            return ""
        return self.text()

    def texts(self) -> tuple[str, ...]:
        return tuple(entry.required_text() for entry in self.entries())

    def one_of(self, known: Collection[str], default: str) -> str:
        found = self.text(default)
        if found not in known:
            self.fault(f"{found!r} is none of {', '.join(known)}")
            return default
        return found

    def flag(self, default: bool = False) -> bool:
        if isinstance(self.value, bool):
            return self.value
        if not self.absent:
            self.fault(f"expected true or false, got {_shown(self.value)}")
        return default

    def number(self, least: float, most: float, default: float) -> float:
        if self.absent:
            return default
        value = self.value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
            return float(value)
        self.fault(f"expected a number from {least:g} to {most:g}, got {_shown(value)}")
        return default


def _shown(value: object) -> str:
    return repr(value)[:40]
