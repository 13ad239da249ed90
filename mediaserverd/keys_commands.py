"""``mediaserverd keys``: the keys that recordings are encrypted for and opened with. Works beside a running daemon.

What a command changes is what the next recording, and the next look at an old one, goes by; nothing is rewritten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from mediaserverd.recorder import shredding
from mediaserverd.recorder.catalogue.custody import lost_with, unread_with
from mediaserverd.recorder.catalogue.database import ask
from mediaserverd.recorder.keyfiles import read_file, read_private, read_public
from mediaserverd.recorder.settings import RecorderSettings
from mediaserverd.recorder.vault import KeyInfo, Vault
from mediaserverd.terminal import DEFAULT_CONFIG, ConfigOption, fail, load, out, told

app = typer.Typer(help="Keys that recordings are encrypted for and opened with.", no_args_is_help=True)


def _vault(config: Path) -> Vault:
    settings = load(config).recorder
    return told(lambda: Vault.open(settings.keys_directory, settings.vault_password_file))


@app.command("list")
def list_keys(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the keys, and for which of them new recordings are encrypted."""
    vault = _vault(config)
    table = Table(Column("key", no_wrap=True), "algorithm", "made", "private half", "new recordings")
    for key in told(vault.listed):
        made = f"{key.created_at:%Y-%m-%d}" if key.created_at else "-"
        table.add_row(key.key_id, key.algorithm, made, key.where, _use(key))
    out.print(table)


def _use(key: KeyInfo) -> str:
    if not key.recipient:
        return "older ones only"
    return "escrow" if key.escrow else "yes"


@app.command()
def generate(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Make a key pair (X25519) in the vault; `rotate KEY-ID` then puts it to use."""
    out.print(f"made the key {told(_vault(config).generate)}; nothing is encrypted for it yet", markup=False)


@app.command("import")
def import_key(
    file: Annotated[Path, typer.Argument(help="A private key in PEM: X25519, or RSA with 3072 bits or more.")],
    password_file: Annotated[Path | None, typer.Option(help="With the password of that file, if it has one.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Seal a private key into the vault: it then opens what was encrypted for it."""
    settings = load(config).recorder
    vault = _vault(config)
    password = told(lambda: read_file(password_file).strip()) if password_file else None
    key = told(lambda: vault.keep(read_private(read_file(file), password, str(file))))
    out.print(f"imported the key {key}; delete {file} if no other copy is wanted", markup=False)
    if unread := told(lambda: ask(settings.database_url, unread_with, key)):
        soon = f"a running recorder looks at them within {settings.poll_interval_s:.0f} s"
        out.print(f"it opens {unread} stored file(s) that nobody here could read until now; {soon}", markup=False)


@app.command()
def rotate(
    key: Annotated[str, typer.Argument(metavar="[KEY-ID]", help="A key of the vault; a new one when not given.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Encrypt new recordings for another key of ours. The former one stays and opens the older recordings."""
    vault = _vault(config)
    chosen = key or told(vault.generate)
    told(lambda: vault.use(chosen))
    out.print(f"new recordings are encrypted for the key {chosen}; no file was rewritten", markup=False)


@app.command()
def escrow(
    file: Annotated[Path | None, typer.Argument(help="A public key in PEM: X25519, or RSA with 3072 bits.")] = None,
    remove: Annotated[str, typer.Option(metavar="KEY-ID", help="Encrypt new recordings for it no longer.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Let the holder of another private key open new recordings too: an auditor, a safe."""
    vault = _vault(config)
    if (file is None) == (not remove):
        fail("give either the file of a public key, or --remove KEY-ID")
    if file is not None:
        key = told(lambda: vault.add_escrow(read_public(read_file(file), str(file))))
        out.print(f"new recordings can also be opened with the key {key}", markup=False)
    elif told(lambda: vault.remove_escrow(remove)):
        out.print(f"new recordings cannot be opened with the key {remove}; older ones still can", markup=False)
    else:
        fail(f"there is no escrow key {remove}; `mediaserverd keys list` shows those there are")


@app.command()
def destroy(
    key: Annotated[str, typer.Argument(metavar="[KEY-ID]", help="As `mediaserverd keys list` shows it.")] = "",
    recording: Annotated[str, typer.Option(metavar="ID", help="Destroy the keys of this recording alone.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Destroy a private key, or the keys of one recording. What only they open is lost for good, in every copy."""
    if bool(key) == bool(recording):
        fail("give either a KEY-ID, or --recording ID")
    settings = load(config).recorder
    vault = told(lambda: Vault.open(settings.keys_directory, settings.vault_password_file))
    if key:
        _destroy_key(settings, vault, key, yes)
    else:
        _destroy_recording(settings, recording, yes)


def _destroy_key(settings: RecorderSettings, vault: Vault, key: str, yes: bool) -> None:
    others = told(vault.opening) - {key}
    lost = told(lambda: ask(settings.database_url, lost_with, key, others))
    if not yes:
        typer.confirm(
            f"Destroy the private key {key}? {lost} file(s) that only it opens are lost for good.", abort=True
        )
    told(lambda: vault.destroy(key))
    out.print(f"destroyed the key {key}; {lost} file(s) are lost, unless a backup of the vault has it", markup=False)


def _destroy_recording(settings: RecorderSettings, recording: str, yes: bool) -> None:
    if not yes:
        typer.confirm(f"Destroy the keys of the recording {recording}? Nobody can ever hear it again.", abort=True)
    who = "mediaserverd keys destroy"
    destroyed = told(lambda: shredding.destroy_recording(settings.database_url, recording, who))
    out.print(f"destroyed the keys of {destroyed} file(s); no copy of them can be read any more", markup=False)
