"""The records of many chunks at once, as columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mediaserverd.protocol.sasf.contents import Integers
from mediaserverd.protocol.sasf.records import COLUMNS, BrokenRecords, Record, unpack


@dataclass(frozen=True, slots=True)
class Unpacked:
    """``rows``: packets, COLUMNS numbers each. ``broken``: bodies that break the rules, and how; nothing is of them."""

    rows: Integers
    others: tuple[Record, ...]
    broken: tuple[tuple[int, str], ...]


def unpack_bodies(data: memoryview, starts: Sequence[int], lengths: Sequence[int]) -> Unpacked:
    rows = array("q")
    others: list[Record] = []
    broken: list[tuple[int, str]] = []
    for place, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        kept = len(rows), len(others)
        try:
            unpack(data, start, start + length, rows, others)
        except BrokenRecords as fault:
            del rows[kept[0] :], others[kept[1] :]
            broken.append((place, str(fault)))
    return Unpacked(np.frombuffer(rows, np.int64).reshape(-1, COLUMNS), tuple(others), tuple(broken))
