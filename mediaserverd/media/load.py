"""How busy this host is, for those who choose among media servers: processors, and room on the spool's disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    cpu_permille: int = 0
    disk_free_bytes: int = 0


class LoadMeter:
    """``measure`` tells the load since it was last called. It may wait for the disk: call it from a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._busy, self._total = _cpu_ticks()

    def measure(self) -> Load:
        busy, total = _cpu_ticks()
        elapsed = total - self._total
        permille = 1000 * (busy - self._busy) // elapsed if elapsed > 0 else 0
        self._busy, self._total = busy, total
        return Load(max(0, min(1000, permille)), free_bytes(self._directory))


def free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _cpu_ticks() -> tuple[int, int]:
    """Busy and all ticks of all processors since boot (proc(5): user nice system idle iowait irq softirq steal)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)
