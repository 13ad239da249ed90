"""What is kept of the messages of calls: enough to draw a ladder, nothing that is private, and never too much."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from mediaserverd.call.events import CALLER
from mediaserverd.controller import trace
from mediaserverd.controller.trace import FIRST_LINES, KEPT_FIRST, KEPT_LAST, LANES, LAST_LINES, Line, Trace, Traces
from mediaserverd.protocol.sip.flow import Flow

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.7", 5062))


def sip(first_line: str, cseq: str = "1 INVITE", call_id: str = "abc", headers: str = "", body: str = "") -> bytes:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{first_line}\r\nVia: SIP/2.0/UDP 192.0.2.7\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{headers}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


INVITE = "INVITE sip:secret-number@192.0.2.1 SIP/2.0"


def traces() -> Traces:
    clock = itertools.count(1_800_000_000)
    return Traces(lambda: next(clock))


def followed(kept: Traces, call_id: str = "call-1", sip_call_id: str = "abc") -> Traces:
    kept.follow(sip_call_id, call_id, CALLER, "alice", FLOW)
    return kept


def told(kept: Traces, call_id: str = "call-1") -> list[tuple[str, str, str]]:
    ladder = kept.ladder(call_id)
    assert ladder is not None
    return [(line["from"], line["to"], line["text"]) for line in ladder["lines"]]


def test_a_call_is_told_from_its_challenge_to_the_late_answers_after_its_end() -> None:
    kept = traces()
    kept.received(sip(INVITE))
    kept.sent(sip("SIP/2.0 407 Proxy Authentication Required"))
    kept.received(sip(INVITE, call_id="of somebody else"))
    kept.received(sip("REGISTER sip:192.0.2.1 SIP/2.0", "7 REGISTER"))
    kept.received(
        sip(INVITE, "2 INVITE", headers="Authorization: Digest response=xyz\r\n", body="v=0 c=IN IP4 10.9.8.7")
    )
    followed(kept)
    command = {"command": "offer", "call-id": "call-1", "from-tag": "caller", "sdp": "v=0"}
    kept.asked("m1", command)
    kept.replied("m1", command, {"result": "error", "error-reason": "Ran out of ports"}, 0.0123)
    kept.notified("m1", {"notification": "media-timeout", "call-id": "call-1", "reason": "no RTP for 60 s"})
    kept.lost("m1", "silent for 1 s")
    kept.ended("call-1")
    kept.sent(sip("SIP/2.0 200 OK", "3 BYE"))
    assert told(kept) == [
        ("caller", "controller", "INVITE"),
        ("controller", "caller", "407 Proxy Authentication Required"),
        ("caller", "controller", "INVITE"),
        ("controller", "media m1", "offer (caller)"),
        ("media m1", "controller", "offer: error: Ran out of ports"),
        ("media m1", "controller", "media-timeout: no RTP for 60 s"),
        ("media m1", "controller", "lost: silent for 1 s"),
        ("controller", "caller", "200 OK"),
    ]
    ladder: Any = kept.ladder("call-1")
    assert [(lane["name"], lane["kind"]) for lane in ladder["lanes"]] == [
        ("alice 192.0.2.7:5062 udp", "phone"), ("controller", "controller"), ("m1", "media"),
    ]  # fmt: skip
    assert [line["sdp"] for line in ladder["lines"]] == [False, False, True, True, False, False, False, False]
    assert [line["fault"] for line in ladder["lines"]] == [False] * 4 + [True] * 3 + [False]
    assert ladder["lines"][2]["note"] == "2 INVITE"
    assert ladder["lines"][4]["note"] == "12 ms"
    text = json.dumps(ladder)
    for private in ("secret-number", "Digest", "xyz", "10.9.8.7", "v=0"):
        assert private not in text


def test_of_a_long_call_the_beginning_and_the_end_are_kept_and_the_rest_is_counted() -> None:
    kept = followed(traces())
    for number in range(FIRST_LINES + 1000):
        kept.received(sip(INVITE, f"{number} INVITE"))
    ladder: Any = kept.ladder("call-1")
    numbers = [int(line["note"].split()[0]) for line in ladder["lines"]]
    assert numbers == [*range(FIRST_LINES), *range(FIRST_LINES + 1000 - LAST_LINES, FIRST_LINES + 1000)]
    assert (ladder["left_out"], ladder["left_out_after"]) == (1000 - LAST_LINES, FIRST_LINES)


def test_the_next_process_is_told_of_the_beginning_and_the_end() -> None:
    long = Trace({"controller": "controller"})
    for number in range(FIRST_LINES + LAST_LINES + 5):
        long.add(Line(float(number), "caller", "controller", "INFO", str(number), sdp=False))
    kept = long.record()
    assert [line.note for line in kept.first] == [str(number) for number in range(KEPT_FIRST)]
    assert [line.note for line in kept.last] == [str(number) for number in range(305 - KEPT_LAST, 305)]
    assert kept.left_out == 305 - KEPT_FIRST - KEPT_LAST
    again = Trace.of(kept)
    assert again.record() == kept
    again.add(Line(400.0, "caller", "controller", "BYE", "", sdp=False))
    assert (again.last[-1].text, len(again.first)) == ("BYE", KEPT_FIRST)


def test_all_calls_together_are_bounded_and_the_oldest_that_ended_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "LINES_IN_ALL", 10)
    kept = traces()
    for number in (1, 2, 3):
        followed(kept, f"call-{number}", f"sip-{number}")
        for _ in range(4 if number < 3 else 2):
            kept.received(sip(INVITE, call_id=f"sip-{number}"))
    kept.ended("call-2")
    kept.ended("call-1")
    kept.received(sip("BYE x SIP/2.0", "2 BYE", call_id="sip-3"))
    assert kept.ladder("call-2") is None
    assert len(told(kept, "call-1")) == 4
    for _ in range(20):
        kept.received(sip("BYE x SIP/2.0", "2 BYE", call_id="sip-3"))
    assert kept.ladder("call-1") is None
    ladder: Any = kept.ladder("call-3")
    assert (len(ladder["lines"]), ladder["left_out"]) == (10, 13)
    kept.received(sip(INVITE, call_id="sip-1"))  # of a call that is forgotten


def test_what_strangers_choose_is_cut_and_made_printable() -> None:
    kept = followed(traces())
    kept.received(sip("SIP/2.0 486 \x1b[2J" + "x" * 500, "1 \x07INVITE"))
    for number in range(100):
        kept.follow(f"leg-{number}", "call-1", f"leg {number}", "y" * 500, FLOW)
        kept.received(sip("SIP/2.0 180 Ringing", call_id=f"leg-{number}"))
    kept.received(b"\xff\x00 nonsense")
    kept.received(b"Call-ID: abc")
    ladder: Any = kept.ladder("call-1")
    assert ladder["lines"][0]["text"].startswith("486 ?[2Jxxx")
    assert len(ladder["lanes"]) == LANES
    assert len(ladder["lines"]) == 101
    assert all(len(text) <= trace.TEXT_LIMIT for line in ladder["lines"] for text in (line["text"], line["note"]))
    assert all(len(lane["name"]) <= trace.TEXT_LIMIT for lane in ladder["lanes"])
