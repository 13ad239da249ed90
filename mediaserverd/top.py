"""One frame of ``mediaserverd top``: two looks at the daemon go in, a picture for the terminal comes out.

Pure. Not responsible for looking (``top_samples``), nor for the terminal and its keys (``top_screen``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mediaserverd.top_samples import Sample

FRAME_LINES: Final = 12  # all but the rows of the two tables and the faults
FEWEST_CALLS: Final = 3  # however low the terminal is
_STATE_STYLES: Final = {"active": "green", "draining": "yellow", "deactivated": "yellow", "waiting": "yellow"}
_BUSY_PERMILLE, _FULL_PERMILLE = 700, 900  # from here on yellow, red


def frame(now: Sample, before: Sample, height: int) -> RenderableType:
    """``height``: lines of the terminal."""
    parts: list[RenderableType] = [_title(now), _counts(now, before)]
    if now.overview:
        servers = now.overview["media_servers"]
        room = max(FEWEST_CALLS, height - FRAME_LINES - max(1, len(servers)) - len(now.faults))
        parts += [_server_table(servers), _call_table(now.overview, room)]
    for role, why in now.faults.items():  # media server and recorder may well be on other hosts
        parts.append(Text(f"{role}: {why}", style="bold red" if role == "controller" else "dim"))
    return Group(*parts)


def _title(now: Sample) -> RenderableType:
    name, at = (
        (now.overview["controller"], now.overview["at"][11:19]) if now.overview else ("no controller", "--:--:--")
    )
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    line.add_row(f"[bold]{escape(name)}[/bold]  {at} UTC", "[dim]q: quit[/dim]")
    return line


# --- counts


def _counts(now: Sample, before: Sample) -> RenderableType:
    row = Table.grid(expand=True)
    for _ in range(3):
        row.add_column(ratio=1)
    row.add_row(
        _panel("calls", _call_counts(now, before)),
        _panel("recordings", _recording_counts(now, before)),
        _panel("traffic on this host", _traffic(now, before)),
    )
    return row


def _panel(title: str, facts: Iterable[tuple[str, str]]) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in facts:
        table.add_row(name, value)
    return Panel(table, title=title, title_align="left", border_style="dim")


def _call_counts(now: Sample, before: Sample) -> Iterable[tuple[str, str]]:
    calls = now.overview["calls"] if now.overview else {}
    registered = now.overview["registrations"] if now.overview else {}
    yield "running", f"[bold]{calls.get('running', '-')}[/bold]"
    yield "talking", str(calls.get("by_state", {}).get("talking", 0) if calls else "-")
    yield "recorded", f"{calls.get('recorded', '-')}{_paused(calls)}"
    yield "ended", _rate(now.rate("controller", "mediaserverd_calls_ended_total", before))
    yield "stations", str(registered.get("stations", "-"))


def _paused(calls: Mapping[str, Any]) -> str:
    return f" [yellow]({calls['paused']} paused)[/yellow]" if calls.get("paused") else ""


def _recording_counts(now: Sample, before: Sample) -> Iterable[tuple[str, str]]:
    """As the recorder's catalogue has them, so that they add up; and what the controller has not told it yet."""
    failed = now.count("recorder", "recordings_failed_total")
    yield "expected", _number(now.count("recorder", "recordings_expected_total"))
    yield "stored", _number(now.count("recorder", "recordings_stored_total"))
    yield "pending", _number(now.count("recorder", "recordings_pending"))
    yield "failed", f"[bold red]{_number(failed)}[/bold red]" if failed else _number(failed)
    yield "not told yet", _number(now.count("controller", "mediaserverd_ledger_unsent"))


def _traffic(now: Sample, before: Sample) -> Iterable[tuple[str, str]]:
    yield "SIP in", _rate(now.rate("controller", "mediaserverd_sip_received_total", before))
    yield "SIP out", _rate(now.rate("controller", "mediaserverd_sip_sent_total", before))
    yield "RTP", _rate(now.rate("media", "mediaserverd_media_rtp_packets_total", before))
    yield "ng commands", _rate(now.rate("media", "mediaserverd_media_ng_commands_total", before))
    yield "fetched", _bytes(now.rate("recorder", "mediaserverd_recorder_fetched_bytes_total", before), "/s")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}/s"


def _bytes(value: float | None, per: str = "") -> str:
    if value is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}{per}"
        value /= 1024
    return f"{value:,.1f} TiB{per}"


# --- tables


def _server_table(servers: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    for name in ("media server", "location", "state", "sessions", "CPU", "disk free", "since"):
        right = name in ("sessions", "CPU", "disk free")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("", no_wrap=True, ratio=1)
    for server in servers:
        style = _STATE_STYLES.get(server["state"], "bold red")
        limit = f"/{server['max_sessions']}" if server["max_sessions"] else ""
        table.add_row(
            escape(server["name"]),
            escape(server["location"]),
            f"[{style}]{escape(server['state'])}[/]",
            f"{server['sessions']}{limit}",
            _permille(server["cpu_permille"]),
            _bytes(server["disk_free_bytes"] or None),
            server["since"][11:19],
            escape(server["unavailable"] or server["reason"]),
        )
    return table


def _permille(value: int) -> str:
    style = "bold red" if value >= _FULL_PERMILLE else "yellow" if value >= _BUSY_PERMILLE else "default"
    return f"[{style}]{value / 10:.0f} %[/]"


def _call_table(overview: Mapping[str, Any], room: int) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    for name in ("newest calls", "from", "to", "state", "audio", "recording"):
        table.add_column(name, no_wrap=True, ratio=2 if name == "recording" else None)
    table.add_column("for", justify="right", no_wrap=True)
    at = datetime.fromisoformat(overview["at"])
    for call in overview["newest"][:room]:
        calling, called = (escape(call[side]["number"] or call[side]["line"]) for side in ("calling", "called"))
        lasted_s = max(0, int((at - datetime.fromisoformat(call["invited_at"])).total_seconds()))
        table.add_row(
            escape(call["call_id"]),
            calling,
            called,
            escape(call["state"]),
            escape(call["media_server"] or "direct"),
            _recording(call),
            f"{lasted_s // 60}:{lasted_s % 60:02}",
        )
    if (left := overview["calls"]["running"] - min(room, len(overview["newest"]))) > 0:
        table.add_row(f"[dim]and {left} more[/dim]")
    return table


def _recording(call: Mapping[str, Any]) -> str:
    if pause := call["pause"]:
        left = "" if pause["remaining_s"] is None else f", {pause['remaining_s']:.0f} s to go"
        return f"[yellow]{'secure ' if pause['secure'] else ''}pause{left}[/yellow]"
    running = [each for each in call["recordings"] if each["state"] not in ("idle", "over")]
    if not running:
        return "[dim]none[/dim]"
    each = running[-1]
    segment = f", segment {each['segment']}" if each["segment"] > 1 else ""
    return f"{each['state']}, {escape(each['policy'] or each['kind'])}{segment}"
