"""Every byte flipped, cut at every length, chunks moved, taken out, put in: told, with the place; never other audio."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as Cryptor
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from mediaserverd.protocol.sasf.chunks import CHUNK_HEADER, TRAILER, Chunk, Cipher, Kind, chunk_at
from mediaserverd.protocol.sasf.contents import Contents
from mediaserverd.protocol.sasf.faults import SasfError, WrongKey
from mediaserverd.protocol.sasf.header import Suite
from mediaserverd.protocol.sasf.keys import Keybox, unwrap
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


def with_tags_made_anew(data: bytes, parts: Sequence[bytes]) -> bytes:
    """Numbered without a gap, every tag as it should be: what anyone can do in clear."""
    cipher = Cipher(parse_opening(data).digest, None, encrypted=False)
    headers = [CHUNK_HEADER.unpack_from(part) for part in parts]
    return rebuilt(
        data,
        [
            cipher.chunk(Kind(kind), number, time_ms, part[16:-16])
            for number, (part, (_, kind, _, _, _, time_ms)) in enumerate(zip(parts, headers, strict=True))
        ],
    )


def changed(parts: list[bytes], at: int) -> list[bytes]:
    """The last byte of its audio."""
    return [*parts[:at], parts[at][:-17] + bytes([parts[at][-17] ^ 1]) + parts[at][-16:], *parts[at + 1 :]]


def dropped(parts: list[bytes], at: int) -> list[bytes]:
    return parts[:at] + parts[at + 1 :]


def swapped(parts: list[bytes], at: int) -> list[bytes]:
    return [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]]


def doubled(parts: list[bytes], at: int) -> list[bytes]:
    return [*parts[:at], parts[at], *parts[at:]]


def spliced(parts: list[bytes], at: int) -> list[bytes]:
    """In its place, the one of another file of the same writer."""
    return [*parts[:at], pieces(written("clear", talk(2400, seed=2), seed=77))[at], *parts[at + 1 :]]


@pytest.mark.parametrize("forge", [changed, dropped, swapped, doubled, spliced])
def test_in_clear_chunks_whose_tags_were_made_anew_are_given_away_between_two_checkpoints(
    forge: Callable[[list[bytes], int], list[bytes]],
) -> None:
    data = written("clear", talk(2400))  # 24 s
    parts = pieces(data)
    signing = [place for place, chunk in enumerate(chunks_of(data)) if chunk.kind == Kind.CHECKPOINT]
    for before, after in itertools.pairwise(signing):
        forged = with_tags_made_anew(data, forge(parts, before + 2))
        result = judged(forged)
        assert result is not None
        finding = result[0].findings[0]
        first_signing = next(c for c in chunks_of(forged) if c.kind == Kind.CHECKPOINT and c.number > before)
        assert abs(first_signing.number - after) <= 1
        assert finding.offset == first_signing.offset
        assert f"bytes from {chunks_of(forged)[before].end} on were changed" in finding.what


def test_in_clear_the_signatures_of_a_file_with_one_changed_chunk_still_tell_where_it_is() -> None:
    data = written("clear", talk(2400))
    chunk = chunks_of(data)[1]
    result = judged(rebuilt(data, changed(pieces(data), 1)))
    assert result is not None
    first = result[0].findings[0]
    assert (first.offset, first.chunk, first.what) == (chunk.offset, 1, "tampered: chunk 1 changed")


def same_tag(key: bytes, chunk: bytes) -> bytes:
    """Another ciphertext with the same GCM tag, for which nothing but the key is needed."""
    subkey = Cryptor(AES(key), ECB()).encryptor().update(bytes(16))
    difference = int.from_bytes(b"\1" + bytes(15))
    blocks = difference.to_bytes(16) + _gcm_product(difference, int.from_bytes(subkey)).to_bytes(16)
    at = 16 + 16 * ((len(chunk) - 32) // 16 - 3)
    other = bytes(one ^ two for one, two in zip(chunk[at : at + 32], blocks, strict=True))
    return chunk[:at] + other + chunk[at + 32 :]


def _gcm_product(one: int, other: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        product ^= other if one >> bit & 1 else 0
        other = other >> 1 ^ (0xE1 << 120 if other & 1 else 0)
    return product


def test_who_knows_the_key_can_change_audio_under_its_tag_but_not_under_the_seal() -> None:
    data = FILES["aes-256-gcm"]
    opening, parts = parse_opening(data), pieces(data)
    key = unwrap(Keybox.parse(opening.keybox), opening.header.file_id, [RECIPIENT])
    assert key is not None
    forged = rebuilt(data, [parts[0], same_tag(key, parts[1]), *parts[2:]])
    assert forged != data
    result = judged(forged)
    assert result is not None
    assert not SasfReader(forged, [RECIPIENT]).scan.findings  # all tags hold
    seal = chunks_of(data)[-1]
    assert [finding for finding in result[0].findings if finding.offset == seal.offset]
    assert not result[0].ok


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
