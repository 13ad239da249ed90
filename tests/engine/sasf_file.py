"""SASF files as the engine writes them, by the independent reader: it asserts all that such a file promises."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.protocol.sasf import independent
from tests.protocol.sasf.independent import RECORDS, Other, Packet, PrivateKey

META, EVENT, SENDER_REPORT, END = 1, 2, 3, 4

Record = Packet | Other


@dataclass(frozen=True, slots=True)
class Chunk:
    type: int
    offset: int
    time_ms: int
    records: list[Record]


@dataclass(slots=True)
class SasfFile:
    header: dict[str, Any]
    chunks: list[Chunk]
    seal: dict[str, Any] | None
    torn: int  # bytes behind the last whole chunk

    @property
    def records(self) -> list[Record]:
        return [record for chunk in self.chunks for record in chunk.records]

    def packets(self, side: int) -> list[Packet]:
        return [record for record in self.records if isinstance(record, Packet) and record.side == side]

    def others(self, kind: int) -> list[Other]:
        return [record for record in self.records if isinstance(record, Other) and record.kind == kind]

    @property
    def events(self) -> list[Any]:
        return [json.loads(event.octets) for event in self.others(EVENT)]

    @property
    def end(self) -> Any:
        (end,) = self.others(END)
        return json.loads(end.octets)


def read(path: Path, keys: Sequence[PrivateKey] = ()) -> SasfFile:
    """Whole, or as far as it has come: then its last chunk may be torn, and nothing else may be amiss."""
    data = path.read_bytes()
    found = independent.read(data, list(keys))
    assert found.decrypted
    ends = [0, *(records for *_, records in found.chunks)]
    chunks = [
        Chunk(kind, offset, time_ms, found.records[first:end])
        for (kind, _, time_ms, offset, _), (first, end) in zip(found.chunks, pairwise(ends), strict=True)
    ]
    torn = 0
    if found.seal is not None:
        assert found.faults == []
        assert found.index == [each[1:4] for each in found.chunks if each[0] == RECORDS]
    elif found.faults != ["not closed"]:
        (fault,) = found.faults
        assert fault.endswith("truncated"), fault
        torn = len(data) - _end(data, chunks[-1])
    return SasfFile(found.header, chunks, found.seal, torn)


def _end(data: bytes, chunk: Chunk) -> int:
    return chunk.offset + 32 + int.from_bytes(data[chunk.offset + 4 : chunk.offset + 8], "little")
