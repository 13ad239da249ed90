"""The reader of spool files: every byte that is whole is read, and a break is found where it is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mediaserverd.media import spool
from mediaserverd.media.spool import SpoolError
from tests.media.spools import START_NS, Rtp, end_frame, event_frame, frame, spool_bytes, stream, write

PACKETS = stream(0, bytes(range(160)) * 3) + stream(1, bytes(160) * 2, ssrc=9, start_ms=5)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    content = spool_bytes(PACKETS, event_frame(1, 1, event="pause"), end=end_frame(60, "call-ended", 3), call_id="c7")
    read = spool.read(write(tmp_path / "a.spool", content))
    assert read.meta["call_id"] == "c7"
    assert read.broken_at is None
    assert read.packets.side.tolist() == [0, 1, 0, 1, 0]
    assert read.packets.arrival_ns.tolist() == [START_NS + ms * 1_000_000 for ms in (0, 5, 20, 25, 40)]
    assert read.packets.ssrc.tolist() == [0x1234, 9, 0x1234, 9, 0x1234]
    assert read.packets.length.tolist() == [160] * 5
    assert read.data[read.packets.start[0] :][:160].tolist() == list(range(160))
    assert [(event.name, event.side) for event in read.events] == [("codecs", 0), ("codecs", 1), ("pause", 1)]
    assert read.end is not None
    assert read.end.body == {"reason": "call-ended", "tap_overflow": 3}
    assert (read.started_ns, read.ended_ns) == (START_NS, START_NS + 60_000_000)


def test_at_every_cut_the_whole_frames_before_it_are_read(tmp_path: Path) -> None:
    head = spool_bytes([])
    content = spool_bytes(PACKETS, end=end_frame(60))
    whole = [len(spool_bytes(PACKETS_IN_ORDER[:count])) for count in range(len(PACKETS) + 1)]
    for cut in range(len(head), len(content)):
        read = spool.read(write(tmp_path / "a.spool", content[:cut]))
        assert len(read.packets) == sum(size <= cut for size in whole) - 1
        assert read.broken_at == (None if cut in whole else max(size for size in whole if size <= cut))


PACKETS_IN_ORDER = sorted(PACKETS, key=lambda packet: packet.arrival_ms)


def test_a_flipped_bit_ends_the_file_at_its_frame(tmp_path: Path) -> None:
    content = bytearray(spool_bytes(PACKETS, end=end_frame(60)))
    third = len(spool_bytes(PACKETS_IN_ORDER[:2]))
    content[third + 40] ^= 4
    read = spool.read(write(tmp_path / "a.spool", bytes(content)))
    assert (len(read.packets), read.broken_at, read.end) == (2, third, None)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"MSDSPOOL\2\0\0\0\0\0\0\0", spool_bytes([])[:40]])
def test_a_file_without_a_whole_meta_frame_is_no_spool(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SpoolError, match=r"a\.spool"):
        spool.read(write(tmp_path / "a.spool", content))


def test_a_frame_that_claims_to_be_huge_is_a_break(tmp_path: Path) -> None:
    head = spool_bytes([])
    content = head + struct.pack("<HBBI", 0xD5A5, 2, 0, 0xFFFFFFF0) + bytes(100)
    assert spool.read(write(tmp_path / "a.spool", content)).broken_at == len(head)


def test_an_unknown_frame_type_is_passed_over_and_an_unreadable_document_is_a_break(tmp_path: Path) -> None:
    tail = PACKETS[0].frame()
    known = spool.read(write(tmp_path / "a.spool", spool_bytes([], end=frame(9, 0, b"later version") + tail)))
    assert (len(known.packets), known.broken_at) == (1, None)
    broken = spool.read(write(tmp_path / "b.spool", spool_bytes([], end=frame(3, 0, b"12345678{") + tail)))
    assert (len(broken.packets), broken.broken_at) == (0, len(spool_bytes([])))


def test_header_extension_csrcs_and_padding_are_not_payload(tmp_path: Path) -> None:
    rtp = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 2, 0x80 | 8, 7, 160, 5) + bytes(8)
    rtp += struct.pack(">HH", 0xBEDE, 1) + bytes(4) + b"\xd5" * 160 + b"\0\0\0\4"
    content = spool_bytes([], end=frame(2, 1, struct.pack("<Q", START_NS) + rtp))
    packets = spool.read(write(tmp_path / "a.spool", content)).packets
    assert (packets.payload_type.tolist(), packets.sequence.tolist(), packets.length.tolist()) == ([8], [7], [160])


def test_what_is_no_rtp_is_left_out(tmp_path: Path) -> None:
    stamp = struct.pack("<Q", START_NS)
    bad = [
        b"",
        b"\x80" * 11,
        b"\x40" + bytes(30),
        b"\xb0" + bytes(11),
        b"\xa0" + bytes(12) + b"\xff",
        b"\x8f" + bytes(20),
    ]
    content = spool_bytes([], end=b"".join(frame(2, 0, stamp + each) for each in bad) + PACKETS[0].frame())
    read = spool.read(write(tmp_path / "a.spool", content))
    assert (len(read.packets), read.broken_at) == (1, None)


def test_columns_survive_a_selection() -> None:
    empty = np.zeros(0, np.int64)
    packets = spool.Packets(*[empty] * 8).where(np.zeros(0, bool))
    assert len(packets) == 0


def test_the_end_of_a_broken_file_is_its_last_packet(tmp_path: Path) -> None:
    last = Rtp(0, 777, 9, 9, b"x")
    read = spool.read(write(tmp_path / "a.spool", spool_bytes([*PACKETS, last])))
    assert read.ended_ns == START_NS + 777_000_000
