"""Builds the bench's C++ programs with g++ into ``build/bench/``, when they are missing or older than their sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).parent
_BUILD: Final = _SOURCES.parent / "build" / "bench"
_FLAGS: Final = ("-std=c++20", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")


class BuildFailed(Exception):
    """The compiler's own words."""


def program(name: str) -> Path:
    """The program made from ``NAME.cpp``; takes some seconds the first time."""
    built = _BUILD / name
    newest = max(file.stat().st_mtime for file in (_SOURCES / f"{name}.cpp", *_SOURCES.glob("*.hpp")))
    if built.exists() and built.stat().st_mtime >= newest:
        return built
    print(f"==> building {name} (once, some seconds)", file=sys.stderr, flush=True)
    _BUILD.mkdir(parents=True, exist_ok=True)
    fresh = _BUILD / f".{name}.{os.getpid()}"  # two tests may build at once; whoever is last replaces
    command = ["g++", *_FLAGS, "-o", str(fresh), str(_SOURCES / f"{name}.cpp")]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if made.returncode != 0:
        raise BuildFailed(f"{name}.cpp does not compile:\n{made.stderr}")
    fresh.replace(built)
    return built
