"""``mediaserverd top`` on a terminal: looks again and again, until q. Where there is no terminal, one frame.

Not responsible for what is in the frame (``top``).
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console
from rich.live import Live

from mediaserverd.config import Config
from mediaserverd.top import frame
from mediaserverd.top_samples import Sample, look

PAPER_WIDTH: Final = 120  # where nobody knows how wide it is
PAPER_HEIGHT: Final = 60
_QUIT: Final = b"qQ"


def show(config: Config, interval_s: float, *, once: bool) -> bool:
    """False when nothing could be seen of the controller in the end."""
    if once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _print_one(config, interval_s)
    out = Console()
    now = before = look(config)
    screen = Live(console=out, screen=True, auto_refresh=False)
    with suppress(KeyboardInterrupt), _keys(sys.stdin.fileno()), screen:
        screen.update(frame(now, before, out.height), refresh=True)
        while not _pressed(sys.stdin.fileno(), interval_s):
            now, before = look(config), now
            screen.update(frame(now, before, out.height), refresh=True)
    return now.overview is not None


def _print_one(config: Config, interval_s: float) -> bool:
    """Two looks, for the rates."""
    before = look(config)
    time.sleep(interval_s)
    now: Sample = look(config)
    out = Console() if sys.stdout.isatty() else Console(width=PAPER_WIDTH)
    out.print(frame(now, before, PAPER_HEIGHT))
    return now.overview is not None


@contextmanager
def _keys(terminal: int) -> Iterator[None]:
    """Keys come one by one and are not shown."""
    kept = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, kept)


def _pressed(terminal: int, limit_s: float) -> bool:
    """Whether somebody wants to quit, within that time."""
    end_s = time.monotonic() + limit_s
    while (left_s := end_s - time.monotonic()) > 0:
        ready, _, _ = select.select([terminal], [], [], left_s)
        if ready and _wants_to_quit(terminal):
            return True
    return False


def _wants_to_quit(terminal: int) -> bool:
    keys = os.read(terminal, 64)
    return not keys or any(key in _QUIT for key in keys)
