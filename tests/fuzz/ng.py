"""Fuzz target of protocol/ng: what strangers send."""

from __future__ import annotations

from mediaserverd.protocol import ng
from mediaserverd.protocol.ng import NgError
from tests.fuzz.registry import target

MESSAGES = (
    b"7_1 d8:supportsl10:load limite3:sdp4:v=0\r7:call id2:k18:from-tag1:a5:flagsl11:record calle7:command5:offere",
    b"7_2 d7:command4:pinge",
    b'7_3 {"command":"start recording","call-id":"x","metadata":{"a":[1,true,null,1.5]},"segment":"2"}',
    b'7_4 {"command":"offer","rtpp-flags":"RTP/AVP replace-origin ICE=remove direction=[a b] rtcp-mux=[demux] x=["}',
    b"7_5 d5:rtpp_flags40:replace-origin record-call=on direction=[a b]7:command5:offere",
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
