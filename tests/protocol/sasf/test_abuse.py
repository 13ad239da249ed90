"""Every byte flipped, cut at every length, chunks moved, taken out, put in: told, with the place; never other audio."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mediaserverd.protocol.sasf.chunks import TRAILER, Chunk, Cipher, Kind, chunk_at
from mediaserverd.protocol.sasf.contents import Contents
from mediaserverd.protocol.sasf.faults import SasfError, WrongKey
from mediaserverd.protocol.sasf.header import Suite
from mediaserverd.protocol.sasf.opening import parse_opening
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.verify import Verdict, verify
from tests.protocol.sasf.files import RECIPIENT, SIGNER_PUBLIC, SUITES, packets_of, talk, written

PACKETS = talk(160, payload_bytes=3)  # some 1.6 s in 4 chunks
FILES = {suite: written(suite, PACKETS) for suite in SUITES}


def judged(data: bytes) -> tuple[Verdict, Contents | None] | None:
    """None if it is said to be no SASF file. Contents are None if the key is said not to fit."""
    try:
        reader = SasfReader(data, [RECIPIENT])
        verdict = verify(reader, [SIGNER_PUBLIC])
    except SasfError:
        return None
    try:
        return verdict, reader.contents()
    except WrongKey:
        return verdict, None


def chunks_of(data: bytes) -> list[Chunk]:
    view, at = memoryview(data), parse_opening(data).size
    chunks: list[Chunk] = []
    while (chunk := chunk_at(view, at)) is not None:
        chunks.append(chunk)
        at = chunk.end
    return chunks


def rebuilt(data: bytes, chunks: Sequence[bytes]) -> bytes:
    opening = parse_opening(data)
    return data[: opening.size] + b"".join(chunks) + data[-TRAILER.size :]


def pieces(data: bytes) -> list[bytes]:
    return [data[chunk.offset : chunk.end] for chunk in chunks_of(data)]


def only_what_was_said(packets: list[Packet]) -> bool:
    """In their order, though some may lack."""
    remaining = iter(PACKETS)
    return all(packet in remaining for packet in packets)


def places(verdict: Verdict) -> list[int]:
    return [finding.offset for finding in verdict.findings]


@pytest.mark.parametrize("suite", SUITES)
def test_a_flipped_byte_anywhere_is_told_with_its_place_and_costs_one_chunk_at_most(suite: Suite) -> None:
    data = FILES[suite]
    opening, chunks = parse_opening(data), chunks_of(data)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 + at * 7 % 255
        result = judged(bytes(changed))
        if result is None:
            assert at < opening.size, at
            continue
        verdict, contents = result
        if not opening.keybox_at <= at < opening.size:
            assert not verdict.ok, at
        if contents is None:
            assert at < opening.size, at
            continue
        read = packets_of(contents)
        assert only_what_was_said(read), at
        if at < opening.keybox_at:
            assert verdict.findings[0].offset < opening.size
        if at < opening.size:
            continue
        hit = next((chunk for chunk in chunks if chunk.offset <= at < chunk.end), None)
        assert (chunks[-1].end if hit is None else hit.offset) in places(verdict), at
        if hit is not None and hit.kind == Kind.RECORDS:
            assert len(PACKETS) - 50 < len(read) < len(PACKETS), at
            assert [span.start <= span.end for span in contents.unreadable] == [True], at
        else:
            assert read == PACKETS


@pytest.mark.parametrize("suite", SUITES)
def test_cut_at_any_length_what_was_whole_is_read_and_the_rest_is_told(suite: Suite) -> None:
    data = FILES[suite]
    opening, chunks = parse_opening(data), chunks_of(data)
    for size in range(len(data)):
        result = judged(data[:size])
        assert (result is None) == (size < opening.size), size
        if result is None:
            continue
        verdict, contents = result
        assert contents is not None
        assert not verdict.ok
        assert verdict.findings[-1].offset >= max([0, *(chunk.end for chunk in chunks if chunk.end <= size)])
        read = packets_of(contents)
        assert read == PACKETS[: len(read)]
        whole = [chunk for chunk in chunks if chunk.kind == Kind.RECORDS and chunk.end <= size]
        assert len(read) >= 38 * (len(whole) - 1)
        if size < chunks[-1].end:
            boundary = any(size == end for end in (opening.size, *(chunk.end for chunk in chunks)))
            assert verdict.state == ("open" if boundary else "truncated"), size


@pytest.mark.parametrize("suite", SUITES)
def test_a_dropped_chunk_is_missing_at_its_place(suite: Suite) -> None:
    data = FILES[suite]
    chunks, parts = chunks_of(data), pieces(data)
    for place in range(len(parts) - 1):
        result = judged(rebuilt(data, parts[:place] + parts[place + 1 :]))
        assert result is not None
        verdict, contents = result
        assert not verdict.ok
        assert any(finding.what == f"chunk {place} is missing" for finding in verdict.findings), verdict.findings
        assert chunks[place].offset in places(verdict)
        assert contents is not None
        assert only_what_was_said(packets_of(contents))
        assert len(contents.unreadable) == 1


@pytest.mark.parametrize("suite", SUITES)
def test_swapped_chunks_are_told_and_their_audio_is_where_it_belongs(suite: Suite) -> None:
    data = FILES[suite]
    parts = pieces(data)
    for one in range(len(parts) - 1):
        for other in range(one + 1, len(parts) - 1):
            swapped = list(parts)
            swapped[one], swapped[other] = swapped[other], swapped[one]
            result = judged(rebuilt(data, swapped))
            assert result is not None
            verdict, contents = result
            assert not verdict.ok
            assert any(finding.what.startswith(f"reordered: chunk {one}") for finding in verdict.findings)
            assert contents is not None
            assert packets_of(contents) == PACKETS


@pytest.mark.parametrize("suite", SUITES)
def test_a_chunk_that_is_there_twice_is_told_and_heard_once(suite: Suite) -> None:
    data = FILES[suite]
    chunks, parts = chunks_of(data), pieces(data)
    for place, part in enumerate(parts):
        for behind in range(place + 1, len(parts)):
            result = judged(rebuilt(data, [*parts[:behind], part, *parts[behind:]]))
            assert result is not None
            verdict, contents = result
            assert not verdict.ok
            assert any(
                finding.what == f"chunk {place} is there twice" and finding.offset == chunks[behind].offset
                for finding in verdict.findings
            )
            assert contents is not None
            assert packets_of(contents) == PACKETS


@pytest.mark.parametrize("suite", SUITES)
def test_a_chunk_of_another_file_is_told_and_not_heard(suite: Suite) -> None:
    """Of the same writer, for the same recipient, with the same number and time."""
    data, foreign = FILES[suite], written(suite, PACKETS, seed=77)
    chunks, parts, others = chunks_of(data), pieces(data), pieces(foreign)
    for place in range(len(parts)):
        result = judged(rebuilt(data, [*parts[:place], others[place], *parts[place + 1 :]]))
        assert result is not None
        verdict, contents = result
        assert not verdict.ok
        assert chunks[place].offset in places(verdict)
        assert contents is not None
        read = packets_of(contents)
        assert only_what_was_said(read)
        assert (len(read) < len(PACKETS)) == (chunks[place].kind == Kind.RECORDS)


def test_in_clear_a_forged_chunk_is_given_away_by_the_next_checkpoint_or_seal() -> None:
    """Anyone can make a tag in clear; only the signature tells."""
    data = FILES["clear"]
    opening, chunks, parts = parse_opening(data), chunks_of(data), pieces(data)
    cipher = Cipher(opening.digest, None, encrypted=False)
    body = bytearray(parts[1][16:-16])
    body[-1] ^= 1
    forged = cipher.chunk(Kind.RECORDS, chunks[1].number, chunks[1].time_ms, bytes(body))
    result = judged(rebuilt(data, [parts[0], forged, *parts[2:]]))
    assert result is not None
    verdict, _ = result
    assert not verdict.ok
    signing = next(chunk for chunk in chunks if chunk.kind in (Kind.CHECKPOINT, Kind.SEAL))
    assert places(verdict) == [signing.offset]
    assert f"bytes from {opening.size} on" in verdict.findings[0].what


def test_without_a_key_a_changed_file_is_told_by_its_seal() -> None:
    data = FILES["aes-256-gcm"]
    chunk = chunks_of(data)[1]
    changed = bytearray(data)
    changed[chunk.body_at + 5] ^= 1
    verdict = verify(SasfReader(bytes(changed)), [SIGNER_PUBLIC])
    assert not verdict.ok
    assert "the seal does not hold" in verdict.sentence
    assert verify(SasfReader(data), [SIGNER_PUBLIC]).ok


def test_a_file_of_nothing_but_broken_chunks_is_read_in_bounded_time() -> None:
    opening = parse_opening(FILES["clear"])
    chunk = bytes.fromhex("a5c501000000080000000000") + bytes(4)
    data = FILES["clear"][: opening.size] + (chunk * (1 << 17))
    result = judged(data)
    assert result is not None
    assert not result[0].ok
    assert "it is left" in result[0].findings[0].what
