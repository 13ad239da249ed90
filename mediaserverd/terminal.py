"""What the commands of the command line share: the configuration they work on, and how a fault is told.

Not responsible for any command: ``__main__`` and the files it names have those.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import typer
from rich.console import Console

from mediaserverd.config import Config, ConfigError, load_config
from mediaserverd.process.role import StartFault

EXIT_FAULT: Final = 78  # EX_CONFIG
DEFAULT_CONFIG: Final = Path("/etc/mediaserverd/config.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="MEDIASERVERD_CONFIG", help="The configuration file.", show_default=True),
]

out = Console()
err = Console(stderr=True)

T = TypeVar("T")


def fail(*lines: str) -> NoReturn:
    for line in lines:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_FAULT)


def load(file: Path) -> Config:
    try:
        return load_config(file)
    except ConfigError as error:
        fail(*(str(fault) for fault in error.faults), f"{len(error.faults)} fault(s); nothing was changed")


def told(action: Callable[[], T]) -> T:
    """Turns what an administrator can mend into a sentence."""
    try:
        return action()
    except (StartFault, ValueError, OSError) as fault:
        fail(str(fault))
