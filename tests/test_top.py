"""One frame of ``mediaserverd top``: what is in it, that it fits, and what it says when there is nothing to see."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from mediaserverd.top import frame
from mediaserverd.top_samples import Role, Sample


def call(number: int, **changes: Any) -> dict[str, Any]:
    running = {"state": "running", "policy": "all", "kind": "policy", "segment": 1}
    return {
        "call_id": f"ctl-{number}",
        "state": "talking",
        "calling": {"number": "100", "line": ""},
        "called": {"number": "", "line": "carrier"},
        "invited_at": "2026-01-01T10:00:00.000Z",
        "media_server": "m1",
        "recordings": [running],
        "pause": None,
        **changes,
    }


def server(name: str, state: str = "active", **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "location": "default", "state": state, "reason": "takes sessions", "unavailable": "",
        "since": "2026-01-01T09:59:00.000Z", "sessions": 7, "max_sessions": 100, "cpu_permille": 125,
        "disk_free_bytes": 5 << 30, **changes,
    }  # fmt: skip


def overview(calls: list[dict[str, Any]], servers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "controller": "ctl",
        "at": "2026-01-01T10:01:05.000Z",
        "calls": {"running": len(calls), "by_state": {"talking": len(calls)}, "recorded": len(calls), "paused": 1},
        "newest": calls[:100],
        "registrations": {"contacts": 3, "stations": 2},
        "media_servers": servers,
    }


def sample(
    at_s: float,
    seen: dict[str, Any] | None,
    counters: dict[Role, dict[str, float]],
    faults: dict[Role, str] | None = None,
) -> Sample:
    return Sample(at_s, seen, counters, faults or {})


def drawn(now: Sample, before: Sample | None = None, width: int = 120, height: int = 40) -> list[str]:
    out = Console(file=io.StringIO(), width=width, height=height)
    out.print(frame(now, before or now, height))
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def test_a_frame_shows_calls_servers_recordings_and_rates() -> None:
    secure = {"secure": True, "remaining_s": 41.6}
    calls = [call(1), call(2, pause=secure), call(3, media_server="", recordings=[]),
             call(4, recordings=[{"state": "running", "policy": "", "kind": "on-demand", "segment": 2}])]  # fmt: skip
    seen = overview(calls, [server("m1"), server("m2", "connection-failure", unavailable="silent for 1 s")])
    counters: dict[Role, dict[str, float]] = {
        "controller": {"mediaserverd_calls_ended_total": 50, "mediaserverd_ledger_unsent": 3},
        "media": {"mediaserverd_media_rtp_packets_total": 9000},
        "recorder": {"recordings_expected_total": 1234, "recordings_stored_total": 1200, "recordings_failed_total": 4},
    }
    before = sample(10, None, {"controller": {"mediaserverd_calls_ended_total": 30}, "media": {}})
    text = "\n".join(drawn(sample(20, seen, counters), before))
    assert "ctl  10:01:05 UTC" in text
    facts = {"running": "4", "ended": "2.0/s", "expected": "1,234", "stored": "1,200", "failed": "4"}
    facts |= {"not told yet": "3", "RTP": "900.0/s", "fetched": "-", "stations": "2"}
    for name, value in facts.items():
        assert any(name in line and value in line for line in text.splitlines()), name
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(" ")}
    assert " ".join(rows["m1"].split()) == "default active 7/100 12 % 5 GiB 09:59:00 takes sessions"
    assert rows["m2"].split()[1] == "connection-failure"
    assert rows["m2"].endswith("silent for 1 s")
    assert " ".join(rows["ctl-1"].split()) == "100 carrier talking m1 running, all 1:05"
    assert "secure pause, 42 s to go" in rows["ctl-2"]
    assert "direct" in rows["ctl-3"]
    assert "none" in rows["ctl-3"]
    assert "running, on-demand, segment 2" in rows["ctl-4"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_a_frame_fits_its_terminal_and_counts_what_has_no_room(width: int, height: int) -> None:
    seen = overview([call(number) for number in range(500)], [server(f"m{number}") for number in range(4)])
    lines = drawn(sample(1, seen, {}, {"recorder": "not seen at 127.0.0.1:9503: refused"}), width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    shown = sum(line.startswith(" ctl-") for line in lines)
    assert shown >= 3
    assert any(line.strip() == f"and {500 - shown} more" for line in lines)
    assert lines[-1].startswith("recorder: not seen at")


def test_a_controller_that_is_gone_is_said_and_a_role_that_was_started_again_has_no_rate() -> None:
    gone = sample(2, None, {}, {"controller": "the controller at http://127.0.0.1:9501 does not answer"})
    text = "\n".join(drawn(gone))
    assert "no controller" in text
    assert "does not answer" in text
    before = sample(1, None, {"media": {"mediaserverd_media_rtp_packets_total": 500}})
    again = sample(2, None, {"media": {"mediaserverd_media_rtp_packets_total": 20}})
    assert again.rate("media", "mediaserverd_media_rtp_packets_total", before) is None
    assert "RTP" in "\n".join(drawn(again, before))


def test_names_are_no_markup() -> None:
    seen = overview([call(1, call_id="[red]x[/red]", state="[/]")], [server("[bold]m", reason="[/nonsense]")])
    text = "\n".join(drawn(sample(1, seen, {})))
    assert "[red]x[/red]" in text
    assert "[bold]m" in text
    assert "[/nonsense]" in text
