"""What the commands of the command line share: the configuration they work on, and how a fault is told.

Not responsible for any command: ``__main__`` and the files it names have those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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


_COUNTS: Final = ("packets", "expected", "received", "late", "lost", "duplicates", "concealed_ms", "undecodable")
_MEASURES: Final = ("ssrc_changes", "codecs", "jitter_ms", "drift_ppm", "comfort_noise_ms", "dtmf")


def print_quality(judged: Mapping[str, Any]) -> None:
    """The quality report of a recording."""
    facts = [f"{name} {judged[name]}" for name in ("duration_ms", "skew_ms", "tap_overflow") if name in judged]
    out.print(f"  {'degraded' if judged.get('degraded') else 'not degraded'}; {', '.join(facts)}", highlight=False)
    for name in ("masked", "one_way", "unreadable"):
        for span in judged.get(name) or ():
            out.print(f"  {name}: {escape(str(span))}", highlight=False)
    table = Table("", "calling", "called")
    for name in (*_COUNTS, *_MEASURES):
        table.add_row(name, *(_shown(side.get(name)) for side in judged["sides"]))
    out.print(table)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(map(str, value))
        case float():
            return f"{value:.1f}"
    return str(value)
