"""The ladder of a call: who said what to whom, in time. Read from what the controller keeps, and drawn as text.

Pure. Not responsible for the picture (``ladder_svg``), nor for where the lines come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Self

LaneKind = Literal["phone", "controller", "media"]
Tone = Literal["request", "good", "bad", "provisional", "media"]

WAIT_S: Final = 2.0  # a longer silence gets a line of its own
_TIME_WIDTH: Final = 10
_NARROW, _WIDE = 14, 30  # of the space between two lanes


@dataclass(frozen=True, slots=True)
class Lane:
    name: str
    kind: LaneKind


@dataclass(frozen=True, slots=True)
class Rung:
    """One message. ``source`` and ``target`` number the lanes from the left; ``at_s`` counts from the first message."""

    at_s: float
    source: int
    target: int
    text: str
    tone: Tone

    @property
    def ends(self) -> tuple[int, int]:
        """From left to right."""
        return min(self.source, self.target), max(self.source, self.target)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing was said for so long, or what was said is not kept; or a remark."""

    text: str


Row = Rung | Pause


@dataclass(frozen=True, slots=True)
class Ladder:
    call_id: str
    began: str  # date and time of the first message, UTC
    lanes: tuple[Lane, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From the answer of ``GET /control/calls/CALL-ID/ladder``."""
        lanes = tuple(Lane(each["name"], each["kind"]) for each in document["lanes"])
        began = document["lines"][0]["at"] if document["lines"] else ""
        return cls(document["call_id"], began[:19].replace("T", " "), lanes, tuple(_rows(document)))


def _rows(document: Mapping[str, Any]) -> Iterator[Row]:
    numbers = {lane["id"]: number for number, lane in enumerate(document["lanes"])}
    begin = before = None
    for index, line in enumerate(document["lines"]):
        at = datetime.fromisoformat(line["at"])
        begin, before = begin or at, before or at
        if index == document["left_out_after"] and document["left_out"]:
            yield Pause(f"{document['left_out']} messages were not kept")
        elif (silence_s := (at - before).total_seconds()) >= WAIT_S:
            yield Pause(f"{silence_s:.1f} s later")
        before = at
        if line["from"] == line["to"]:
            yield Pause(line["text"])
            continue
        source, target = numbers[line["from"]], numbers[line["to"]]
        to_media = any(lane.startswith("media ") for lane in (line["from"], line["to"]))
        yield Rung((at - begin).total_seconds(), source, target, _text(line, to_media), _tone(line, to_media))


def _text(line: Mapping[str, Any], to_media: bool) -> str:
    sdp = " + SDP" if line["sdp"] else ""
    method = line["note"].partition(" ")[2]
    if to_media:
        note = f" ({line['note']})" if line["note"] else ""
    else:  # a response says what it answers, but for the INVITE
        note = f" ({method})" if line["text"][:3].isdigit() and method not in ("", "INVITE") else ""
    return f"{line['text']}{sdp}{note}"


def _tone(line: Mapping[str, Any], to_media: bool) -> Tone:
    text = line["text"]
    if to_media:
        return "bad" if line["fault"] else "media"
    if not text[:3].isdigit():
        return "request"
    return "provisional" if text < "2" else "good" if text < "3" else "bad"


# --- text


def lines_of(ladder: Ladder) -> Iterator[str]:
    """The ladder as a terminal shows it."""
    gap = _gap(ladder)
    columns = [_TIME_WIDTH + gap // 2 + number * (gap + 1) for number in range(len(ladder.lanes))]
    yield from _heads(ladder.lanes, columns, gap)
    for row in ladder.rows:
        match row:
            case Rung():
                yield _drawn(row, columns)
            case Pause(text):
                yield _put(_rails(columns), _TIME_WIDTH, f"... {text}")


def _gap(ladder: Ladder) -> int:
    """As much room between two lanes as the texts and the heads need."""
    needed = [len(part) + 2 for lane in ladder.lanes for part in lane.name.partition(" ")]
    for row in ladder.rows:
        if isinstance(row, Rung) and (lanes := row.ends[1] - row.ends[0]):
            needed.append(-(-(len(row.text) + 4) // lanes))
    return max(_NARROW, min(_WIDE, max(needed, default=0)))


def _heads(lanes: tuple[Lane, ...], columns: list[int], gap: int) -> Iterator[str]:
    """The name of each lane, then where it can be reached."""
    for part in (0, 2):
        line = ""
        for lane, column in zip(lanes, columns, strict=True):
            word = lane.name.partition(" ")[part][: gap - 1]
            line = _put(line, column - len(word) // 2, word)
        if line.strip():
            yield line.rstrip()


def _rails(columns: list[int]) -> str:
    line = ""
    for column in columns:
        line = _put(line, column, "|")
    return line


def _drawn(rung: Rung, columns: list[int]) -> str:
    left, right = (columns[number] for number in rung.ends)
    room = right - left - 1
    text = rung.text if len(rung.text) <= room - 4 else rung.text[: room - 5] + "~"
    shaft = text.center(room, "-")
    arrow = shaft[:-1] + ">" if rung.source < rung.target else "<" + shaft[1:]
    line = _put(_rails(columns), left + 1, arrow)
    return _put(line, 0, f"{rung.at_s:{_TIME_WIDTH - 2}.3f}")


def _put(line: str, column: int, text: str) -> str:
    """``text`` over what is there."""
    line = line.ljust(column)
    return line[:column] + text + line[column + len(text) :]
