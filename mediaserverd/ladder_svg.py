"""The ladder of a call as a picture that a browser shows (SVG 1.1). Pure: a ladder goes in, the document comes out.

No scripts, no fonts of its own, nothing is loaded from elsewhere. Not responsible for what is in the ladder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from mediaserverd.ladder import Ladder, Lane, LaneKind, Pause, Rung, Tone

ROW: Final = 30  # pixels from one message to the next
LANE: Final = 250  # from one lane to the next
MARGIN: Final = 120  # left of the first lane: for the times
TOP: Final = 118
BOX_WIDTH, BOX_HEIGHT = 216, 44
CHARACTER: Final = 6.6  # of 12 px text, on the average
MAX_TEXT: Final = 90  # characters in one row, whatever room there is

_COLOURS: Final[dict[Tone, str]] = {
    "request": "#1f4e9c", "provisional": "#6b7280", "good": "#1b7f3b", "bad": "#b91c1c", "media": "#8a4b08",
}  # fmt: skip
_BOXES: Final[dict[LaneKind, str]] = {"phone": "#e8f0fe", "controller": "#e5e7eb", "media": "#fdf0dd"}
_STYLE: Final = """text { font-family: "DejaVu Sans", "Segoe UI", Arial, sans-serif; font-size: 12px; fill: #111827 }
.title { font-size: 16px; font-weight: bold } .faint { fill: #6b7280 } .bold { font-weight: bold }
.time { font-size: 11px; fill: #6b7280; text-anchor: end } .middle { text-anchor: middle }
.rail { stroke: #9ca3af; stroke-dasharray: 2 4 } .box { stroke: #6b7280 }
.pause { stroke: #d1d5db; stroke-dasharray: 6 4 } .arrow { stroke-width: 1.6 }"""


def svg_of(ladder: Ladder) -> str:
    width = MARGIN + LANE * max(1, len(ladder.lanes) - 1) + BOX_WIDTH // 2 + 30
    height = TOP + ROW * (len(ladder.rows) + 1) + 20
    title = f"call {ladder.call_id}"
    body = "\n".join([
        *_marks(),
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(20, 30, title, "title"),
        _text(20, 50, f"{ladder.began} UTC, seconds from the first message" if ladder.began else "no message", "faint"),
        *_lanes(ladder.lanes, height),
        *(piece for index, row in enumerate(ladder.rows) for piece in _row(row, TOP + ROW * (index + 1), width)),
    ])  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label={quoteattr(_legal(title))}>\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _marks() -> Iterator[str]:
    """Arrow heads; SVG 1.1 markers do not take the colour of their line."""
    yield "<defs>"
    for tone, colour in _COLOURS.items():
        yield (
            f'<marker id="{tone}" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="8" markerHeight="8" '
            f'orient="auto">'
            f'<path d="M0,0 L10,5 L0,10 z" fill="{colour}"/></marker>'
        )
    yield "</defs>"


def _x(lane: int) -> int:
    return MARGIN + LANE * lane


def _lanes(lanes: tuple[Lane, ...], height: int) -> Iterator[str]:
    for number, lane in enumerate(lanes):
        x, top = _x(number), TOP - BOX_HEIGHT - 6
        name, _, where = lane.name.partition(" ")
        yield f'<line class="rail" x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{height - 14}"/>'
        yield (
            f'<rect class="box" x="{x - BOX_WIDTH // 2}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
            f'fill="{_BOXES[lane.kind]}"/>'
        )
        yield _text(x, top + (19 if where else 27), _cut(name, BOX_WIDTH), "bold middle")
        if where:
            yield _text(x, top + 35, _cut(where, BOX_WIDTH), "faint middle")


def _row(row: Rung | Pause, y: int, width: int) -> Iterator[str]:
    if isinstance(row, Pause):
        half = int(len(row.text) * CHARACTER / 2) + 6
        yield f'<line class="pause" x1="20" y1="{y - 6}" x2="{width - 20}" y2="{y - 6}"/>'
        yield f'<rect x="{width // 2 - half}" y="{y - 14}" width="{2 * half}" height="16" fill="#ffffff"/>'
        yield _text(width // 2, y - 2, row.text, "faint middle")
        return
    source, target = _x(row.source), _x(row.target)
    colour = _COLOURS[row.tone]
    room = abs(source - target) - 24
    text = _cut(row.text, room)
    # A name in the middle of a long arrow would stand on the rail of the lane that it crosses.
    middle = (source + target) // 2 if abs(row.source - row.target) % 2 else (source + target) // 2 + LANE // 2
    half = int(len(text) * CHARACTER / 2) + 3
    yield _text(MARGIN - 24, y + 1, f"{row.at_s:.3f}", "time")
    yield f'<rect x="{middle - half}" y="{y - 17}" width="{2 * half}" height="13" fill="#ffffff" fill-opacity="0.8"/>'
    yield f'<text class="middle" x="{middle}" y="{y - 6}" style="fill:{colour}">{_escaped(text)}</text>'
    yield (
        f'<line class="arrow" x1="{source}" y1="{y}" x2="{target}" y2="{y}" stroke="{colour}" '
        f'marker-end="url(#{row.tone})"/>'
    )


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{_escaped(text)}</text>'


def _cut(text: str, pixels: int) -> str:
    room = min(MAX_TEXT, max(1, int(pixels / CHARACTER)))
    return text if len(text) <= room else text[: room - 1] + "…"


def _escaped(text: str) -> str:
    return escape(_legal(text))


def _legal(text: str) -> str:
    """XML 1.0 knows no control characters and no halves of pairs, not even escaped."""
    return "".join(each if each.isprintable() else "?" for each in text)
