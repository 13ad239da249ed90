"""Fuzz target of protocol/sasf: files that a dying disk or a forger leaves, with and without the key."""

from __future__ import annotations

import io

from mediaserverd.protocol.sasf.contents import Contents
from mediaserverd.protocol.sasf.faults import SasfError, WrongKey
from mediaserverd.protocol.sasf.header import Suite
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import seal_recovered
from mediaserverd.protocol.sasf.verify import verify
from tests.fuzz.registry import target
from tests.protocol.sasf.files import RECIPIENT, SIGNER, SIGNER_PUBLIC, SUITES, talk, written


def _small(suite: Suite) -> list[bytes]:
    packets = talk(60, payload_bytes=3)
    return [written(suite, packets), written(suite, packets, closed=False), written(suite, [], seed=2)]


FILES = tuple(data for suite in SUITES for data in _small(suite))


@target("sasf-file", FILES)
def sasf_file(data: bytes) -> None:
    """Contents within the file and a verdict that is good only of what was written so, or a SasfError; nothing else."""
    try:
        reader = SasfReader(data, [RECIPIENT])
    except SasfError:
        return
    verdict = verify(reader, [SIGNER_PUBLIC])
    assert not verdict.ok or _without_keybox(data) in _SEALED
    try:
        whole, part = reader.contents(), reader.contents(100, 500)
    except WrongKey:
        return
    for contents in (whole, part):
        _lies_within(contents)
    _recovers(data)


def _lies_within(contents: Contents) -> None:
    packets = contents.packets
    assert all(
        0 <= start <= start + length <= len(contents.data)
        for start, length in zip(packets.start.tolist(), packets.length.tolist(), strict=True)
    )
    assert all(0 <= span.start <= span.end for span in contents.unreadable)
    assert contents.duration >= 0


def _recovers(data: bytes) -> None:
    """Once sealed, it stays as it is."""
    file = io.BytesIO(data)
    try:
        seal = seal_recovered(file, SIGNER)
    except SasfError:
        return
    sealed = file.getvalue()
    assert seal_recovered(file, SIGNER) == seal
    assert file.getvalue() == sealed


def _without_keybox(data: bytes) -> bytes:
    opening = SasfReader(data).opening
    return data[: opening.keybox_at] + data[opening.size :]


_SEALED = {_without_keybox(data) for data in FILES}
