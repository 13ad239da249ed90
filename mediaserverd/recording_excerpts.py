"""Parts of recordings as recordings of their own: one SASF file, or an archive where they reach over several segments.

Responsible for what such files say of where they come from. Not responsible for which part is wanted.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.protocol.sasf import archive, manifest
from mediaserverd.protocol.sasf.excerpt import derived_header, excerpt, write_contents
from mediaserverd.protocol.sasf.header import FILE_ID_BYTES, KEY_BYTES, Header
from mediaserverd.protocol.sasf.keys import PublicKey
from mediaserverd.protocol.sasf.manifest import Manifest
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
    ends, at = list[int](), 0
    for part in parts:
        at += part.silence_before + part.end - part.start
        ends.append(at // UNITS_PER_MS)
    gaps = {gap.after: gap for gap in recording.gaps}
    kept = [(end, gaps.get(one.segment.number)) for end, (one, _) in zip(ends, pairwise(parts), strict=False)]
    return Manifest(
        recording_id=first.recording_id,
        call_id=first.call_id,
        started_at=datetime.fromtimestamp(first.created_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        duration_ms=at // UNITS_PER_MS,
        segments=tuple(
            manifest.Segment(
                number=header.segment,
                file=f"{header.recording_id}-{header.segment}.sasf",
                file_id=header.file_id.hex(),
                silence_before_ms=part.silence_before // UNITS_PER_MS,
            )
            for part, header in zip(parts, headers, strict=True)
        ),
        gaps=tuple(
            manifest.Gap(gap.after, end, gap.duration_ms, gap.reason, gap.accuracy_ms) for end, gap in kept if gap
        ),
        writer=first.writer,
    )
