"""A host becomes part of a site: invitations are made of what the first host has, and put to use on another.

Responsible for which files they come from and go to. Not responsible for the certificates (``process.tls``), nor for
how an invitation is sealed (``process.invitation``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mediaserverd.config.demo import CONFIG_NAME
from mediaserverd.config.load import Config, load_config
from mediaserverd.process.invitation import MAX_FILE_BYTES, Invitation, new_code, opened, sealed
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import issue, write_pair

SYSTEM_CONFIG: Final = Path("/etc/mediaserverd")  # systemd's units have it so: what is there is not written by them
SYSTEM_DATA: Final = Path("/var/lib/mediaserverd")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_HEAD: Final = """\
# mediaserverd on a host that has joined a site. `mediaserverd check --config {file}` verifies it.
address: "{address}"  # of this host, as phones and the other hosts reach it
data_directory: {data}  # recordings, certificates, keys; relative to this file
roles: [{roles}]
"""
_BODIES: Final = {
    "media": """\

media:
  name: {name}  # as controllers and the recorder call it in their media_servers
  ng_address: 0.0.0.0  # controllers connect here, with a certificate of the site
""",
    "controller": """\

controller: {{name: {name}}}  # as media servers and the recorder know it; no two controllers have one name
# recorder: {{address: 192.0.2.3}}
# media_servers:  # each is approved of once it is connected: mediaserverd media-server approve NAME
#   - {{name: m2, address: 192.0.2.2}}
""",
    "recorder": """\

# media_servers:  # that recordings are fetched from
#   - {{name: m2, address: 192.0.2.2}}
""",
}


def make_invitation(config: Config, name: str, address: str, roles: Sequence[str], target: Path) -> str:
    """Writes the file for another host (mode 0600) and returns the code that opens it. Raises StartFault."""
    if config.tls_directory is None:
        raise StartFault(
            "the certificates of this site are given (tls:), so let its authority make one for that host; give it "
            "there as tls:, and tokens as ng_token_file and retrieval_token_file in media_servers"
        )
    certificate, key = issue(config.tls_directory, name, [address, *LOOPBACK], roles)
    recipients = config.media.recipients_directory
    invitation = Invitation(
        name=name,
        address=address,
        roles=tuple(roles),
        authority=(config.tls_directory / "ca.pem").read_text(),
        certificate=certificate.decode(),
        private_key=key.decode(),
        recipients={file.name: file.read_text() for file in sorted(recipients.glob("*.pem"))},
    )
    code = new_code()
    try:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(sealed(invitation, code))
    except FileExistsError:
        raise StartFault(f"{target} is there already; remove it, or give another --output") from None
    return code


def join(file: Path, code: str, directory: Path) -> tuple[Path, Invitation]:
    """Puts an invitation to use on this host. A configuration that is there stays. Raises StartFault, ConfigError."""
    if file.stat().st_size > MAX_FILE_BYTES:
        raise StartFault(f"{file} is too large for an invitation")
    invitation = opened(file.read_text(), code)
    config_file = directory / CONFIG_NAME
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not config_file.exists():
        _write_config(config_file, invitation)
    config = load_config(config_file)
    if config.tls_directory is None:
        raise StartFault(f"{config_file} gives certificates of its own (tls:); remove that section to join the site")
    if (config.tls_directory / "ca.key").exists():
        raise StartFault(
            f"{config.tls_directory} has an authority of its own, so this host is the first of another site; move that "
            "directory away to join"
        )
    config.tls_directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    (config.tls_directory / "ca.pem").write_text(invitation.authority)
    pair = config.tls_directory / "server.pem", config.tls_directory / "server.key"
    write_pair(*pair, invitation.certificate.encode(), invitation.private_key.encode())
    if "media" in invitation.roles:
        _keep_recipients(config.media.recipients_directory, invitation.recipients)
    _give_to_owner(config.data_directory)
    return config_file, invitation


def _write_config(file: Path, invitation: Invitation) -> None:
    parts = [_HEAD, *(_BODIES[role] for role in invitation.roles)]
    values = {"name": invitation.name, "address": invitation.address, "roles": ", ".join(invitation.roles)}
    data = SYSTEM_DATA if file.parent.resolve() == SYSTEM_CONFIG else "."
    text = "".join(part.format(file=file, data=data, **values) for part in parts)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as stream:
        stream.write(text)
    if os.geteuid() == 0:
        shutil.chown(file, group=file.parent.stat().st_gid)


def _give_to_owner(directory: Path) -> None:
    """What root puts there is for the user of the daemon."""
    owner = directory.stat()
    if os.geteuid() == 0 and owner.st_uid:
        for path in (directory / "tls", directory / "keys"):
            for each in (path, *path.rglob("*")) if path.exists() else ():
                os.chown(each, owner.st_uid, owner.st_gid)


def _keep_recipients(directory: Path, recipients: dict[str, str]) -> None:
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, pem in recipients.items():
        (directory / Path(name).name).write_text(pem)
