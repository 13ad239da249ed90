"""Calls as JSON for people and tools: the running list, the story of one call, the facts of its log line."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from enum import Enum
from typing import Any

from mediaserverd.call.recording import Recording
from mediaserverd.call.story import CallSummary
from mediaserverd.controller.admission import Declined
from mediaserverd.controller.ledger import utc_text
from mediaserverd.controller.live_call import LiveCall


def plain(summary: CallSummary) -> dict[str, Any]:
    """The canonical line's facts, as plain values."""
    facts = {name: value.value if isinstance(value, Enum) else value for name, value in asdict(summary).items()}
    for side in ("calling", "called"):
        facts[side] = {name: value for name, value in facts[side].items() if value}
    return facts


def plain_refusal(declined: Declined) -> dict[str, Any]:
    """The line of a call that never began."""
    return {
        "call_id": "",
        "calling": declined.caller,
        "called": declined.dialled,
        "answered": False,
        "status": declined.status,
        "ended_by": "system",
        "reason": declined.why,
    }


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
        "selections": live.selections,
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
        "media_server": live.call.media_server,
        "unheard": _unheard(live),
        "recordings": [_row(each) for each in live.call.recordings.all],
        "pause": pause_row(live),
    }


def _unheard(live: LiveCall) -> dict[str, Any] | None:
    """Which sides nothing is heard from, and since when."""
    hearing = live.call.hearing
    if not hearing.fault:
        return None
    since = {side.value: live.invited_at + timedelta(seconds=at - live.started) for side, at in hearing.silent.items()}
    return {"kind": hearing.fault, "sides": {side: utc_text(at) for side, at in since.items()}}


def recording_row(live: LiveCall) -> dict[str, Any] | None:
    """The latest recording of a call, whether it still runs or not."""
    found = live.call.recordings.all
    return _row(found[-1]) if found else None


def _row(recording: Recording) -> dict[str, Any]:
    order = recording.order
    return {
        "recording_id": order.recording_id,
        "segment": recording.segment,
        "state": recording.state.value,
        "kind": order.kind,
        "policy": order.policy,
        "initiation": order.initiation,
        "outcome": recording.outcome,
        "file": recording.file,
        "uri": recording.uri,
    }


def pause_row(live: LiveCall) -> dict[str, Any] | None:
    """With the countdown."""
    pause = live.call.control.pause
    if pause is None:
        return None
    remaining_s = pause.remaining_s(live.now)
    return {
        "secure": pause.secure,
        "mode": pause.mode,
        "by": pause.by,
        "since": utc_text(live.invited_at + timedelta(seconds=pause.since - live.started)),
        "remaining_s": None if remaining_s is None else round(remaining_s, 1),
        "confirmed": pause.confirmed,
    }
