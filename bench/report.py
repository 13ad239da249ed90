"""Shows the results of a campaign: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.results import MediaRow, Results, SetUpRow
from bench.site import Role

_ROLES: Final[tuple[Role, ...]] = ("controller", "media", "recorder")


def show(results: Results, console: Console) -> None:
    console.print(_media_table(results))
    console.print(_set_up_table(results))
    for line in (_sustained_line(results), _recorded_line(results)):
        if line:
            console.print(line, highlight=False)


def write(results: Results, file: Path) -> None:
    document = {
        "machine": {"processors": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
        "media": [asdict(row) | {"floor_ratio": results.floor_ratio(row)} for row in results.media],
        "set_ups": [asdict(row) | {"sustained": row.is_sustained} for row in results.set_ups],
        "recorded": asdict(results.recorded) if results.recorded else None,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n")


def _media_table(results: Results) -> Table:
    table = Table(padding=0, title="Calls with two-way G.711", caption=_MEDIA_CAPTION, caption_justify="left")
    table.add_column("carrier")
    first = ("calls", "packets/s", "lost", "faulty", "latency µs\np50    p99")
    roles = [f"CPU %/call\n{role}" for role in _ROLES]
    for name in (*first, *roles, "media\n: floor", "KiB/call\ncontr.", "KiB/call\nmedia", "sent\nms late"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results.media:
        table.add_row(*_media_cells(row, results.floor_ratio(row)))
    return table


_MEDIA_CAPTION = (
    "CPU: of one core, while the call lasts. Faulty: streams with any fault. Latency: from phone to phone.\n"
    "Sent late: p99, by the generator; in yellow where the machine was too busy for the row to say much."
)


def _media_cells(row: MediaRow, ratio: float | None) -> list[str]:
    return [
        row.carrier,
        str(row.calls),
        f"{row.packets_per_s:,.0f}",
        _warn(row.lost),
        _warn(row.faults),
        f"{row.latency_p50_us:,.0f} {row.latency_p99_us:6,.0f}",
        *(_optional(row.cores_per_call, role, 100, ".3f") for role in _ROLES),
        "" if ratio is None or row.carrier == "floor" else f"{ratio:.2f}",
        *(_optional(row.memory_per_call_bytes, role, 1 / 1024, ",.0f") for role in _ROLES[:2]),
        f"[yellow]{row.late_p99_ms:.1f}[/]" if row.is_disturbed else f"{row.late_p99_ms:.1f}",
    ]


def _set_up_table(results: Results) -> Table:
    table = Table(padding=0, title="Call set-up", caption=_SET_UP_CAPTION, caption_justify="left")
    table.add_column("carrier")
    first = ("calls/s", "calls", "failed", "set-up ms\np50    p99", "proven ms\np50    p99")
    roles = [f"CPU ms/call\n{role}" for role in _ROLES]
    for name in (*first, *roles, "last up\nms late", "sent\nms late"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results.set_ups:
        table.add_row(*_set_up_cells(row))
    return table


_SET_UP_CAPTION = (
    "Set-up: from INVITE to 200, with the digest challenge; proven: from the INVITE with credentials. CPU: of a\n"
    "whole call. Direct: phone to phone, unchallenged: what the phones take. Sent late: at most, by the generator."
)


def _set_up_cells(row: SetUpRow) -> list[str]:
    return [
        row.carrier,
        f"{row.rate_per_s:g}",
        str(row.calls),
        _warn(sum(row.failures.values()) + row.dropped),
        f"{row.setup_p50_ms:.1f} {row.setup_p99_ms:6.1f}",
        f"{row.credentialed_p50_ms:.1f} {row.credentialed_p99_ms:6.1f}",
        *(_optional(row.cpu_ms_per_call, role, 1, ".1f") for role in _ROLES),
        f"{row.behind_s * 1000:.0f}",
        f"{row.late_ms:.0f}",
    ]


def _sustained_line(results: Results) -> str:
    rows = [row for row in results.set_ups if row.carrier != "direct"]
    said = (f"{row.carrier} {row.rate_per_s:g}/s {'[green]yes[/]' if row.is_sustained else _why(row)}" for row in rows)
    return f"Sustained: {', '.join(said)}" if rows else ""


def _why(row: SetUpRow) -> str:
    failed = sum(row.failures.values())
    reasons = ", ".join(f"{count} x {reason}" for reason, count in row.failures.items())
    if failed:
        return f"[red]no[/] ({failed} of {row.calls} failed: {reasons})"
    return f"[red]no[/] ({row.dropped} dropped)" if row.dropped else f"[red]no[/] ({row.behind_s:.1f} s behind)"


def _recorded_line(results: Results) -> str:
    made = results.recorded
    if made is None:
        return ""
    mark = "green" if made.is_complete else "red"
    return (
        f"Recordings: [{mark}]{made.stored} of {made.expected} stored[/], {made.failed} failed, the last "
        f"{made.seconds:.1f} s after the calls had ended; {made.missed} packets missed by recordings"
    )


def _optional(values: Mapping[Role, float], role: Role, scale: float, form: str) -> str:
    return format(values[role] * scale, form) if role in values else ""


def _warn(count: int) -> str:
    return f"[red]{count:,}[/]" if count else "0"
