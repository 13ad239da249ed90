"""What ``mediaserverd sasf`` does with recording files. Needs no daemon and no catalogue.

Responsible for files, keys given by hand, progress and words. What a file proves is ``protocol.sasf``'s to say, what it
sounds like ``audio``'s.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
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

from mediaserverd.audio.formats import Format, UnknownFormat, encode, find_format
from mediaserverd.audio.joined import Joined, Stretch
from mediaserverd.audio.render import Rendering
from mediaserverd.audio.sound import Sound
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents
from mediaserverd.protocol.sasf.excerpt import excerpt
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.keys import PrivateKey, PublicKey
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import seal_recovered
from mediaserverd.protocol.sasf.scan import Progress as Told
from mediaserverd.protocol.sasf.scan import unheard
from mediaserverd.protocol.sasf.verify import signer_id, verify
from mediaserverd.recorder.keyfiles import read_file, read_private, read_public, read_signer
from mediaserverd.recorder.sealed import SealedKey, WrongPassword, unseal
from mediaserverd.recording_excerpts import new_header, write_archive, write_excerpt
from mediaserverd.recording_proof import prove_recording
from mediaserverd.recording_sets import UNITS_PER_MS, Extract, Recording, Segment, bundles, extracts, opened
from mediaserverd.terminal import err, fail, out, print_quality, told

MAX_S: Final = 365 * 24 * 3600.0

_BY_ENDING: Final = {
    "": "wav-pcm", ".wav": "wav-pcm", ".ogg": "ogg-opus", ".opus": "ogg-opus", ".webm": "webm-opus", ".mp3": "mp3",
}  # fmt: skip

Seconds: TypeAlias = tuple[float, float | None]  # from and to; None: the end


def show(files: list[Path], keys: list[PrivateKey]) -> None:
    recording = _one(files, keys, unheard)
    if not recording.is_one_file:
        _say(f"{recording.name}: {len(recording.segments)} segments")
        for gap in recording.gaps:
            _say(f"  {gap}")
    for segment in recording.segments:
        reader = segment.reader
        contents = _read(segment) if reader.readable else None
        table = Table(show_header=False, box=None)
        for name, value in [*_facts(reader), *(_recorded(contents) if contents else ())]:
            table.add_row(name, Text(value))
        out.print(table)
        if contents:
            print_quality(Rendering(contents).quality.as_json())


def prove(files: list[Path], keys: list[PrivateKey], trusted: Collection[bytes] | None) -> bool:
    """What cannot be read is told, and keeps nobody from looking at the others."""
    faults: list[str] = []
    found = bundles(files, faults.append)
    proven = True
    for bundle in found:
        try:
            with _bar(bundle.name) as progress:
                recording = opened(bundle, keys, progress)
                proof = prove_recording(recording, trusted)
        except SasfError as fault:
            faults.append(f"{bundle.name}: {fault}")
            continue
        proven = proven and proof.ok
        print(f"{recording.name}: {proof.sentence}")
        for finding in proof.findings:
            print(f"{recording.name}:   {finding}")
    for told_fault in faults:
        err.print(told_fault, markup=False, highlight=False, soft_wrap=True)
    return proven and not faults


def cut(
    files: list[Path],
    output: Path,
    span: Seconds,
    keys: list[PrivateKey],
    recipients: list[PublicKey],
    signer: Ed25519PrivateKey,
    *,
    force: bool,
) -> None:
    with _bar(output.name) as progress:
        recording = _one(files, keys, progress)
        wanted = _wanted(recording, span)
        with _written(output, force) as target:
            if len(wanted) == 1:
                write_excerpt(wanted[0], target, new_header(wanted[0]), signer, recipients)
            else:
                write_archive(recording, wanted, target, signer, recipients)
    seconds = (wanted[-1].at + wanted[-1].end - wanted[-1].start - wanted[0].at) / UNITS_PER_SECOND
    of = f", an archive of {len(wanted)} segments" if len(wanted) > 1 else ""
    _say(f"{output}: {seconds:.1f} s{of}")


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


def export(files: list[Path], output: Path, form: str, span: Seconds, keys: list[PrivateKey], *, force: bool) -> None:
    try:
        chosen = find_format(form or _BY_ENDING.get(output.suffix.lower(), output.suffix))
    except UnknownFormat as fault:
        fail(str(fault))
    recording = _one(files, keys, unheard)
    sound = _sound(_wanted(recording, span), chosen)
    with _bar(output.name) as progress, _written(output, force) as target:
        encode(sound, chosen, target, progress)
    _say(f"{output}: {sound.frames / sound.sample_rate:.1f} s at {sound.sample_rate} Hz")


def _say(line: str) -> None:
    """As it is, however narrow the terminal: others read it too."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _one(files: list[Path], keys: list[PrivateKey], progress: Told) -> Recording:
    """Tells in a sentence what cannot be read."""
    found = bundles(files, fail)
    if len(found) > 1:
        fail("these are several recordings; give one, or all segments of one:", *(each.name for each in found))
    try:
        return opened(found[0], keys, progress)
    except SasfError as fault:
        fail(f"{found[0].name}: {fault}")


def _wanted(recording: Recording, span: Seconds) -> list[Extract]:
    start_s, end_s = span
    start = int(min(start_s, MAX_S) * UNITS_PER_SECOND)
    end = None if end_s is None else int(min(end_s, MAX_S) * UNITS_PER_SECOND)
    found, duration = extracts(recording, _contents, start, end)
    if not found:
        fail(f"there is nothing between these times: the recording has {duration / UNITS_PER_SECOND:.1f} s")
    return found


def _sound(wanted: Sequence[Extract], form: Format) -> Sound:
    """At the rate that the format takes and that loses least."""
    parts = [each.contents if not each.start else excerpt(each.contents, each.start, each.end) for each in wanted]
    best = [Rendering(part) for part in parts]
    rate = form.sample_rate_for(max(each.sample_rate for each in best))
    sounds = [
        each if each.sample_rate == rate else Rendering(part, sample_rate=rate)
        for part, each in zip(parts, best, strict=True)
    ]
    return Joined(
        [
            Stretch(
                sound,
                each.silence_before * rate // UNITS_PER_SECOND,
                min(sound.frames, sound.frames_until((each.end - each.start) // UNITS_PER_MS)),
            )
            for each, sound in zip(wanted, sounds, strict=True)
        ]
    )


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


def _contents(segment: Segment) -> Contents:
    """Whatever can be read; told where it is not what was written."""
    contents = _read(segment)
    verdict = verify(segment.reader)
    if not verdict.ok:
        err.print(f"{segment.name}: {verdict.sentence}", markup=False, highlight=False, soft_wrap=True)
    for span in contents.unreadable:
        where = f"{span.start / UNITS_PER_SECOND:.1f} to {span.end / UNITS_PER_SECOND:.1f} s"
        err.print(f"{segment.name}: cannot be read: {where} ({span.why})", markup=False)
    return contents


def _read(segment: Segment) -> Contents:
    try:
        return segment.reader.contents()
    except SasfError as fault:
        fail(f"{segment.name}: {fault}")


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
