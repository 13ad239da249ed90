"""What ``mediaserverd sasf`` does with recording files. Needs no daemon and no catalogue.

Responsible for files, keys given by hand, progress and words. What a file proves is ``protocol.sasf``'s to say, what it
sounds like ``audio``'s.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key
from pydantic import ValidationError
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mediaserverd.audio.formats import UnknownFormat, encode, find_format, rendered
from mediaserverd.audio.render import Rendering
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents
from mediaserverd.protocol.sasf.excerpt import derived_header, excerpt, write_contents
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.keys import PrivateKey, PublicKey
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import seal_recovered
from mediaserverd.protocol.sasf.scan import Progress as Told
from mediaserverd.protocol.sasf.scan import unheard
from mediaserverd.protocol.sasf.verify import signer_id, verify
from mediaserverd.protocol.sasf.writer import SasfWriter
from mediaserverd.recorder.keyfiles import read_file, read_private, read_public, read_signer
from mediaserverd.recorder.sealed import SealedKey, WrongPassword, unseal
from mediaserverd.terminal import err, fail, out, print_quality, told

MAX_S: Final = 365 * 24 * 3600.0

_BY_ENDING: Final = {
    "": "wav-pcm", ".wav": "wav-pcm", ".ogg": "ogg-opus", ".opus": "ogg-opus", ".webm": "webm-opus", ".mp3": "mp3",
}  # fmt: skip

Seconds: TypeAlias = tuple[float, float | None]  # from and to; None: the end


def show(file: Path, keys: list[PrivateKey]) -> None:
    with _opened(file, keys) as reader:
        contents = reader.contents() if reader.readable else None
        table = Table(show_header=False, box=None)
        for name, value in [*_facts(reader), *(_recorded(contents) if contents else ())]:
            table.add_row(name, Text(value))
        out.print(table)
        if contents:
            print_quality(Rendering(contents).quality.as_json())


def prove(file: Path, keys: list[PrivateKey], trusted: Collection[bytes] | None) -> bool:
    """One that cannot be read has told so, and keeps nobody from looking at the others."""
    try:
        with _bar(file.name) as progress, _opened(file, keys, progress) as reader:
            verdict = verify(reader, trusted)
    except typer.Exit:
        return False
    print(f"{file}: {verdict.sentence}")
    for finding in verdict.findings[1:]:
        print(f"{file}:   {finding}")
    return verdict.ok


def cut(
    file: Path,
    output: Path,
    span: Seconds,
    keys: list[PrivateKey],
    recipients: list[PublicKey],
    signer: Ed25519PrivateKey,
    *,
    force: bool,
) -> None:
    with _bar(file.name) as progress, _opened(file, keys, progress) as reader:
        contents = _part(_contents(reader), span)
        with _written(output, force) as target:
            _write_part(reader, contents, target, signer, recipients, span[0])
    out.print(f"{output}: {contents.duration / UNITS_PER_SECOND:.1f} s", markup=False)


def recover(file: Path, signer: Ed25519PrivateKey) -> None:
    try:
        with file.open("r+b") as target:
            seal = seal_recovered(target, signer)
            target.flush()
            os.fsync(target.fileno())
    except SasfError as fault:
        fail(f"{file}: {fault}")
    except OSError as fault:
        fail(f"{file}: {fault.strerror}")
    if seal.state == "closed":
        print(f"{file}: its writer closed it itself, with {seal.duration_ms / 1000:.1f} s; nothing was changed")
        return
    torn = f"; {seal.torn_bytes} bytes of a torn chunk were cut off" if seal.torn_bytes else ""
    print(f"{file}: recovered, {seal.duration_ms / 1000:.1f} s up to its last chunk{torn}")


def export(file: Path, output: Path, form: str, span: Seconds, keys: list[PrivateKey], *, force: bool) -> None:
    try:
        chosen = find_format(form or _BY_ENDING.get(output.suffix.lower(), output.suffix))
    except UnknownFormat as fault:
        fail(str(fault))
    with _opened(file, keys) as reader:
        contents = _part(_contents(reader), span)
        sound = rendered(contents, chosen)
        with _bar(output.name) as progress, _written(output, force) as target:
            encode(sound, chosen, target, progress)
    out.print(f"{output}: {sound.frames / sound.sample_rate:.1f} s at {sound.sample_rate} Hz", markup=False)


@contextmanager
def _opened(file: Path, keys: list[PrivateKey], progress: Told = unheard) -> Iterator[SasfReader]:
    """Mapped, not read: what is not needed stays on the disk. Tells in a sentence what cannot be read."""
    try:
        with file.open("rb") as opened:
            if not os.fstat(opened.fileno()).st_size:
                fail(f"{file}: empty, not a SASF file")
            data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        yield SasfReader(data, keys, progress=progress)
    except SasfError as fault:
        fail(f"{file}: {fault}")
    except OSError as fault:
        fail(f"{file}: {fault.strerror}")


def private_keys(files: list[Path], password_file: Path | None) -> list[PrivateKey]:
    return told(lambda: list(_read_private_keys(files, password_file)))


def _read_private_keys(files: list[Path], password_file: Path | None) -> Iterator[PrivateKey]:
    """The password is asked for once, if a key has one and no file gives it."""
    password = read_file(password_file).strip() if password_file else None
    for file in files:
        content = read_file(file)
        sealed, protected = content.lstrip().startswith(b"{"), b"ENCRYPTED" in content
        if password is None and (sealed or protected):
            password = typer.prompt(f"password of {file}", hide_input=True, err=True).encode()
        if sealed:
            yield _unsealed(file, content, password or b"")
        else:
            yield read_private(content, password if protected else None, str(file))


def _unsealed(file: Path, content: bytes, password: bytes) -> PrivateKey:
    try:
        key = load_der_private_key(unseal(SealedKey.model_validate_json(content), password), None)
    except WrongPassword:
        fail(f"the password does not open {file}, or the file was changed")
    except (ValidationError, ValueError):
        fail(f"{file} is no key as a vault keeps it")
    if not isinstance(key, X25519PrivateKey | RSAPrivateKey):
        fail(f"{file} is a key that signs; it opens nothing")
    return key


def signers(files: list[Path]) -> list[bytes]:
    return told(lambda: [read_signer(read_file(file), str(file)) for file in files])


def recipients(files: list[Path], keys: list[PrivateKey]) -> list[PublicKey]:
    if not files:
        return [each.public_key() for each in keys]
    return told(lambda: [read_public(read_file(file), str(file)) for file in files])


def signing_key(file: Path | None) -> Ed25519PrivateKey:
    if file is None:
        return Ed25519PrivateKey.generate()
    try:
        key = load_pem_private_key(told(lambda: read_file(file)), None)
    except (ValueError, TypeError) as fault:
        fail(f"{file} is no private key in PEM without a password: {fault}")
    if not isinstance(key, Ed25519PrivateKey):
        fail(f"{file} is no Ed25519 key, as media servers sign with")
    return key


def _contents(reader: SasfReader) -> Contents:
    """Whatever can be read; told where it is not what was written."""
    contents = reader.contents()
    verdict = verify(reader)
    if not verdict.ok:
        err.print(verdict.sentence, markup=False, highlight=False, soft_wrap=True)
    for span in contents.unreadable:
        where = f"{span.start / UNITS_PER_SECOND:.1f} to {span.end / UNITS_PER_SECOND:.1f} s"
        err.print(f"cannot be read: {where} ({span.why})", markup=False)
    return contents


def _part(contents: Contents, span: Seconds) -> Contents:
    start_s, end_s = span
    if not start_s and end_s is None:
        return contents
    end = contents.duration if end_s is None else int(min(end_s, MAX_S) * UNITS_PER_SECOND)
    start = int(min(start_s, MAX_S) * UNITS_PER_SECOND)
    if not start < min(end, contents.duration):
        fail(f"there is nothing between these times: the recording has {contents.duration / UNITS_PER_SECOND:.1f} s")
    return excerpt(contents, start, end)


def _write_part(
    reader: SasfReader,
    contents: Contents,
    target: BinaryIO,
    signer: Ed25519PrivateKey,
    recipients: list[PublicKey],
    start_s: float,
) -> None:
    header = derived_header(
        reader.header,
        hashlib.sha256(reader.view).hexdigest(),
        file_id=secrets.token_bytes(16),
        writer=socket.gethostname(),
        content=reader.header.content,
        later=int(start_s * UNITS_PER_SECOND),
    )
    key = secrets.token_bytes(32) if header.encrypted else None
    write_contents(contents, SasfWriter(target, header, signer, key, recipients if key else ()))


@contextmanager
def _written(output: Path, force: bool) -> Iterator[BinaryIO]:
    """There in full or not at all, and for nobody else to read: it may be the audio of an encrypted recording."""
    if output.exists() and not force:
        fail(f"{output} is there already; --force writes over it")
    part = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as target:
            yield target
        part.replace(output)
    except OSError as fault:
        fail(f"{output}: {fault.strerror}")
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _bar(name: str) -> Iterator[Told]:
    """On a terminal; elsewhere nothing is shown."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda done: progress.update(task, completed=done)


def _facts(reader: SasfReader) -> Iterator[tuple[str, str]]:
    header, seal = reader.header, reader.seal
    yield "recording", f"{header.recording_id}, segment {header.segment}"
    yield "call", header.call_id
    yield "begun", f"{datetime.fromtimestamp(header.created_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield "written by", f"{header.writer} (key {signer_id(header.signer)})"
    if header.source is not None:
        yield "made of", f"file {header.source.get('file_id')}, SHA-256 {header.source.get('sha256')}"
    yield "content", f"{header.content}, suite {header.suite}"
    if header.encrypted:
        keys = ", ".join(f"{each.key_id} ({each.algorithm})" for each in reader.keybox.keys)
        yield (
            "encrypted for",
            keys or "no keys are in it: its recorder keeps them, or they were destroyed",
        )
    yield "state", reader.state
    if seal is not None:
        packets = "" if seal.packets is None else f", packets {seal.packets[0]} + {seal.packets[1]}"
        yield "sealed", f"{seal.reason}, {seal.duration_ms / 1000:.1f} s, {seal.chunks} chunks{packets}"


def _recorded(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "duration", f"{contents.duration / UNITS_PER_SECOND:.1f} s"
    yield from _flat(contents.meta)
    for event in contents.events:
        details = ", ".join(f"{name} {value}" for name, value in event.body.items() if name != "event")
        yield f"{event.at / UNITS_PER_SECOND:.1f} s", f"{('calling', 'called')[event.side]}: {event.name} {details}"


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is said, one line each; nothing of what is empty."""
    for name, value in document.items():
        if isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):
            yield from _flat(value)
        elif isinstance(value, Mapping):
            yield name, ", ".join(f"{what} {each}" for what, each in value.items() if each not in ("", None))
        elif value not in ("", None, []):
            yield name, str(value)
