"""Opus in WebM (RFC 9559), written as it comes: clusters of five seconds, each held until it is whole.

Into a target that can seek, an index is written behind the clusters, and found from the front; into a pipe there is
none, and players find a place by going through the clusters.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO, Final

from mediaserverd.audio.ogg import VENDOR
from mediaserverd.audio.opus import CLOCK, PACKET_MS, OpusTrack

_EBML, _SEGMENT, _SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = (
    0x1A45DFA3,
    0x18538067,
    0x114D9B74,
    0x4DBB,
    0x53AB,
    0x53AC,
)
_INFO, _TIMESTAMP_SCALE, _DURATION, _MUXER, _WRITER = 0x1549A966, 0x2AD7B1, 0x4489, 0x4D80, 0x5741
_TRACKS, _TRACK, _TRACK_NUMBER, _TRACK_UID, _TRACK_TYPE = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83
_LACING, _CODEC, _CODEC_PRIVATE, _CODEC_DELAY, _PRE_ROLL = 0x9C, 0x86, 0x63A2, 0x56AA, 0x56BB
_AUDIO, _SAMPLING, _CHANNELS = 0xE1, 0xB5, 0x9F
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _DISCARD = 0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA1, 0x75A2
_CUES, _CUE, _CUE_TIME, _CUE_POSITIONS, _CUE_TRACK, _CUE_CLUSTER = 0x1C53BB6B, 0xBB, 0xB3, 0xB7, 0xF7, 0xF1
_VOID: Final = 0xEC

_MILLISECOND_NS: Final = 1_000_000
_PRE_ROLL_NS: Final = 80 * _MILLISECOND_NS  # what an Opus decoder needs behind a seek (RFC 7845 4.6)
_CLUSTER_PACKETS: Final = 84  # 5 s
_UNKNOWN_SIZE: Final = b"\x01" + b"\xff" * 7
_SEEK_HEAD_BYTES: Final = 40  # room for a SeekHead of one entry


def write_webm(track: OpusTrack, packets: Iterable[bytes], target: BinaryIO) -> None:
    indexed = target.seekable()
    _write(target, _header())
    segment = target.tell() + 12 if indexed else 0
    _write(target, _id(_SEGMENT) + _UNKNOWN_SIZE + (_void(_SEEK_HEAD_BYTES) if indexed else b""))
    _write(target, _info(track) + _tracks(track))
    clusters: list[tuple[int, int]] = []
    for number, blocks in _clusters(track, packets):
        if indexed:
            clusters.append((number * PACKET_MS, target.tell() - segment))
        _write(target, _element(_CLUSTER, _integer(_TIMESTAMP, number * PACKET_MS), *blocks))
    if indexed:
        _write_index(target, segment, clusters)


def _write_index(target: BinaryIO, segment: int, clusters: list[tuple[int, int]]) -> None:
    cues = target.tell() - segment
    _write(target, _element(_CUES, *(_cue(time, position) for time, position in clusters)))
    end = target.tell()
    entry = _element(_SEEK, _element(_SEEK_ID, _id(_CUES)), _element(_SEEK_POSITION, struct.pack(">Q", cues)))
    seek_head = _element(_SEEK_HEAD, entry)
    target.seek(segment - 8)
    _write(target, struct.pack(">Q", 1 << 56 | end - segment))
    _write(target, seek_head + _void(_SEEK_HEAD_BYTES - len(seek_head)))
    target.seek(end)


def _clusters(track: OpusTrack, packets: Iterable[bytes]) -> Iterable[tuple[int, list[bytes]]]:
    """The number of the first packet of each cluster, and its blocks."""
    blocks: list[bytes] = []
    first = 0
    for number, packet in enumerate(packets):
        if len(blocks) == _CLUSTER_PACKETS:
            yield first, blocks
            first, blocks = number, []
        body = struct.pack(">BhB", 0x81, (number - first) * PACKET_MS, 0x80) + packet
        blocks.append(_element(_SIMPLE_BLOCK, body) if number + 1 < track.packets else _last_block(track, body))
    if blocks:
        yield first, blocks


def _last_block(track: OpusTrack, body: bytes) -> bytes:
    """With what is to be cut off at the end, in ns. A Block's flags know no key frame: without reference it is one."""
    surplus = track.packets * track.packet_length - track.pre_skip - track.length
    discard = _element(_DISCARD, struct.pack(">q", surplus * 1_000_000_000 // CLOCK))
    return _element(_BLOCK_GROUP, _element(_BLOCK, body[:3] + b"\0" + body[4:]), discard)


def _header() -> bytes:
    versions = ((0x4286, 1), (0x42F7, 1), (0x42F2, 4), (0x42F3, 8))  # EBML version, read version, longest id, size
    kind = _element(0x4282, b"webm") + _integer(0x4287, 4) + _integer(0x4285, 2)
    return _element(_EBML, *(_integer(*one) for one in versions), kind)


def _info(track: OpusTrack) -> bytes:
    duration_ms = track.length * 1000 / CLOCK
    return _element(
        _INFO,
        _integer(_TIMESTAMP_SCALE, _MILLISECOND_NS),
        _element(_DURATION, struct.pack(">d", duration_ms)),
        _element(_MUXER, VENDOR),
        _element(_WRITER, VENDOR),
    )


def _tracks(track: OpusTrack) -> bytes:
    audio = _element(_SAMPLING, struct.pack(">d", CLOCK)) + _integer(_CHANNELS, 2)
    entry = _element(
        _TRACK,
        *(
            _integer(name, value)
            for name, value in ((_TRACK_NUMBER, 1), (_TRACK_UID, 1), (_TRACK_TYPE, 2), (_LACING, 0))
        ),
        _element(_CODEC, b"A_OPUS"),
        _element(_CODEC_PRIVATE, track.head()),
        _integer(_CODEC_DELAY, track.pre_skip * 1_000_000_000 // CLOCK),
        _integer(_PRE_ROLL, _PRE_ROLL_NS),
        _element(_AUDIO, audio),
    )
    return _element(_TRACKS, entry)


def _cue(time_ms: int, position: int) -> bytes:
    place = _element(_CUE_POSITIONS, _integer(_CUE_TRACK, 1), _integer(_CUE_CLUSTER, position))
    return _element(_CUE, _integer(_CUE_TIME, time_ms), place)


def _id(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _size(length: int) -> bytes:
    """As few octets as hold it: seven bits each, and all ones mean unknown."""
    octets = next(count for count in range(1, 9) if length < (1 << 7 * count) - 1)
    return (length | 1 << 7 * octets).to_bytes(octets, "big")


def _element(name: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _id(name) + _size(len(body)) + body


def _integer(name: int, value: int) -> bytes:
    return _element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _void(length: int) -> bytes:
    return bytes((_VOID, 0x80 | length - 2)) + bytes(length - 2)


def _write(target: BinaryIO, data: bytes) -> None:
    target.write(data)
