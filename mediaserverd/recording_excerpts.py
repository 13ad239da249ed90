"""Parts of recordings as recordings of their own: one SASF file, or an archive where they reach over several segments.

Responsible for what such files say of where they come from. Not responsible for which part is wanted.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.protocol.sasf import archive, manifest
from mediaserverd.protocol.sasf.excerpt import derived_header, excerpt, write_contents
from mediaserverd.protocol.sasf.header import FILE_ID_BYTES, KEY_BYTES, Header
from mediaserverd.protocol.sasf.keys import PublicKey
from mediaserverd.protocol.sasf.manifest import Gap, Manifest
from mediaserverd.protocol.sasf.writer import SasfWriter
from mediaserverd.recording_sets import UNITS_PER_MS, Extract, Recording


def new_header(part: Extract) -> Header:
    """It names the file that it was cut out of."""
    reader = part.segment.reader
    return derived_header(
        reader.header,
        hashlib.sha256(reader.view).hexdigest(),
        file_id=secrets.token_bytes(FILE_ID_BYTES),
        writer=socket.gethostname(),
        content=reader.header.content,
        later=part.start,
    )


def write_excerpt(
    part: Extract, target: BinaryIO, header: Header, signer: Ed25519PrivateKey, recipients: Sequence[PublicKey]
) -> None:
    whole = part.start == 0 and part.end == part.contents.duration
    contents = part.contents if whole else excerpt(part.contents, part.start, part.end)
    key = secrets.token_bytes(KEY_BYTES) if header.encrypted else None
    write_contents(contents, SasfWriter(target, header, signer, key, recipients if key else ()))


def write_archive(
    recording: Recording,
    parts: Sequence[Extract],
    target: BinaryIO,
    signer: Ed25519PrivateKey,
    recipients: Sequence[PublicKey],
) -> None:
    """How long a part is shows when it is written: its header in the archive is put there then."""
    headers = [new_header(part) for part in parts]
    told = _manifest(recording, parts, headers)
    target.write(archive.beginning(told, signer))
    for segment, part, header in zip(told.segments, parts, headers, strict=True):
        header_at = target.tell()
        target.write(archive.member_header(segment.file, 0))
        write_excerpt(part, target, header, signer, recipients)
        end = target.tell()
        size = end - header_at - len(archive.member_header(segment.file, 0))
        target.seek(header_at)
        target.write(archive.member_header(segment.file, size))
        target.seek(end)
        target.write(archive.padding(size))
    target.write(archive.END)


def _manifest(recording: Recording, parts: Sequence[Extract], headers: Sequence[Header]) -> Manifest:
    first = headers[0]
    begin, end = parts[0].at - parts[0].silence_before, parts[-1].at + parts[-1].end - parts[-1].start
    return Manifest(
        recording_id=first.recording_id,
        call_id=first.call_id,
        started_at=datetime.fromtimestamp(first.created_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        duration_ms=(end - begin) // UNITS_PER_MS,
        segments=tuple(
            manifest.Segment(
                number=header.segment,
                file=f"{header.recording_id}-{header.segment}.sasf",
                file_id=header.file_id.hex(),
                silence_before_ms=part.silence_before // UNITS_PER_MS,
            )
            for part, header in zip(parts, headers, strict=True)
        ),
        gaps=tuple(_gaps(recording, begin // UNITS_PER_MS, end // UNITS_PER_MS)),
        writer=first.writer,
    )


def _gaps(recording: Recording, begin_ms: int, end_ms: int) -> Iterator[Gap]:
    """What of them lies between these times. One at the very beginning is before all that is heard."""
    for gap in recording.gaps:
        start, stop = max(gap.start_ms, begin_ms), min(gap.start_ms + gap.duration_ms, end_ms)
        if gap.after and start < stop:
            yield replace(gap, start_ms=start - begin_ms, duration_ms=stop - start)
