"""``mediaserverd call``: the calls that run, and the control of their recordings."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from mediaserverd.control_client import ask_controller, tell_controller
from mediaserverd.diagnosis import standing
from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(help="Calls that run, and the control of their recordings.", no_args_is_help=True)

CallArgument = Annotated[str, typer.Argument(metavar="CALL-ID", help="As `mediaserverd call list` shows it.")]
ByOption = Annotated[str, typer.Option(help="Who asks; kept in the story, the ledger and the recording.")]


def _user() -> str:
    try:
        return f"{getpass.getuser()} at the command line"
    except (KeyError, OSError):  # no such user on this host
        return "command line"


@app.command("list")
def list_calls(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the calls that run, whether they are recorded, and how long a pause still lasts."""
    settings = load(config)
    calls: list[dict[str, Any]] = told(lambda: ask_controller(settings, "/control/calls"))["running"]
    if not calls:
        out.print("no call runs")
        return
    for call in calls:
        calling, called = (call[side]["number"] or call[side]["line"] for side in ("calling", "called"))
        since = call["invited_at"][11:19]
        lines = [f"{call['call_id']}: {calling} -> {called}, {call['state']}, since {since} UTC", *standing(call)]
        if len(lines) == 1:
            lines.append("not recorded")
        out.print("\n    ".join(lines), markup=False, soft_wrap=True)


@app.command()
def record(
    call_id: CallArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    look_back: Annotated[
        float | None,
        typer.Option(help="Seconds before now that the recording is to have too; as many as are kept, if not given."),
    ] = None,
    by: ByOption = "",
) -> None:
    """Begin to record a call that runs."""
    wish = {} if look_back is None else {"pre_record_seconds": look_back}
    recording = _control(config, call_id, "start", by, wish)["recording"]
    out.print(f"recording {recording['recording_id']} runs: {recording['uri']}", markup=False, soft_wrap=True)


@app.command()
def snip(call_id: CallArgument, config: ConfigOption = DEFAULT_CONFIG, by: ByOption = "") -> None:
    """Begin a snippet of a call that runs: a recording of its own, until `stop`."""
    recording = _control(config, call_id, "snip", by, {})["recording"]
    out.print(f"snippet {recording['recording_id']} runs: {recording['uri']}", markup=False, soft_wrap=True)


@app.command()
def stop(call_id: CallArgument, config: ConfigOption = DEFAULT_CONFIG, by: ByOption = "") -> None:
    """End the recording of a call; the call goes on."""
    recording = _control(config, call_id, "stop", by, {})["recording"]
    out.print(f"recording {recording['recording_id']} has ended; the call goes on", markup=False, soft_wrap=True)


@app.command()
def pause(
    call_id: CallArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    secure: Annotated[
        bool, typer.Option("--secure", help="All recordings of the call, for a limited time, as for a card number.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="For so long; 0: until somebody resumes. As the site has set, if not given.")
    ] = None,
    mode: Annotated[
        Literal["mask", "omit"] | None,
        typer.Option(help="What is left in the file: silence, or a beep. As the site has set, if not given."),
    ] = None,
    by: ByOption = "",
) -> None:
    """Record nothing of a call for a while. Again while it is paused: for longer, up to the site's maximum."""
    given = {"secure": secure, "seconds": seconds, "mode": mode}
    wish = {name: value for name, value in given.items() if value is not None}
    answer = _control(config, call_id, "pause", by, wish)
    out.print("; ".join(standing({"recordings": [], **answer})) or "the pause has ended", markup=False, soft_wrap=True)


@app.command()
def resume(call_id: CallArgument, config: ConfigOption = DEFAULT_CONFIG, by: ByOption = "") -> None:
    """End a pause."""
    recording = _control(config, call_id, "resume", by, {})["recording"]
    running = recording is not None and recording["state"] == "running"
    goes_on = f"recording {recording['recording_id']} goes on" if running else "nothing is recorded at present"
    out.print(f"the pause has ended; {goes_on}", markup=False, soft_wrap=True)


def _control(config: Path, call_id: str, action: str, by: str, wish: dict[str, Any]) -> Any:
    settings = load(config)
    path = f"/control/calls/{quote(call_id, safe='')}/recording/{action}"
    if not call_id:
        fail("give the id of a call; `mediaserverd call list` shows them")
    return told(lambda: tell_controller(settings, path, {"by": by or _user(), **wish}))
