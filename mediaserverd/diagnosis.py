"""What the daemon tells an administrator in plain words: the story of a call and of its recordings.

Asks the controller of this host over its control listener, and reads the catalogue; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from mediaserverd.config import Config
from mediaserverd.control_client import ControlFault, ask_controller
from mediaserverd.ladder import Ladder, lines_of
from mediaserverd.ladder_svg import svg_of
from mediaserverd.policy.selection import Step


def print_call(config: Config, call_id: str, out: Console, picture: Path | None = None) -> bool:
    """The story of one call, its messages as a ladder, its recordings. False when neither controller nor catalogue
    knows it. ``picture``: where the ladder is written as SVG. Raises ControlFault when there is none to be drawn."""
    path = f"/control/calls/{quote(call_id, safe='')}"
    try:
        story, kept = ask_controller(config, path), ask_controller(config, f"{path}/ladder")
    except ControlFault as fault:
        out.print(str(fault), markup=False)
        story = kept = None
    recordings = recordings_of(config, call_id)
    if story is not None:
        _print_story(story, out)
    elif recordings:
        out.print(
            "The controller has no story of it: of calls that ended before its last start, its log has one line each."
        )
    if kept is not None:
        _print_ladder(Ladder.of(kept), out, picture)
    for recording in recordings:
        _print_recording(recording, out)
    if picture is not None and kept is None:
        raise ControlFault(f"the controller keeps no messages of the call {call_id}: {picture} was not written")
    return story is not None or bool(recordings)


def _print_ladder(ladder: Ladder, out: Console, picture: Path | None) -> None:
    out.print("[bold]messages[/bold] (seconds; + SDP: with a description; of media servers the time to reply)")
    for line in lines_of(ladder):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if picture is not None:
        picture.write_text(svg_of(ladder), encoding="utf-8")
        out.print(f"wrote {picture}", markup=False)


def recordings_of(config: Config, call_id: str) -> list[dict[str, Any]]:
    """The catalogue's rows of a call, each with its ``segments`` and ``events``."""
    from sqlalchemy import select

    from mediaserverd.recorder.catalogue.database import open_engine
    from mediaserverd.recorder.catalogue.tables import events, recordings, segments

    with open_engine(config.recorder.database_url).connect() as connection:
        rows = [dict(row) for row in connection.execute(select(recordings).filter_by(call_id=call_id)).mappings()]
        for row in rows:
            parts = select(segments).filter_by(recording_id=row["id"]).order_by(segments.c.number)
            row["segments"] = [dict(part) for part in connection.execute(parts).mappings()]
            happened = select(events).filter_by(recording_id=row["id"]).order_by(events.c.id)
            row["events"] = [dict(event) for event in connection.execute(happened).mappings()]
    return rows


def _print_story(story: dict[str, Any], out: Console) -> None:
    calling, called = story["calling"]["number"], story["called"]["number"]
    out.print(f"[bold]call {story['call_id']}[/bold]: {calling} -> {called}, {story['direction']}, {story['state']}")
    for line in standing(story):
        out.print(f"  now: {line}", markup=False)
    for decision in story["decisions"]:
        out.print(f"  decided: {decision}", markup=False)
    for selection in story["selections"]:
        for line in selection_lines(selection):
            out.print(f"  media server: {line}", markup=False)
    for line in story["story"]:
        out.print(f"  {line['at'][11:23]}  {line['text']}", markup=False)
    if story["story_lines_left_out"]:
        out.print(f"  ({story['story_lines_left_out']} later lines were not kept)")
    summary = story.get("summary")
    if summary:
        table = Table(show_header=False, box=None)
        for name, value in summary.items():
            if value not in ("", [], None):
                table.add_row(f"  {name}", str(value))
        out.print(table)


def selection_lines(selection: dict[str, Any]) -> Iterator[str]:
    """Every media server that was considered, then what those said that were tried."""
    for step in selection["steps"]:
        yield str(Step(**step))
    if selection["steps_left_out"]:
        yield f"({selection['steps_left_out']} more steps were not kept)"
    for each in selection["tried"]:
        yield f"tried {each['server']}: {each['outcome']}"


def standing(call: dict[str, Any]) -> Iterator[str]:
    """How the recordings of a running call stand, with the countdown of a pause."""
    for each in call["recordings"]:
        if each["state"] not in ("idle", "over"):
            yield f"recording {each['recording_id']}: {each['state']}, by {each['policy'] or each['initiation']}"
    if unheard := call.get("unheard"):
        sides = " and ".join(f"{side} (since {at[11:19]} UTC)" for side, at in unheard["sides"].items())
        yield f"{unheard['kind']}: nothing is heard from {sides}"
    if pause := call["pause"]:
        left = pause["remaining_s"]
        time = "until somebody resumes" if left is None else f"{left:.0f} s to go"
        kind = f"{'secure ' if pause['secure'] else ''}pause ({pause['mode']})"
        unsure = "" if pause["confirmed"] else "; NOT CONFIRMED by the media server"
        yield f"{kind} by {pause['by']}, {time}{unsure}"


def _print_recording(recording: dict[str, Any], out: Console) -> None:
    out.print(f"[bold]recording {recording['id']}[/bold]: {recording['state']} {recording['reason']}".rstrip())
    for part in recording["segments"]:
        quality = part["quality"] or {}
        degraded = ", degraded" if quality.get("degraded") else ""
        seconds = f"{part['duration_ms'] / 1000:.1f} s" if part["duration_ms"] is not None else "duration not known"
        out.print(f"  segment {part['number']} on {part['media_server']}: {part['state']}, {seconds}{degraded}")
        for side, name in zip(quality.get("sides", []), ("calling", "called"), strict=False):
            out.print(f"    {name}: {side['packets']} packets, {side['lost']} lost, jitter {side['jitter_ms']} ms")
    for event in recording["events"]:
        out.print(
            "  " + "  ".join(str(event[key]) for key in event if key not in ("id", "recording_id") and event[key])
        )
