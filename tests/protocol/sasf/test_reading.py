"""What was written is read, by those who have a key, from files in every state."""

from __future__ import annotations

import io
import random
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mediaserverd.protocol.sasf.chunks import INDEX_ENTRY, MAX_BODY_BYTES, MAX_INDEX_ENTRIES, index_body
from mediaserverd.protocol.sasf.faults import SasfError, WrongKey
from mediaserverd.protocol.sasf.header import Suite
from mediaserverd.protocol.sasf.keys import key_id
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.recovery import seal_recovered
from mediaserverd.protocol.sasf.shredding import put_keybox, strip_keybox
from mediaserverd.protocol.sasf.verify import verify
from tests.protocol.sasf.files import (
    CODECS,
    ESCROW,
    HSM,
    META,
    RECIPIENT,
    SIGNER,
    SIGNER_PUBLIC,
    STRANGER,
    SUITES,
    packets_of,
    talk,
    writer,
    written,
)


@pytest.mark.parametrize("suite", SUITES)
def test_what_was_written_is_read_and_proven(suite: Suite) -> None:
    packets = talk(1000)
    reader = SasfReader(written(suite, packets), [RECIPIENT])
    contents = reader.contents()
    assert packets_of(contents) == packets
    assert contents.meta == META
    assert [(event.at, event.side, event.body) for event in contents.events] == [(0, 0, CODECS), (0, 1, CODECS)]
    assert [report.rtp for report in contents.sender_reports] == [499, 999]
    assert contents.end is not None
    assert contents.duration == contents.end.at
    assert (reader.state, contents.unreadable) == ("closed", ())
    verdict = verify(reader, [SIGNER_PUBLIC])
    assert verdict.ok, verdict.findings
    assert verdict.decrypted
    assert verdict.trusted


@pytest.mark.parametrize("private", [RECIPIENT, ESCROW, HSM], ids=["recipient", "escrow", "rsa"])
def test_each_recipient_alone_reads_it_and_a_stranger_does_not(private: object) -> None:
    target = io.BytesIO()
    made = writer(target, "aes-256-gcm", recipients=[each.public_key() for each in (RECIPIENT, ESCROW, HSM)])
    made.add_packet(talk(1)[0])
    made.close(160, "stopped", {})
    reader = SasfReader(target.getvalue(), [STRANGER, private])  # type: ignore[list-item]
    assert packets_of(reader.contents()) == talk(1)
    assert reader.key_id == key_id(private.public_key())  # type: ignore[attr-defined]
    with pytest.raises(WrongKey):
        SasfReader(target.getvalue(), [STRANGER]).contents()


def test_a_file_without_its_keys_is_unreadable_and_still_proven() -> None:
    packets = talk(100)
    file = io.BytesIO(written("aes-256-gcm", packets))
    size = len(file.getvalue())
    keybox = strip_keybox(file)
    shredded = SasfReader(file.getvalue(), [RECIPIENT])
    with pytest.raises(WrongKey, match="destroyed"):
        shredded.contents()
    verdict = verify(shredded, [SIGNER_PUBLIC])
    assert verdict.ok
    assert not verdict.decrypted
    assert packets_of(SasfReader(file.getvalue(), [RECIPIENT], keybox).contents()) == packets
    put_keybox(file, keybox)
    assert packets_of(SasfReader(file.getvalue(), [RECIPIENT]).contents()) == packets
    assert len(file.getvalue()) == size


@pytest.mark.parametrize("suite", SUITES)
def test_a_span_of_time_is_the_same_by_index_by_headers_and_by_reading_all(suite: Suite) -> None:
    packets = talk(2000)
    closed, running = written(suite, packets), written(suite, packets, closed=False)
    for start_ms, end_ms in ((0, 1), (0, 5000), (3000, 3100), (9999, 20000), (19990, 99999), (500000, 600000)):
        expected = [packet for packet in packets if start_ms * 8 <= packet.arrival < end_ms * 8]
        for data in (closed, running):
            part = SasfReader(data, [RECIPIENT]).contents(start_ms, end_ms)
            assert packets_of(part) == expected
            assert part.meta == META


@pytest.mark.parametrize("suite", SUITES)
def test_a_recovered_file_holds_all_whole_chunks_and_is_recovered_once(suite: Suite) -> None:
    packets = talk(1000)
    torn = written(suite, packets, closed=False)[:-100]
    file = io.BytesIO(torn)
    seal = seal_recovered(file, SIGNER)
    assert seal.torn_bytes > 0
    sealed = file.getvalue()
    assert seal_recovered(file, SIGNER) == seal
    assert file.getvalue() == sealed
    reader = SasfReader(sealed, [RECIPIENT])
    read = packets_of(reader.contents())
    assert read == packets[: len(read)]
    assert len(packets) - len(read) <= 40
    assert 0 <= reader.contents().duration // 8 - seal.duration_ms <= (0 if suite == "clear" else 400)
    assert reader.state == "recovered"
    assert verify(reader, [SIGNER_PUBLIC]).ok


def test_only_the_signer_of_the_header_seals() -> None:
    with pytest.raises(SasfError, match="another signer"):
        seal_recovered(io.BytesIO(written("clear", talk(10), closed=False)), Ed25519PrivateKey.generate())


@pytest.mark.parametrize("suite", SUITES)
def test_two_minutes_of_g711_with_5_ms_of_jitter_grow_by_at_most_three_percent(suite: Suite) -> None:
    dice = random.Random(5)
    packets = [
        Packet(place % 2, place // 2 * 160 + dice.randrange(40), 0, place // 2, place // 2 * 160, 7, bytes(160))
        for place in range(12000)
    ]
    first, second = (len(written(suite, packets[:count])) for count in (6000, 12000))  # without opening and seal
    assert 160 * 6000 < second - first <= 1.03 * 160 * 6000


@settings(max_examples=40)
@given(st.integers(0, 1 << 32), st.integers(0, 400), st.sampled_from(SUITES), st.sampled_from((20, 400, 5000)))
@example(311, 60, "aes-256-gcm", 20)  # a packet stands behind the border that it arrived before
def test_whatever_is_written_is_read_whole_and_in_spans(seed: int, count: int, suite: Suite, chunk_ms: int) -> None:
    dice = random.Random(seed)
    packets = talk(count, seed, dice.choice((0, 33, 160)))
    target = io.BytesIO()
    made = writer(target, suite, seed, chunk_ms=chunk_ms)
    for packet in packets:
        made.add_packet(packet)
    made.close(max((packet.arrival for packet in packets), default=0) + 1, "stopped", {})
    reader = SasfReader(target.getvalue(), [RECIPIENT])
    assert verify(reader, [SIGNER_PUBLIC]).ok
    assert packets_of(reader.contents()) == packets
    borders = sorted({0, *(dice.randrange(5000) for _ in range(4)), 5000})
    spans = [each for span in pairwise(borders) for each in packets_of(reader.contents(*span))]
    assert sorted(spans, key=_identity) == sorted(packets, key=_identity)


def _identity(packet: Packet) -> tuple[int, int, int]:
    return packet.side, packet.timestamp, packet.sequence


def test_the_index_of_a_very_long_file_has_every_so_many_chunks() -> None:
    entries = [(number, number * 400, 1000 + number * 6500) for number in range(3 * MAX_INDEX_ENTRIES)]
    body = index_body(entries)
    assert len(body) == MAX_BODY_BYTES
    assert list(INDEX_ENTRY.iter_unpack(body)) == entries[::3]


def test_a_file_on_a_disk_is_recovered_in_place(tmp_path: Path) -> None:
    torn = written("aes-256-gcm", talk(1000), closed=False)[:-100]
    (tmp_path / "torn.sasf").write_bytes(torn)
    with (tmp_path / "torn.sasf").open("r+b") as file:
        seal = seal_recovered(file, SIGNER)
    in_memory = io.BytesIO(torn)
    assert seal_recovered(in_memory, SIGNER) == seal
    assert (tmp_path / "torn.sasf").read_bytes() == in_memory.getvalue()


@pytest.mark.parametrize("suite", SUITES)
def test_wherever_recovery_itself_dies_the_next_one_completes_it(suite: Suite) -> None:
    torn = written(suite, talk(120, payload_bytes=3), closed=False)[:-9]
    file = io.BytesIO(torn)
    seal_recovered(file, SIGNER)
    sealed = file.getvalue()
    whole = packets_of(SasfReader(sealed, [RECIPIENT]).contents())
    for size in range(len(torn) - seal_recovered(io.BytesIO(torn), SIGNER).torn_bytes, len(sealed), 7):
        again = io.BytesIO(sealed[:size])
        seal_recovered(again, SIGNER)
        reader = SasfReader(again.getvalue(), [RECIPIENT])
        assert verify(reader, [SIGNER_PUBLIC]).ok, size
        assert packets_of(reader.contents()) == whole
