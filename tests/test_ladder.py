"""The ladder of a call, drawn as text and as a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from mediaserverd.ladder import Ladder, lines_of
from mediaserverd.ladder_svg import svg_of

SVG = "{http://www.w3.org/2000/svg}"


def line(at_ms: int, source: str, target: str, text: str, note: str = "", **more: bool) -> dict[str, Any]:
    at = f"2026-01-01T10:00:{at_ms // 1000:02}.{at_ms % 1000:03}Z"
    return {"at": at, "from": source, "to": target, "text": text, "note": note, "sdp": False, "fault": False, **more}


LANES = [
    {"id": "caller", "name": "alice 192.0.2.7:5062 udp", "kind": "phone"},
    {"id": "controller", "name": "controller", "kind": "controller"},
    {"id": "called 1", "name": "bob 192.0.2.8:5062 tls", "kind": "phone"},
    {"id": "media m1", "name": "m1", "kind": "media"},
]
DOCUMENT: dict[str, Any] = {
    "call_id": "ctl-1",
    "lanes": LANES,
    "lines": [
        line(0, "caller", "controller", "INVITE", "1 INVITE", sdp=True),
        line(2, "controller", "media m1", "offer (caller)", sdp=True),
        line(14, "media m1", "controller", "offer: error: Ran out of ports", "12 ms", fault=True),
        line(15, "controller", "called 1", "INVITE", "1 INVITE"),
        line(5015, "called 1", "controller", "200 OK", "1 INVITE"),
        line(5900, "controller", "controller", "a remark"),
        line(6000, "caller", "controller", "BYE", "2 BYE"),
        line(6001, "controller", "caller", "200 OK", "2 BYE"),
    ],
    "left_out": 7,
    "left_out_after": 5,
}
TEXT = """
                  alice              controller                bob                   m1
           192.0.2.7:5062 udp                          192.0.2.8:5062 tls
   0.000            |-----INVITE + SDP--->|                     |                     |
   0.002            |                     |------------offer (caller) + SDP---------->|
   0.014            |                     |<--offer: error: Ran out of ports (12 ms)--|
   0.015            |                     |--------INVITE------>|                     |
          ... 5.0 s later                 |                     |                     |
   5.015            |                     |<-------200 OK-------|                     |
          ... 7 messages were not kept    |                     |                     |
          ... a remark                    |                     |                     |
   6.000            |---------BYE-------->|                     |                     |
   6.001            |<----200 OK (BYE)----|                     |                     |
"""


def test_the_ladder_is_drawn_as_text() -> None:
    drawn = "\n".join(text.rstrip() for text in lines_of(Ladder.of(DOCUMENT)))
    assert drawn.splitlines() == TEXT.strip("\n").splitlines()


def test_the_picture_is_a_document_that_shows_every_message_within_its_frame() -> None:
    picture = ElementTree.fromstring(svg_of(Ladder.of(DOCUMENT)))
    width, height = (int(picture.attrib[name]) for name in ("width", "height"))
    arrows = [each for each in picture.iter(f"{SVG}line") if each.get("class") == "arrow"]
    assert len(arrows) == len([each for each in DOCUMENT["lines"] if each["from"] != each["to"]])
    for each in arrows:
        assert 0 < int(each.attrib["x1"]) < width
        assert 0 < int(each.attrib["x2"]) < width
        assert 0 < int(each.attrib["y1"]) < height
    assert [int(each.attrib["x1"]) < int(each.attrib["x2"]) for each in arrows] == [
        source < target for source, target in ((0, 1), (1, 3), (3, 1), (1, 2), (2, 1), (0, 1), (1, 0))
    ]
    heights = [int(each.attrib["y1"]) for each in arrows]
    assert heights == sorted(set(heights))
    texts = [each.text for each in picture.iter(f"{SVG}text")]
    for wanted in (
        "call ctl-1",
        "alice",
        "192.0.2.8:5062 tls",
        "200 OK (BYE)",
        "5.0 s later",
        "7 messages were not kept",
    ):
        assert wanted in texts
    marks = {each.attrib["id"] for each in picture.iter(f"{SVG}marker")}
    assert {each.attrib["marker-end"].removeprefix("url(#").removesuffix(")") for each in arrows} <= marks
    assert arrows[2].attrib["marker-end"] == "url(#bad)"


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a\"b'c&d]]>", "\x00\x1b[2J\ud800", "x" * 10_000, ""])
def test_no_text_breaks_the_picture(hostile: str) -> None:
    lanes = [{"id": "caller", "name": hostile, "kind": "phone"}, LANES[1]]
    document = {**DOCUMENT, "call_id": hostile, "lanes": lanes, "lines": [line(0, "caller", "controller", hostile)]}
    ladder = Ladder.of(document)
    picture = ElementTree.fromstring(svg_of(ladder).encode("utf-8"))
    assert {each.tag.removeprefix(SVG) for each in picture.iter()} <= {
        "svg", "style", "defs", "marker", "path", "rect", "text", "line",
    }  # fmt: skip
    assert all(len(text) < 100 for text in lines_of(ladder))


def test_a_call_of_which_nothing_was_said_has_an_empty_ladder() -> None:
    ladder = Ladder.of({**DOCUMENT, "lines": [], "left_out": 0})
    ElementTree.fromstring(svg_of(ladder))
    assert len(list(lines_of(ladder))) == 2
