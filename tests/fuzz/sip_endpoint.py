"""Fuzz target of the SIP endpoint: a stranger who knows the tags, branches and Call-IDs of running calls."""

from __future__ import annotations

from itertools import count

from mediaserverd.protocol.sip.endpoint import Endpoint, Flow, Malformed, RequestReceived, Transmit
from mediaserverd.protocol.sip.message import Headers, Request, parse_message
from mediaserverd.protocol.sip.uri import Uri
from tests.fuzz.registry import target
from tests.protocol.sip.rfc4475 import TORTURE

HERE, THERE = ("192.0.2.10", 5060), ("192.0.2.1", 5060)
SOURCES = (Flow("udp", HERE, THERE), Flow("tcp", HERE, THERE, 7))
SEPARATOR = b"\n====\n"
VIA = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"
OURS = "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKt0.e8b7be43.t1"  # of the INVITE below, its tokens being t0, t1...
MAX_WAKINGS = 500  # far more than the timers of the few transactions that one input can start


def _request(method: str, branch: str, number: int, to_tag: str = "") -> bytes:
    return (
        f"{method} sip:bob@192.0.2.10 SIP/2.0\r\nVia: {VIA}{branch}\r\nFrom: <sip:a@192.0.2.1>;tag=a\r\n"
        f"Call-ID: theirs\r\nTo: <sip:bob@192.0.2.10>{to_tag}\r\nCSeq: {number} {method}\r\n"
        "Contact: <sip:a@192.0.2.1>\r\n\r\n"
    ).encode()


def _response(status: int, tag: str) -> bytes:
    return (
        f"SIP/2.0 {status} X\r\nVia: {OURS}\r\nFrom: <sip:me@192.0.2.10>;tag=me\r\nTo: <sip:a@192.0.2.1>;tag={tag}\r\n"
        f"Call-ID: ours\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nRecord-Route: <sip:192.0.2.3;lr>\r\n\r\n"
    ).encode()


INVITE = _request("INVITE", "1", 1)
WITHIN = [_request(method, method, 2, ";tag=t2") for method in ("ACK", "BYE", "INFO", "UPDATE", "INVITE")]
SCRIPTS = (
    [INVITE, _request("CANCEL", "1", 1)],
    [INVITE, INVITE, *WITHIN],
    [_response(180, "x"), _response(180, "y"), _response(200, "x"), _response(200, "y"), _response(200, "x")],
    [_response(486, "x"), _response(200, "x")],
    [_response(401, "x")],
    *([case.wire] for case in TORTURE),
)


def _endpoint() -> Endpoint:
    serial = count()
    made = Endpoint({"udp": HERE}, lambda: f"t{next(serial)}")
    headers = [("From", "<sip:me@192.0.2.10>;tag=me"), ("To", "<sip:a@192.0.2.1>"), ("Call-ID", "ours")]
    invite = Request("INVITE", Uri.parse("sip:a@192.0.2.1"), Headers([*headers, ("CSeq", "1 INVITE")]), b"v=0")
    made.invite(invite, SOURCES[0], 0.0, authorize=lambda _request, _response: [("Authorization", "Digest x=y")])
    return made


def _work(endpoint: Endpoint, status: int, now: float) -> None:
    while outputs := endpoint.drain():
        broken = any(isinstance(output, Malformed) for output in outputs)  # its answer lacks what it lacks
        for output in outputs:
            if isinstance(output, Transmit) and not broken:
                parse_message(output.data)
            elif isinstance(output, RequestReceived):
                endpoint.reply(output.transaction, status, now, body=b"v=0")


@target("sip-endpoint", [SEPARATOR.join(script) for script in SCRIPTS])
def sip_endpoint(data: bytes) -> None:
    """Nothing that is received makes the endpoint raise, send what is not SIP, or keep a transaction for ever."""
    for status, source in ((200, SOURCES[0]), (486, SOURCES[1]), (180, SOURCES[0])):
        endpoint = _endpoint()
        now = 1.0
        for message in data.split(SEPARATOR):
            endpoint.receive_bytes(message, source, now)
            _work(endpoint, status, now)
            now += 0.3
        endpoint.transport_failed(SOURCES[1], now)
        for _ in range(MAX_WAKINGS):
            if endpoint.deadline is None:
                break
            endpoint.advance(max(now, endpoint.deadline))
            _work(endpoint, status, max(now, endpoint.deadline or now))
        assert endpoint.deadline is None
