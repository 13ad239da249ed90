"""The command line: ``mediaserverd run|init|check|reload|token|station|rules|call|media-server|site|keys|recording|
sasf|diag|top``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mediaserverd.call_commands import app as call_app
from mediaserverd.config import ConfigError
from mediaserverd.keys_commands import app as keys_app
from mediaserverd.media_server_commands import app as media_server_app
from mediaserverd.process.role import StartFault
from mediaserverd.recording_commands import app as recording_app
from mediaserverd.rules_commands import app as rules_app
from mediaserverd.sasf_commands import app as sasf_app
from mediaserverd.site_commands import app as site_app
from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(
    name="mediaserverd",
    help="Call-recording media server: SIP back-to-back user agent, RTP relay and recorder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="Bearer tokens for the recorder's API.", no_args_is_help=True)
station_app = typer.Typer(help="Phones kept by the command line, beside the configuration's.", no_args_is_help=True)
app.add_typer(token_app, name="token")
app.add_typer(station_app, name="station")
app.add_typer(call_app, name="call")
app.add_typer(keys_app, name="keys")
app.add_typer(recording_app, name="recording")
app.add_typer(rules_app, name="rules")
app.add_typer(sasf_app, name="sasf")
app.add_typer(media_server_app, name="media-server")
app.add_typer(site_app, name="site")


@app.command()
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    role: Annotated[str, typer.Option(help="controller, media or recorder [those of the configuration].")] = "",
) -> None:
    """Run the daemon: the roles of this host as supervised children, or one role in this process."""
    from mediaserverd import daemon

    if role and role not in daemon.ROLES:
        fail(f"there is no role {role}; there are {', '.join(daemon.ROLES)}")
    settings = load(config)
    raise typer.Exit(daemon.run_role(role, settings) if role else daemon.run_all(settings))


@app.command()
def init(
    directory: Annotated[Path, typer.Option(help="Where the configuration and the data go.")] = Path("var"),
    address: Annotated[str, typer.Option(help="The address of this host that phones reach.")] = "127.0.0.1",
) -> None:
    """Write a first configuration with two stations, certificates and tokens; what is there stays."""
    from mediaserverd import daemon
    from mediaserverd.config.demo import CONFIG_NAME, write_first_config

    made = write_first_config(directory, address)
    file = directory / CONFIG_NAME
    try:
        settings = load(file)
        daemon.prepare_host(settings, settings.roles)
    except StartFault as fault:
        fail(str(fault))
    out.print(f"{'wrote' if made else 'kept'} {file}", markup=False)


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Verify the configuration, the policies and the selection rules, and run their examples."""
    settings = load(config)
    controller = settings.controller
    out.print(
        f"{config}: ok: {len(controller.stations)} stations, {len(controller.lines)} lines, "
        f"{len(controller.workgroups)} workgroups, {settings.examples} examples hold",
        markup=False,
    )


@app.command()
def reload(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Have the running daemon verify the configuration, the policies and the selection rules, and use them."""
    from mediaserverd.control_client import tell_controller

    settings = load(config)
    restart = told(lambda: tell_controller(settings, "/control/reload", {}))["restart_needed_for"]
    out.print("in force" + (f"; only a restart changes {', '.join(restart)}" if restart else ""), markup=False)


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Option(help="Who will use it.")],
    scope: Annotated[list[str], typer.Option(help="recordings:read, :audio, :export, :delete, admin.")],
    config: ConfigOption = DEFAULT_CONFIG,
    days: Annotated[int, typer.Option(help="Valid for so many days; 0: without end.")] = 365,
) -> None:
    """Make a token and print it: this once, it is kept as a hash only."""
    from mediaserverd.recorder import tokens

    settings = load(config).recorder
    print(told(lambda: tokens.create_token(settings.database_url, name, scope, days)))


@token_app.command("list")
def token_list(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show who has a token, with which scopes, until when."""
    from mediaserverd.recorder import tokens

    settings = load(config).recorder
    table = Table("id", "name", "scopes", "made", "expires")
    for token in told(lambda: tokens.list_tokens(settings.database_url)):
        table.add_row(
            token.id, token.name, " ".join(token.scopes), _minute(token.created_at), _minute(token.expires_at)
        )
    out.print(table)


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "-"


@token_app.command("revoke")
def token_revoke(token_id: Annotated[str, typer.Argument(metavar="ID")], config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Make a token useless at once."""
    from mediaserverd.recorder import tokens

    settings = load(config).recorder
    if not told(lambda: tokens.revoke_token(settings.database_url, token_id)):
        fail(f"there is no token {token_id}; `mediaserverd token list` shows them")


@station_app.command("add")
def station_add(
    name: str,
    extension: str,
    config: ConfigOption = DEFAULT_CONFIG,
    password: Annotated[str, typer.Option(help="Read from this option, or made and printed when not given.")] = "",
) -> None:
    """Add a phone, or give one a new password. Takes effect at the next reload (`kill -HUP`)."""
    from mediaserverd.config.stations import add_station, new_password

    settings = load(config)
    chosen = password or new_password()
    try:
        add_station(config, name, extension, chosen, settings.controller.realm, settings.data_directory)
    except ConfigError as error:
        fail(*(str(fault) for fault in error.faults))
    out.print(f"station {name}, extension {extension}" + ("" if password else f", password {chosen}"), markup=False)


@station_app.command("remove")
def station_remove(name: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Remove a phone that was added by the command line."""
    from mediaserverd.config.stations import remove_station

    settings = load(config)
    try:
        removed = remove_station(config, name, settings.data_directory)
    except ConfigError as error:
        fail(*(str(fault) for fault in error.faults))
    if not removed:
        fail(f"the command line keeps no station {name}; those in {config} are removed there")


@station_app.command("list")
def station_list(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the phones that may register."""
    table = Table("name", "extension", "display name", "type", "location")
    for station in load(config).controller.stations:
        table.add_row(station.name, station.extension, station.display_name, station.type, station.location)
    out.print(table)


@app.command()
def diag(
    call_id: Annotated[str, typer.Argument(metavar="CALL-ID")],
    config: ConfigOption = DEFAULT_CONFIG,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw its messages into this file.")] = None,
) -> None:
    """Tell the story of a call: what happened, who decided what, who said what to whom, where its recording is."""
    from mediaserverd.diagnosis import print_call

    settings = load(config)
    if not told(lambda: print_call(settings, call_id, out, svg)):
        fail(f"neither the controller nor the catalogue knows the call {call_id}; its log line has `call_id`")


@app.command()
def top(
    config: ConfigOption = DEFAULT_CONFIG,
    once: Annotated[
        bool, typer.Option("--once", help="Print one frame and end; also where there is no terminal.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds from one look to the next.")] = 1.0,
) -> None:
    """Watch calls, media servers, recordings and rates; q quits."""
    from mediaserverd.top_screen import show

    if not show(load(config), interval, once=once):
        raise typer.Exit(1)


def main() -> None:
    app()


if __name__ == "__main__":
    sys.exit(app())
