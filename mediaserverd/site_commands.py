"""``mediaserverd site``: more hosts for a site. One has the authority; it invites, the others join."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mediaserverd.config import ConfigError
from mediaserverd.config.joining import join as join_site
from mediaserverd.config.joining import make_invitation
from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(help="More hosts for this site: invite on the first one, join on the others.", no_args_is_help=True)


class HostRole(StrEnum):
    MEDIA = "media"
    CONTROLLER = "controller"
    RECORDER = "recorder"


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="What that host is called, such as m2.")],
    address: Annotated[str, typer.Option(help="The address of that host, as the others reach it.")],
    role: Annotated[list[HostRole], typer.Option(help="What it is to do; repeatable.")],
    config: ConfigOption = DEFAULT_CONFIG,
    output: Annotated[Path | None, typer.Option(help="Where to write it [NAME.invitation].")] = None,
) -> None:
    """Write an invitation for another host: its certificate and the site's, sealed with the code that is shown."""
    settings = load(config)
    target = output or Path(f"{name}.invitation")
    code = told(lambda: make_invitation(settings, name, address, [each.value for each in role], target))
    lines = [
        f"wrote {target}; copy it to {address}, and run there:",
        f"  mediaserverd site join {target.name} --code {code} --directory /etc/mediaserverd",
        "The file opens with this code alone; let them go different ways, and remove the file after.",
    ]
    if HostRole.MEDIA in role:
        lines += [
            f"Then, where a controller or the recorder is to use it, add to media_servers: - {{name: {name}, address: "
            f"{address}}}, reload, and on the controller: mediaserverd media-server approve {name}",
        ]
    out.print("\n".join(lines), markup=False, soft_wrap=True)


@app.command()
def join(
    invitation: Annotated[Path, typer.Argument(help="The file that `site invite` wrote.")],
    code: Annotated[str, typer.Option(help="The code that it showed.", prompt=True)],
    directory: Annotated[Path, typer.Option(help="Where this host's configuration and data go.")] = Path("var"),
) -> None:
    """Make this host part of a site; a configuration that is there stays, certificates are replaced."""
    try:
        file, accepted = told(lambda: join_site(invitation, code, directory))
    except ConfigError as error:
        fail(*(str(fault) for fault in error.faults))
    out.print(
        f"{accepted.name} ({', '.join(accepted.roles)}) is part of the site; see {file}, then: "
        f"mediaserverd run --config {file}",
        markup=False,
        soft_wrap=True,
    )
