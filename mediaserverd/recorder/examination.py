"""What is done with a fetched SASF file before it is stored: verified, judged, perhaps compressed, its keys taken out.

Runs in a process of the ``workshop``: the file is on disk, its key and everything decrypted with it in memory only.
Not responsible for what follows from the verdict (``intake``).
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.audio.compress import CHUNK_MS, NotCompressible, compress, rendered_header
from mediaserverd.audio.compress import Compression as Codec
from mediaserverd.audio.quality import Quality
from mediaserverd.audio.render import Rendering
from mediaserverd.audio.workshop import Job
from mediaserverd.protocol.sasf.contents import Contents
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.header import FILE_ID_BYTES, KEY_BYTES, Header
from mediaserverd.protocol.sasf.keys import Keybox, PublicKey, load_public
from mediaserverd.protocol.sasf.opening import MAX_OPENING_BYTES, parse_opening
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.shredding import put_keybox
from mediaserverd.protocol.sasf.verify import Verdict, verify
from mediaserverd.protocol.sasf.writer import SasfWriter
from mediaserverd.recorder.settings import Compression
from mediaserverd.recorder.states import Verification

FINDINGS_KEPT: Final = 50
COMPRESSED: Final = ".compressed"
_PIECE_BYTES: Final = 1 << 20

_CODECS: Final[dict[str, Codec]] = {codec: codec for codec in get_args(Codec)}


@dataclass(frozen=True, slots=True)
class Press:
    """How to make a smaller form. ``signing_key``: raw Ed25519, of this recorder. ``recipients``: PEM."""

    compression: Compression
    signing_key: bytes
    recipients: tuple[bytes, ...]
    writer: str


@dataclass(frozen=True, slots=True)
class Task:
    """``press`` None: the file stays as it is."""

    path: Path
    recording_id: str
    segment: int
    key: bytes | None
    trusted: frozenset[bytes]
    press: Press | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """``path``: what is to be stored. ``keybox``: what was in it, as it stood there. ``metadata``: of its META.

    ``ended_at`` is None if whoever closed the file knew better.
    """

    path: Path
    size: int
    sha256: str
    verification: Verification
    findings: tuple[str, ...] = ()
    quality: dict[str, Any] | None = None
    duration_ms: int | None = None
    ended_at: datetime | None = None
    metadata: Any = None
    encrypted: bool = False
    file_id: bytes = b""
    keybox: bytes = b""
    compression: str = ""


def examine(_: Job, task: Task) -> Examined:
    """Raises OSError. Whatever is wrong with the file is in the answer."""
    try:
        examined = _examine(task)
    except SasfError as fault:
        return evidence(task.path, [str(fault)])
    return replace(examined, **_taken_out(examined.path))


def examine_again(_: Job, task: Task) -> Examined:
    """Of a file in the store, which stays as it is. Raises SasfError, OSError."""
    return _examine(task)


def evidence(path: Path, findings: Collection[str]) -> Examined:
    """A file that cannot be read as what it should be. Its keys, if it has any, are taken out as of any other."""
    size, sha256 = _digest(path)
    plain = Examined(path, size, sha256, Verification.FAILED, tuple(findings)[:FINDINGS_KEPT])
    try:
        return replace(plain, **_taken_out(path))
    except SasfError:
        return plain


def _examine(task: Task) -> Examined:
    reader = SasfReader(mapped(task.path), key=task.key)
    verdict = verify(reader, task.trusted)
    findings = [str(finding) for finding in verdict.findings] + _unfitting(reader, task)
    examined = Examined(
        path=task.path,
        size=0,
        sha256="",
        verification=_verification(verdict, findings),
        findings=tuple(findings)[:FINDINGS_KEPT] or (verdict.sentence,),
        duration_ms=reader.seal.duration_ms if reader.seal is not None else None,
    )
    return _heard(task, examined, reader) if reader.readable else examined


def _heard(task: Task, examined: Examined, reader: SasfReader) -> Examined:
    """What it is worth to those who listen; and the smaller form of it, if there is to be one."""
    contents = reader.contents()
    rendering = Rendering(contents)
    if examined.verification is Verification.VERIFIED:
        examined = replace(examined, metadata=contents.meta.get("metadata"))
    press = task.press
    codec = _codec(press, examined.verification, reader.header, contents) if press is not None else None
    if press is not None and codec is not None:
        try:
            path, quality = _compressed(task.path, press, reader.header, contents, codec)
            return _judged(replace(examined, path=path, compression=codec), reader, rendering, quality)
        except OSError:
            raise
        except Exception as fault:  # a fault of ours may cost disk space, not a recording
            told = str(fault) if isinstance(fault, NotCompressible) else repr(fault)
            examined = replace(examined, findings=(*examined.findings, f"not compressed to {codec}: {told}"))
    return _judged(examined, reader, rendering, rendering.quality)


def _judged(examined: Examined, reader: SasfReader, rendering: Rendering, quality: Quality) -> Examined:
    """How long a file is whose writer died only its last packet says; who sealed it may have had no key to look."""
    judged = replace(examined, quality={**quality.as_json(), **rendering.times_as_json()})
    if examined.verification is not Verification.VERIFIED or reader.state == "closed":
        return judged
    began = datetime.fromtimestamp(reader.header.created_ns / 1e9, UTC)
    return replace(
        judged, duration_ms=quality.duration_ms, ended_at=began + timedelta(milliseconds=quality.duration_ms)
    )


def mapped(path: Path) -> mmap.mmap:
    """Its bytes, without reading them all. Closed when nobody looks at them any more."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise SasfError("it is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _unfitting(reader: SasfReader, task: Task) -> list[str]:
    """A sound file in the place of another is no sound recording; nor is one with another's keys."""
    findings = []
    header = reader.header
    if (header.recording_id, header.segment) != (task.recording_id, task.segment):
        findings.append(f"it is segment {header.segment} of {header.recording_id[:64]}, not what it was fetched as")
    if task.key is not None and not reader.readable:
        findings.append("its keybox holds a key that is not the one it is encrypted with")
    return findings


def _verification(verdict: Verdict, findings: list[str]) -> Verification:
    if findings or not verdict.ok:
        return Verification.FAILED
    return Verification.VERIFIED if verdict.decrypted else Verification.UNREAD


def _codec(press: Press, verification: Verification, header: Header, contents: Contents) -> Codec | None:
    """How to compress; None: not at all. What is evidence stays as it was received.

    What was asked for this recording alone (by its policy, say) comes before what is done with all of them here.
    """
    if verification is not Verification.VERIFIED or header.content != "received":
        return None
    if press.compression == "none" or contents.meta.get("encoding_asked") is True:
        asked = str(contents.meta.get("encoding", "")).lower()  # audio/opus, audio/x-truespeech: docs/wire.md section 1
        return _CODECS.get(asked.removeprefix("audio/").removeprefix("x-"))
    return _CODECS.get(press.compression)


def _compressed(original: Path, press: Press, source: Header, contents: Contents, codec: Codec) -> tuple[Path, Quality]:
    """A file of our own, encrypted for the recipients of now if the other was for those of then."""
    path = original.with_name(original.name + COMPRESSED)
    key = secrets.token_bytes(KEY_BYTES) if source.encrypted else None
    recipients: list[PublicKey] = [load_public(pem) for pem in press.recipients] if source.encrypted else []
    _, sha256 = _digest(original)
    header = rendered_header(source, sha256, file_id=secrets.token_bytes(FILE_ID_BYTES), writer=press.writer)
    with path.open("wb") as target:
        signer = Ed25519PrivateKey.from_private_bytes(press.signing_key)
        writer = SasfWriter(target, header, signer, key, recipients, chunk_ms=CHUNK_MS)
        quality = compress(contents, codec, writer)
        target.flush()
        os.fsync(target.fileno())
    return path, quality


def _taken_out(path: Path) -> dict[str, Any]:
    """The keys leave the file before it is stored: what remains of it everywhere is worth nothing without them."""
    with path.open("r+b") as file:
        opening = parse_opening(file.read(MAX_OPENING_BYTES))
        if opening.header.encrypted:
            put_keybox(file, Keybox())
            file.flush()
            os.fsync(file.fileno())
    size, sha256 = _digest(path)
    keybox = opening.keybox.rstrip(b" ") if opening.header.encrypted else b""
    facts = {"encrypted": opening.header.encrypted, "file_id": opening.header.file_id, "keybox": keybox}
    return {"size": size, "sha256": sha256, **facts}


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
