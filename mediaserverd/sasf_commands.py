"""``mediaserverd sasf``: what can be typed.

What is done then is in ``recording_files``, which is loaded when it is needed: its libraries would cost every role of
the daemon 14 MB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

EXIT_NOT_PROVEN: Final = 1

app = typer.Typer(help="Recording files: what is in them, what they prove, parts of them, audio.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A recording, .sasf.")]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="A recording: one .sasf, all segments of it, or a .sasf.tar of them."),
]
OutputArgument = Annotated[Path, typer.Argument(metavar="OUTPUT")]
KeyOption = Annotated[
    list[Path] | None,
    typer.Option("--key", help="A private key that opens it: PEM, or as the recorder's vault keeps it. Repeatable."),
]
PasswordOption = Annotated[
    Path | None, typer.Option("--password-file", help="The password of the keys; asked for if it is needed.")
]
FromOption = Annotated[float, typer.Option("--from", min=0, help="Where to begin, in seconds.")]
ToOption = Annotated[float | None, typer.Option("--to", min=0, help="Where to end, in seconds; the end, if not given.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@app.command()
def info(files: FilesArgument, key: KeyOption = None, password_file: PasswordOption = None) -> None:
    """Show what a file says of itself; with a key, also what was recorded and how well."""
    from mediaserverd import recording_files

    recording_files.show(files, recording_files.private_keys(key or [], password_file))


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, .sasf or .sasf.tar.")],
    key: KeyOption = None,
    password_file: PasswordOption = None,
    signer: Annotated[
        list[Path] | None,
        typer.Option("--signer", help="Public key (PEM) of a media server that is trusted. Repeatable."),
    ] = None,
) -> None:
    """Say in one line for each recording what it proves, and where it was changed. Exit status 1 if one does not hold.

    Several segments of one recording are one."""
    from mediaserverd import recording_files

    keys = recording_files.private_keys(key or [], password_file)
    trusted = recording_files.signers(signer) if signer else None
    if not recording_files.prove(files, keys, trusted):
        raise typer.Exit(EXIT_NOT_PROVEN)


@app.command()
def cut(
    files: FilesArgument,
    output: OutputArgument,
    start_s: FromOption = 0,
    end_s: ToOption = None,
    key: KeyOption = None,
    password_file: PasswordOption = None,
    recipient: Annotated[
        list[Path] | None,
        typer.Option("--recipient", help="Public key (PEM) of who may read it; the key that opened it, if not given."),
    ] = None,
    signing_key: Annotated[
        Path | None, typer.Option(help="Ed25519 private key (PEM) that signs it; one made for this, if not given.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make a recording of a part of one. It names the file that it was cut out of, and is signed anew.

    A part that reaches over several segments becomes an archive of them."""
    from mediaserverd import recording_files

    keys = recording_files.private_keys(key or [], password_file)
    recipients = recording_files.recipients(recipient or [], keys)
    signer = recording_files.signing_key(signing_key)
    recording_files.cut(files, output, (start_s, end_s), keys, recipients, signer, force=force)


@app.command()
def recover(
    file: FileArgument,
    signing_key: Annotated[Path, typer.Option(help="The private key (PEM) of the media server that wrote it.")],
) -> None:
    """Seal a file whose writer died, as the media server itself does at its next start. Never while it is written."""
    from mediaserverd import recording_files

    recording_files.recover(file, recording_files.signing_key(signing_key))


@app.command()
def export(
    files: FilesArgument,
    output: OutputArgument,
    form: Annotated[
        str, typer.Option("--format", help="The name of an audio format; what the ending of OUTPUT says, if not given.")
    ] = "",
    start_s: FromOption = 0,
    end_s: ToOption = None,
    key: KeyOption = None,
    password_file: PasswordOption = None,
    force: ForceOption = False,
) -> None:
    """Render a recording, or a part of it, to an audio file: left the calling party, right the called one.

    Between segments, what was not recorded is silent."""
    from mediaserverd import recording_files

    keys = recording_files.private_keys(key or [], password_file)
    recording_files.export(files, output, form, (start_s, end_s), keys, force=force)
