"""Runs a program on a disk that can fall sick: ``sick_disk.c``, compiled once a session and preloaded.

A program says ``disk()`` and then ``.sick_disk_stall(seconds)``, ``.sick_disk_refuse(errno)`` or
``.sick_disk_cut_power(leave_zeros)``.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_suffix(".c")


def disk() -> ctypes.CDLL:
    """In the program: the layer that it was started with."""
    layer = ctypes.CDLL(None)
    layer.sick_disk_stall.argtypes = [ctypes.c_double]
    return layer


def compiled(folder: Path) -> Path:
    layer = folder / "sick_disk.so"
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    made = subprocess.run(["cc", *flags, "-o", layer, SOURCE, "-ldl", "-pthread"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return layer


def start(program: str, layer: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(layer)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(program: str, layer: Path, *arguments: str | Path) -> list[str]:
    """What it prints, in lines."""
    with start(program, layer, *arguments) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()
