"""``mediaserverd recording``: what the catalogue knows of recordings, beside a running recorder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, print_quality, told

app = typer.Typer(help="Recordings in the catalogue.", no_args_is_help=True)


@app.command("list")
def list_recordings(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many, the newest first.")] = 20,
    number: Annotated[str, typer.Option(help="Of the calling or called party; `*` for any characters.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show the newest recordings: who spoke when, for how long, and whether they are stored."""
    from mediaserverd.recorder.catalogue import recordings
    from mediaserverd.recorder.catalogue.database import ask
    from mediaserverd.recorder.states import RecordingState

    url, wanted = load(config).recorder.database_url, recordings.Filter(number=number)
    rows = told(lambda: ask(url, recordings.list_recordings, wanted, None, limit))
    for row in rows:
        spoken = "" if row["duration_ms"] is None else f", {row['duration_ms'] / 1000:.1f} s"
        calling, called = (row[f"{side}_number"] or row[f"{side}_line"] or "?" for side in ("calling", "called"))
        state = row["state"] if row["state"] == RecordingState.STORED else f"{row['state']}: {row['reason']}"
        began = f"{row['started_at']:%Y-%m-%d %H:%M:%S}"
        line = f"{row['id']}  {began}  {calling} -> {called}{spoken}, {state}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not rows:
        out.print(f"no recording has the number {number}" if number else "there is no recording yet", markup=False)


@app.command()
def quality(
    recording: Annotated[str, typer.Argument(metavar="ID", help="32 hexadecimal digits.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show what a recording is worth: whether it was verified, what was lost, how exact its times are."""
    from mediaserverd.recorder.catalogue.database import ask
    from mediaserverd.recorder.catalogue.recordings import segments_of
    from mediaserverd.recorder.catalogue.segments import timeline_of

    settings = load(config).recorder
    segments = told(lambda: ask(settings.database_url, segments_of, recording))
    if not segments:
        fail(f"there is no recording {recording}; `mediaserverd recording list` shows those there are")
    for segment in segments:
        _print_segment(segment)
    for gap in timeline_of(segments).gaps:
        out.print(str(gap), markup=False, highlight=False, soft_wrap=True)


def _print_segment(segment: Mapping[str, Any]) -> None:
    verification = segment["verification"] or ("not verifiable" if segment["format"] == "wav" else "not stored yet")
    out.print(f"segment {segment['number']}: {segment['state']}, {verification}", highlight=False)
    for finding in segment["verification_findings"] or ():
        out.print(f"  {escape(finding)}", highlight=False)
    judged = segment["quality"]
    if not judged:
        out.print("  nothing is known of its quality", highlight=False)
        return
    print_quality(judged)
