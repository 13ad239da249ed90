"""``make bench``: measures, shows the tables, and writes them as JSON if asked to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import report
from bench.campaign import Campaign, Plan
from bench.native import program

_LONGEST_S = 600.0  # two to three minutes are usual; a hanging daemon must not keep a build server
_LOG_WIDTH = 120  # where nobody's terminal says how wide it is


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(one) for one in text.split(",")})
    if not all(0 < number <= 2000 for number in numbers):
        raise typer.BadParameter("numbers from 1 to 2000, with commas")
    return numbers


def measure(
    calls: Annotated[str, typer.Option(help="How many calls at once, one after the other.")] = "50,200,500",
    seconds: Annotated[float, typer.Option(help="Seconds of audio for each.", min=2, max=60)] = 5.0,
    rates: Annotated[str, typer.Option(help="Calls per second to try.")] = "20,50",
    rate_seconds: Annotated[float, typer.Option(help="Seconds of each rate.", min=1, max=60)] = 6.0,
    out: Annotated[Path | None, typer.Option(help="Write the results here too, as JSON.")] = None,
) -> None:
    """How many calls the daemon carries here, and at what cost, beside a bare relay in the same run."""
    plan = Plan(_numbers(calls), seconds, [float(rate) for rate in _numbers(rates)], rate_seconds)
    for name in ("rtpload", "relay_floor"):
        program(name)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=plan.steps)

        def step(what: str) -> None:
            progress.update(task, description=what, advance=1)
            if not progress.console.is_terminal:
                progress.console.print(what)

        campaign = Campaign(plan, step)
        try:
            uvloop.run(asyncio.wait_for(campaign.run(), _LONGEST_S))
        finally:
            progress.stop()
            screen = Console()
            report.show(campaign.results, screen if screen.is_terminal else Console(width=_LOG_WIDTH))
            if out is not None:
                report.write(campaign.results, out)


if __name__ == "__main__":
    typer.run(measure)
