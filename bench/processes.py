"""What a process and its descendants have used, from /proc. CPU time to the nanosecond where the kernel tells it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_seconds: float  # of those that run now; what an ended child used is not in it
    rss_bytes: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.rss_bytes + other.rss_bytes)


def usage(pid: int) -> Usage:
    """Of the process and all that descend from it."""
    return sum((_of_one(one) for one in (pid, *descendants(pid))), Usage(0.0, 0))


def descendants(pid: int) -> list[int]:
    parents = dict(_parents())
    found: list[int] = []
    level = {pid}
    while level := {child for child, parent in parents.items() if parent in level}:
        found.extend(sorted(level))
    return found


def command_line(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return []  # it has ended


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                yield int(entry.name), int(fields[1])


def _of_one(pid: int) -> Usage:
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return Usage(0.0, 0)
    return Usage(_cpu_seconds(pid), pages * _PAGE_BYTES)


def _cpu_seconds(pid: int) -> float:
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except OSError:  # a kernel without it, or a thread that has just ended
        fields = _stat(pid)
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may have spaces and brackets in it: state, parent, ..."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
