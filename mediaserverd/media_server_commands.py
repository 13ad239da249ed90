"""``mediaserverd media-server``: how the media servers stand, and approve, drain, activate."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from mediaserverd.control_client import ask_controller, ask_media_server, tell_controller, tell_media_server
from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(help="Media servers: how they stand, approve, drain, activate.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `mediaserverd media-server list` shows it.")]
OrThisHost = Annotated[
    str, typer.Argument(metavar="[NAME]", help="As the controller of this host knows it; none: this host's own.")
]
_COLOURS = {"active": "green", "draining": "yellow", "deactivated": "yellow", "waiting": "yellow"}


@app.command("list")
def list_servers(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the media servers of this host's controller, and whether each can be used."""
    settings = load(config)
    servers = told(lambda: ask_controller(settings, "/control/media-servers"))["media_servers"]
    table = Table("name", "location", "state", "since (UTC)", "calls", "ours", "CPU", "disk free", "because")
    for server in servers:
        table.add_row(
            server["name"],
            server["location"],
            _coloured(server["state"]),
            server["since"][:19].replace("T", " "),
            f"{server['sessions']} of {server['max_sessions']}" if server["max_sessions"] else str(server["sessions"]),
            str(server["own_sessions"]),
            f"{server['cpu_permille'] / 10:g} %",
            _gigabytes(server["disk_free_bytes"]),
            "; ".join(filter(None, (_reason(server), server["refuses_recordings"]))),
        )
    out.print(table)


@app.command()
def show(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    effective: Annotated[
        bool, typer.Option("--effective", help="Each parameter and property, and where its value came from.")
    ] = False,
) -> None:
    """Show one media server: its state, whose calls it carries, its parameters."""
    settings = load(config)
    server = told(lambda: ask_controller(settings, f"/control/media-servers/{quote(name, safe='')}"))
    if server is None:
        fail(f"no media server is called {name} here; `mediaserverd media-server list` shows them")
    lines = [
        f"{server['name']} at {server['url']}, location {server['location']}",
        f"{server['state']} since {server['since'][:19].replace('T', ' ')} UTC: {_reason(server)}",
        f"certificate: {server['fingerprint'] or 'none seen'}, {'approved' if server['approved'] else 'not approved'}",
        f"calls: {server['sessions']}" + "".join(
            f", {count} of {controller or 'clients without a name'}"
            for controller, count in sorted(server["controllers"].items())
        ),
    ]  # fmt: skip
    out.print("\n".join(lines), markup=False, soft_wrap=True)
    if effective:
        _print_terms(server["effective"], server["set_here"])


def _print_terms(effective: list[dict[str, Any]], set_here: list[dict[str, Any]]) -> None:
    if not effective:
        out.print("The media server has not said what holds there; this is what is set here.", markup=False)
    table = Table("parameter or property", "value", "from")
    for each in effective or set_here:
        origin = each["origin"]
        table.add_row(each["name"], str(each["value"]), "[dim]default[/dim]" if origin == "default" else origin)
    out.print(table)


@app.command()
def approve(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    fingerprint: Annotated[str, typer.Option(help="Approve of this certificate alone.")] = "",
) -> None:
    """Let a new media server be used: the certificate that it shows now is the one to trust."""
    settings = load(config)
    path = f"/control/media-servers/{quote(name, safe='')}/approve"
    server = told(lambda: tell_controller(settings, path, {"fingerprint": fingerprint}))
    out.print(f"{name} is approved with {server['fingerprint']}", markup=False, soft_wrap=True)


@app.command()
def drain(name: OrThisHost = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Give it no new calls; those that run go on, and then it is deactivated."""
    _tell(config, name, "drain")


@app.command()
def activate(name: OrThisHost = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let it take calls again."""
    _tell(config, name, "activate")


def _tell(config: ConfigOption, name: str, command: str) -> None:
    settings = load(config)
    if name:
        path = f"/control/media-servers/{quote(name, safe='')}/{command}"
        server = told(lambda: tell_controller(settings, path, {}))
    else:
        server = told(lambda: tell_media_server(settings, f"/control/media-server/{command}"))
    out.print(f"{server['name']} is {server['state']}, {server['sessions']} calls run", markup=False)


@app.command()
def here(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show this host's own media server: its state, and the calls and terms of each controller."""
    settings = load(config)
    server = told(lambda: ask_media_server(settings, "/control/media-server"))
    drained = f", drained {server['drained']}" if server["drained"] else ""
    out.print(
        f"{server['name']} is {server['state']}, {server['sessions']} calls run{drained}", markup=False, soft_wrap=True
    )
    for controller, count in sorted(server["controllers"].items()):
        out.print(f"{controller or 'clients without a name'}: {count} calls", markup=False)
        if controller in server["effective"]:
            _print_terms(server["effective"][controller], [])


def _reason(server: dict[str, Any]) -> str:
    """Why it takes no calls, if it does not."""
    unavailable: str = server["unavailable"] or server["reason"]
    return unavailable.removeprefix(f"{server['state']}: ")


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state, "red")
    return f"[{colour}]{state}[/{colour}]"


def _gigabytes(octets: int) -> str:
    return f"{octets / 1e9:.1f} GB" if octets else "-"
