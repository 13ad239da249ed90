"""What it costs to select a media server for a call: 1,000 servers in 100 locations, 200 rules.

``python -m bench.selection`` prints milliseconds of CPU for a selection, and the ratio to sorting all the servers for
it, which is what an index saves. Each selection comes after the pings of 1/50 s, so that the index's upkeep at 50
calls/s counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median, quantiles
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from mediaserverd.policy.facts import CallDirection, CallFacts, Party
from mediaserverd.policy.fleet import Fleet, MediaServer
from mediaserverd.policy.selection import SelectionRequest, SelectionRules
from mediaserverd.policy.selection_document import from_document

SERVERS: Final = 1000
LOCATIONS: Final = tuple(f"l{number:02}" for number in range(100))
RULES: Final = 200
PINGED: Final = SERVERS * 4 // 50  # each server says four times a second how it stands


@dataclass(frozen=True, slots=True)
class Row:
    """``middle_ms`` and ``p99_ms`` of one selection, ``sorting_ms`` of sorting all servers once."""

    name: str
    middle_ms: float
    p99_ms: float
    sorting_ms: float

    @property
    def ratio(self) -> float:
        return self.middle_ms / self.sorting_ms


def site() -> SelectionRules:
    """Most rules are as people write them; the last has 200 conditions before the entry that counts, and ``default``
    leads everywhere."""
    lines = [f"line{number}" for number in range(RULES)]
    common: dict[str, list[Any]] = {
        f"rule{number}": [
            {"location": LOCATIONS[number % 100], "when": {"direction": "inbound", "time": "08:00-18:00"}},
            {"group": [LOCATIONS[(number + each) % 100] for each in range(1, 4)], "when": {"called": "+49*"}},
            "$device",
            {"any": {"except": [LOCATIONS[(number + 50) % 100]]}},
        ]
        for number in range(RULES - 2)
    }
    conditional = [{"location": LOCATIONS[at % 100], "when": {"line": line}} for at, line in enumerate(lines)]
    rules = {**common, "conditional": [*conditional, "any"], "default": ["$other-parties", "any"]}
    places = {each: {"rule": f"rule{number}"} for number, each in enumerate(LOCATIONS[:98])}
    places |= {LOCATIONS[98]: {"rule": "conditional"}, LOCATIONS[99]: {"rule": "default"}}
    return from_document({"rules": rules, "locations": places}, "bench", {"line": lines})


def servers(dice: random.Random, *, fit: float) -> list[MediaServer]:
    return [
        MediaServer(
            name=f"m{number:04}",
            location=LOCATIONS[number % 100],
            unavailable="" if dice.random() < fit else "connection-failure: no answer",
            cpu_permille=dice.randrange(1000),
            sessions=dice.randrange(500),
        )
        for number in range(SERVERS)
    ]


def measure(name: str, device: str, *, fit: float = 0.95, selections: int = 500) -> Row:
    dice = random.Random(4)
    rules, all_servers = site(), servers(dice, fit=fit)
    fleet = Fleet(all_servers)
    facts = CallFacts(CallDirection.INBOUND, Party("+4930123456"), Party("+49301000"), datetime(2026, 1, 5, 12))
    request = SelectionRequest(device, (LOCATIONS[7],), LOCATIONS[8], facts)

    def one() -> None:
        for server in dice.sample(all_servers, PINGED):
            fleet.put(replace(server, cpu_permille=dice.randrange(1000)))
        rules.select(request, fleet)

    def upkeep_of_the_bench() -> None:
        for server in dice.sample(all_servers, PINGED):
            replace(server, cpu_permille=dice.randrange(1000))

    spent = sorted(_timed_ms(one) for _ in range(selections))
    own = median(_timed_ms(upkeep_of_the_bench) for _ in range(selections))
    sorting = median(_timed_ms(lambda: sorted(all_servers, key=lambda each: each.rank)) for _ in range(50))
    return Row(name, median(spent) - own, quantiles(spent, n=100)[98] - own, sorting)


def _timed_ms(work: Callable[[], object]) -> float:
    """Of this thread's CPU: what else the machine does meanwhile does not count."""
    before = time.thread_time()
    work()
    return (time.thread_time() - before) * 1000


def everything(selections: int = 500) -> list[Row]:
    return [
        measure("a usual rule", LOCATIONS[0], selections=selections),
        measure("any", LOCATIONS[99], selections=selections),
        measure("200 conditions that do not hold, then any", LOCATIONS[98], selections=selections),
        measure("any, nine servers of ten are down", LOCATIONS[99], fit=0.1, selections=selections),
        measure("a usual rule, every server is down", LOCATIONS[0], fit=0.0, selections=selections),
    ]


def main() -> None:
    table = Table("selection among 1,000 servers", "ms, median", "ms, p99", "ratio to one sort of all")
    for row in everything():
        table.add_row(row.name, f"{row.middle_ms:.3f}", f"{row.p99_ms:.3f}", f"{row.ratio:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
