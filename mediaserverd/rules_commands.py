"""``mediaserverd rules``: why a media server is selected, for a call that might come and for one that did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.table import Table

from mediaserverd.config import Config
from mediaserverd.control_client import ControlFault, ask_controller
from mediaserverd.controller.rules import Rules
from mediaserverd.policy.facts import OPERATIONS, CallDirection, CallFacts, Party
from mediaserverd.policy.fleet import Fleet, MediaServer
from mediaserverd.policy.selection import SelectionRequest, Step
from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(help="Selection rules.", no_args_is_help=True)


@app.callback()
def rules() -> None:
    """Selection rules."""


@app.command()
def explain(
    config: ConfigOption = DEFAULT_CONFIG,
    call: Annotated[
        str, typer.Option(help="Id of a call that runs or has ended; the other options are for calls that might come.")
    ] = "",
    calling: Annotated[str, typer.Option(help="The calling number.")] = "",
    called: Annotated[str, typer.Option(help="The called number.")] = "",
    direction: Annotated[
        Literal["internal", "inbound", "outbound"], typer.Option(help="Seen from the site.")
    ] = "internal",
    line: Annotated[str, typer.Option(help="The line that the call comes from or goes out by.")] = "",
    workgroup: Annotated[str, typer.Option(help="The workgroup that is called.")] = "",
    operation: Annotated[str, typer.Option(help=f"What the server is for: {', '.join(OPERATIONS)}.")] = "call",
    at: Annotated[datetime | None, typer.Option(help="When; now, if not given.")] = None,
    device: Annotated[str, typer.Option(help="Location of the device that asks.")] = "default",
    other: Annotated[list[str] | None, typer.Option(help="Location of another party; repeatable.")] = None,
) -> None:
    """Show every media server considered for a call, in order, and why it is taken or passed."""
    settings = load(config)
    if call:
        _explain_call(settings, call)
        return
    if operation not in OPERATIONS:
        fail(f"there is no operation {operation}; there are {', '.join(OPERATIONS)}")
    trunk = Party(calling, line=line) if direction == "inbound" else Party(called, line=line)
    facts = CallFacts(
        direction=CallDirection(direction),
        calling=trunk if direction == "inbound" else Party(calling),
        called=Party(called) if direction == "inbound" else trunk,
        local_time=at or datetime.now(),
        workgroup=workgroup,
        operation=operation,
    )
    request = SelectionRequest(device, tuple(other or ()), settings.controller.location, facts)
    steps = [*told(lambda: Rules.of(settings.controller)).selection.explain(request, _fleet(settings))]
    _print(steps)
    if not any(step.taken for step in steps):
        fail("no media server would be tried")


def _explain_call(settings: Config, call_id: str) -> None:
    story = told(lambda: ask_controller(settings, f"/control/calls/{quote(call_id, safe='')}"))
    if story is None:
        fail(f"the controller knows no running or recent call {call_id}; `mediaserverd call list` shows those that run")
    for each in story["selections"]:
        others = f", others in {', '.join(each['other_parties'])}" if each["other_parties"] else ""
        asked = f"for {each['operation']} at {each['at'][11:23]}, device in {each['device']}{others}"
        out.print(f"{asked}, controller in {each['controller']}", markup=False, soft_wrap=True)
        _print(Step(**step) for step in each["steps"])
        if each["steps_left_out"]:
            out.print(f"{each['steps_left_out']} more steps were not kept")
        for tried in each["tried"]:
            out.print(f"{tried['server']}: {tried['outcome']}", markup=False, soft_wrap=True)


def _print(steps: Iterable[Step]) -> None:
    table = Table("rule", "entry", "media server", "", "because")
    for step in steps:
        verdict = "[green]take[/green]" if step.taken else "pass"
        table.add_row(step.rule, step.entry, step.server, verdict if step.server else "", step.reason)
    out.print(table)


def _fleet(config: Config) -> Fleet:
    """As the running controller sees them; as configured and idle, if it does not run."""
    states: dict[str, Any] = {}
    try:
        states = {state["name"]: state for state in ask_controller(config, "/control/media-servers")["media_servers"]}
    except ControlFault as fault:
        out.print(f"{fault}\nAll media servers are taken as active and idle.", markup=False, soft_wrap=True)
    return Fleet(
        MediaServer(
            name=link.name,
            location=link.location,
            unavailable=states.get(link.name, {}).get("unavailable", ""),
            cpu_permille=states.get(link.name, {}).get("cpu_permille", 0),
            sessions=states.get(link.name, {}).get("sessions", 0),
            relays_only=states.get(link.name, {}).get("relays_only", False),
        )
        for link in config.controller.media_servers
    )
