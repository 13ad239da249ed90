"""Fuzz targets of protocol/ng and of the spool reader: what strangers send, and what a dying disk leaves."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mediaserverd.media import spool
from mediaserverd.media.spool import SpoolError
from mediaserverd.media.timeline import positions, received
from mediaserverd.protocol import ng
from mediaserverd.protocol.ng import NgError
from tests.fuzz.registry import target
from tests.media.spools import end_frame, event_frame, spool_bytes, stream

MESSAGES = (
    b"7_1 d8:supportsl10:load limite3:sdp4:v=0\r7:call id2:k18:from-tag1:a5:flagsl11:record calle7:command5:offere",
    b"7_2 d7:command4:pinge",
    b'7_3 {"command":"start recording","call-id":"x","metadata":{"a":[1,true,null,1.5]},"segment":"2"}',
    b'7_4 {"command":"offer","rtpp-flags":"RTP/AVP replace-origin ICE=remove direction=[a b] rtcp-mux=[demux] x=["}',
    b"7_5 d5:rtpp_flags40:replace-origin record-call=on direction=[a b]7:command5:offere",
)
SPOOLS = (
    spool_bytes(stream(0, bytes(320)), event_frame(5, 1, event="pause"), end=end_frame(60)),
    spool_bytes([]),
)


@target("ng-message", MESSAGES)
def ng_message(data: bytes) -> None:
    """A message whose print is decoded to an equal one, or an NgError that can be answered; nothing else."""
    try:
        message = ng.decode(data)
        request = ng.request_of(message)
    except NgError as fault:
        answer = ng.error_message(fault)
        assert answer is None or ng.decode(ng.encode(answer)) == answer
        return
    assert ng.decode(ng.encode(message)) == message
    for name in request.fields:
        _ = request.text(name), request.number(name, 0), request.words(name), request.says(name)  # never raise
    ng.encode(request.reply(ng.refusal(request, ng.Reason.NO_PORTS)))


@target("spool-file", SPOOLS)
def spool_file(data: bytes) -> None:
    """Whole frames up to a break inside the file, each packet's payload within it, or a SpoolError; nothing else."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            read = spool.read(Path(file.name))
        except SpoolError:
            return
    assert read.broken_at is None or 0 < read.broken_at < len(data)
    packets = read.packets
    assert all(
        0 < start < start + length <= len(data) for start, length in zip(packets.start, packets.length, strict=True)
    )
    reception, first = received(packets)
    assert reception.packets == len(packets) == len(first) == len(positions(packets, read.started_ns))
