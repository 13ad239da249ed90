"""Records: what is encoded is decoded, one after the other and in step alike, whatever the bytes."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserverd.protocol.sasf.columns import MIN_LANES, unpack_bodies
from mediaserverd.protocol.sasf.records import (
    COLUMNS,
    MAX_TIME,
    BodyWriter,
    BrokenRecords,
    Packet,
    Record,
    RecordKind,
    unpack,
)
from tests.protocol.sasf.files import talk

PACKETS = st.builds(
    Packet,
    side=st.sampled_from((0, 1)),
    arrival=st.integers(0, MAX_TIME - 1) | st.integers(0, 4000),
    payload_type=st.sampled_from((0, 8, 101, 127, 255)),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.sampled_from((1, 0xFFFFFFFF)),
    payload=st.binary(max_size=20),
    marker=st.booleans(),
)
OTHERS = st.tuples(
    st.sampled_from(list(RecordKind)), st.sampled_from((0, 1)), st.integers(0, MAX_TIME - 1), st.binary(max_size=20)
)


def _decoded(body: bytes) -> tuple[list[Packet], list[tuple[int, int, int, bytes]]]:
    rows, others = array("q"), list[Record]()
    unpack(memoryview(body), 0, len(body), rows, others)
    packets = []
    for place in range(0, len(rows), COLUMNS):
        side, arrival, kind, marker, sequence, timestamp, ssrc, start, length = rows[place : place + COLUMNS]
        payload = body[start : start + length]
        packets.append(Packet(side, arrival, kind, sequence, timestamp, ssrc, payload, bool(marker)))
    said = [(each.kind, each.side, each.at, body[each.start : each.start + each.length]) for each in others]
    return packets, said


def _one_by_one(data: bytes, spans: list[tuple[int, int]]) -> tuple[list[list[int]], list[Record], list[int]]:
    rows, others, broken = list[list[int]](), list[Record](), list[int]()
    for place, (start, length) in enumerate(spans):
        its_rows, its_others = array("q"), list[Record]()
        try:
            unpack(memoryview(data), start, start + length, its_rows, its_others)
        except BrokenRecords:
            broken.append(place)
            continue
        rows += [its_rows[at : at + COLUMNS].tolist() for at in range(0, len(its_rows), COLUMNS)]
        others += its_others
    return rows, others, broken


def _body(dice: random.Random, base: int) -> bytes:
    """Of a chunk as it is in calls, with an event here and there; sometimes none."""
    made = BodyWriter()
    for packet in talk(dice.randrange(30), dice.randrange(1 << 30), dice.choice((0, 20, 160))):
        if dice.random() < 0.05:
            made.record(dice.choice(list(RecordKind)), packet.side, base, dice.randbytes(dice.randrange(200)))
        made.packet(packet)
    return made.body


def _damaged(body: bytes, dice: random.Random) -> bytes:
    changed = bytearray(body)
    match dice.randrange(4):
        case 0 if changed:
            changed[dice.randrange(len(changed))] = dice.choice((0, 0x7F, 0x80, 0xFF, 0xA0, 0xEF, dice.randrange(256)))
        case 1:
            del changed[dice.randrange(len(changed) + 1) :]
        case 2:
            place = dice.randrange(len(changed) + 1)
            changed[place:place] = dice.choice((b"\xff" * 9, b"\xff" * 8 + b"\x7f", dice.randbytes(3)))
        case _:
            changed = bytearray(dice.randbytes(len(body)))
    return bytes(changed)


@given(st.lists(PACKETS | OTHERS, max_size=30), st.tuples(st.integers(0, 9999), st.integers(0, 9999)))
def test_what_is_encoded_is_decoded(
    given_records: list[Packet | tuple[int, int, int, bytes]], cadence: tuple[int, int]
) -> None:
    made = BodyWriter(cadence)
    for record in given_records:
        if isinstance(record, Packet):
            made.packet(record)
        else:
            made.record(RecordKind(record[0]), *record[1:])
    packets, others = _decoded(made.body)
    assert packets == [each for each in given_records if isinstance(each, Packet)]
    assert others == [each for each in given_records if not isinstance(each, Packet)]


@settings(max_examples=60)
@given(st.integers(0, 1 << 40), st.sampled_from((0.0, 0.02, 0.5)))
def test_in_step_the_same_comes_out_as_one_by_one(seed: int, damage: float) -> None:
    dice = random.Random(seed)
    bodies = [_body(dice, place) for place in range(MIN_LANES + 60)]
    bodies = [_damaged(body, dice) if dice.random() < damage else body for body in bodies]
    data, spans = b"front", list[tuple[int, int]]()
    for body in bodies:
        spans.append((len(data), len(body)))
        data += body
    unpacked = unpack_bodies(memoryview(data), [start for start, _ in spans], [length for _, length in spans])
    rows, others, broken = _one_by_one(data, spans)
    assert unpacked.columns.T.tolist() == rows
    assert list(unpacked.others) == others
    assert [place for place, _ in unpacked.broken] == broken


@given(st.binary(max_size=300))
def test_any_bytes_are_records_or_break_the_rules(body: bytes) -> None:
    try:
        packets, others = _decoded(body)
    except BrokenRecords:
        return
    payloads = sum(len(packet.payload) for packet in packets) + sum(len(data) for *_, data in others)
    assert payloads + 2 * len(packets) + 3 * len(others) <= len(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("80 00", "not full"),
        ("a0 00 0000 00000000 00000000 00 00 05 41414141", "ends behind"),
        ("a0 00 0000 00000000 00000000 ffffffffffffffffff 00 00", "does not end"),
        ("a0 00 0000 00000000 00000000 ffffffffffff7f 00 00", "impossible time"),
        ("a0 00 0000 00000000 00000000 00 00 00 80 01", "impossible time"),
        ("02 00 02 7b", "ends behind"),
    ],
)
def test_what_breaks_the_rules_is_said(body: str, why: str) -> None:
    with pytest.raises(BrokenRecords, match=why):
        _decoded(bytes.fromhex(body.replace(" ", "")))


def test_a_packet_costs_two_bytes_when_nothing_changes() -> None:
    made = BodyWriter()
    for place in range(20):
        made.packet(Packet(0, place * 160, 0, place, place * 160, 1, bytes(160)))
        if place == 1:
            before = len(made)
    assert len(made) - before == 18 * 162
