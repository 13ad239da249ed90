"""``mediaserverd recording``: what the catalogue knows of one recording, beside a running recorder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(help="Recordings in the catalogue.", no_args_is_help=True)

_COUNTS = ("packets", "expected", "received", "late", "lost", "duplicates", "concealed_ms", "undecodable")
_MEASURES = ("ssrc_changes", "codecs", "jitter_ms", "drift_ppm", "comfort_noise_ms", "dtmf")


@app.callback()
def recordings() -> None:
    """Recordings in the catalogue."""


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
        fail(f"there is no recording {recording}")
    for segment in segments:
        _print_segment(segment)
    for gap in timeline_of(segments).gaps:
        where = f"after segment {gap.after}" if gap.after else "at the beginning"
        out.print(f"gap {where}: {gap.duration_ms} ms, {escape(gap.reason)}", highlight=False)


def _print_segment(segment: Mapping[str, Any]) -> None:
    verification = segment["verification"] or ("not verifiable" if segment["format"] == "wav" else "not stored yet")
    out.print(f"segment {segment['number']}: {segment['state']}, {verification}", highlight=False)
    for finding in segment["verification_findings"] or ():
        out.print(f"  {escape(finding)}", highlight=False)
    judged = segment["quality"]
    if not judged:
        out.print("  nothing is known of its quality", highlight=False)
        return
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
