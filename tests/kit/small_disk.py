"""A disk of a few MB that a test can fill and free: a tmpfs, mounted in the namespace of the test run."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Final, Self

_PIECE: Final = bytes(64 << 10)


class SmallDisk:
    """Use as ``with SmallDisk(directory, mib) as disk``, before the daemon starts and until after its end."""

    def __init__(self, directory: Path, mib: int) -> None:
        self.directory = directory
        self._mib = mib
        self._filler = directory / "filler"

    def __enter__(self) -> Self:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={self._mib}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.directory], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.directory], check=True)

    def fill(self, but_kib: int = 0) -> None:
        """Takes all the room that is left, but for so much."""
        free = os.statvfs(self.directory)
        left = free.f_bavail * free.f_frsize - but_kib * 1024
        with self._filler.open("ab", buffering=0) as file:
            while left > 0:
                piece = _PIECE[:left]
                try:
                    left -= file.write(piece)
                except OSError as fault:
                    if fault.errno == errno.ENOSPC:
                        return
                    raise

    def free(self) -> None:
        self._filler.unlink()
