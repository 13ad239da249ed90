"""Rendering of hostile recordings: any packets of any codec, at any time, with any payload."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from mediaserverd.audio.render import Rendering
from mediaserverd.protocol.sasf.contents import Contents
from tests.audio.recorded import Rtp, codecs, contents, event, stream
from tests.fuzz.registry import target

_PACKET: Final = struct.Struct(
    "<BBHIIBB"
)  # side, payload type, arrival in ms, timestamp, SSRC, sequence number, length
_CODECS: Final = {
    "96": "opus/48000/2",
    "97": "L16/44100/2",
    "98": "L16/8000",
    "99": "CN/16000",
    "100": "PCMU/16000",
    "101": "telephone-event/8000",
    "102": "opus/8000",
    "103": "PCMA/7999",
    "104": "L16/192000",
    "105": "L16/1",
}
_PAUSE_TYPE: Final = 127
_RESUME_TYPE: Final = 126


def _encoded(packets: list[Rtp]) -> bytes:
    return b"".join(
        _PACKET.pack(
            each.side,
            each.payload_type,
            int(each.arrival_ms),
            each.timestamp,
            each.ssrc,
            each.sequence,
            len(each.payload),
        )
        + each.payload
        for each in packets
    )


def _recording(data: bytes) -> Contents:
    packets, events, at = [], [codecs(_CODECS, side=side) for side in (0, 1)], 0
    while at + _PACKET.size <= len(data):
        side, payload_type, arrival, timestamp, ssrc, sequence, length = _PACKET.unpack_from(data, at)
        at += _PACKET.size
        payload = data[at : at + length]
        at += length
        match payload_type & 0x7F:
            case 127:
                events.append(event(arrival, 0, "pause", mode="omit" if side & 2 else "mask"))
            case 126:
                events.append(event(arrival, 0, "resume"))
            case known:
                packets.append(Rtp(side & 1, arrival, sequence, timestamp, payload, known, ssrc))
    return contents(packets, *events, duration_ms=2000, closed=bool(len(data) & 1))


_CORPUS = (
    _encoded(stream(0, bytes(range(256)) * 10) + stream(1, bytes(800), payload_type=9, ssrc=7)),
    *(_encoded(stream(0, bytes(range(200)) * 8, payload_type=number)) for number in (3, 8, 13, *range(96, 106))),
    _encoded(stream(0, bytes(1600))[::2] + stream(0, bytes(320), payload_type=_PAUSE_TYPE, start_ms=50)),
    _encoded(stream(1, bytes(1600), payload_type=96)[::3] + stream(2, bytes(160), payload_type=_RESUME_TYPE)),
)


@target("audio", _CORPUS)
def audio(data: bytes) -> None:
    """No recording fails to render; whatever part is asked for, it is the same; and nothing makes it longer."""
    rendering = Rendering(_recording(data))
    whole = rendering.block(0, rendering.frames)
    assert whole.shape == (rendering.frames, 2)
    assert rendering.frames <= 12 * rendering.sample_rate  # 2 s, one more if it broke off, and a beep for each cut
    half = rendering.frames // 2
    again = Rendering(_recording(data))
    assert np.array_equal(again.block(half, 400), whole[half : half + 400])
    quality = rendering.quality
    assert all(side.lost >= 0 and side.concealed_ms >= 0 for side in quality.sides)
    assert quality.as_json()["sides"][1]["packets"] == quality.sides[1].packets
