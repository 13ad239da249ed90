"""Calls as JSON for people and tools: the running list, the story of one call, the facts of its log line."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from enum import Enum
from typing import Any

from mediaserverd.call.story import CallSummary
from mediaserverd.controller.ledger import utc_text
from mediaserverd.controller.live_call import LiveCall


def plain(summary: CallSummary) -> dict[str, Any]:
    """The canonical line's facts, as plain values."""
    facts = {name: value.value if isinstance(value, Enum) else value for name, value in asdict(summary).items()}
    for side in ("calling", "called"):
        facts[side] = {name: value for name, value in facts[side].items() if value}
    return facts


def outcome_of(summary: CallSummary) -> str:
    if summary.answered:
        return "answered"
    return {486: "busy", 600: "busy", 487: "cancelled", 480: "no-answer", 408: "no-answer"}.get(
        summary.status, "failed" if summary.status >= 500 else "refused"
    )


def live_story(live: LiveCall, summary: CallSummary | None = None) -> dict[str, Any]:
    """All that is known of a call, running (no summary yet) or just ended."""
    story, began = live.call.story, live.invited_at
    at_invite = story.lines[0].at if story.lines else 0.0
    lines = [
        {"at": utc_text(began + timedelta(seconds=max(0.0, line.at - at_invite))), "text": line.text}
        for line in story.lines
    ]
    return {
        **live_row(live),
        "state": "running" if summary is None else "ended",
        "media_servers": sorted(live.servers),
        "decisions": list(live.reasons),
        "story": lines,
        "story_lines_left_out": story.left_out,
        "summary": None if summary is None else plain(summary),
    }


def live_row(live: LiveCall) -> dict[str, Any]:
    setup = live.call.setup
    return {
        "call_id": live.id,
        "state": live.call.phase.value,
        "direction": setup.direction.value,
        "calling": {"number": setup.calling.number, "station": setup.calling.station, "line": setup.calling.line},
        "called": {"number": setup.called.number, "station": setup.called.station, "line": setup.called.line},
        "invited_at": utc_text(live.invited_at),
        "recording_id": setup.recording.recording_id if setup.recording else None,
    }
