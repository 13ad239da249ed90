"""After a storm: what became of every call and of every second that was said in it.

A call must have gone on until its phones ended it; one that never came about must have been under way when the
controller was struck. Each call that was up has one recording, and each second of it is in that recording as it was
spoken, or reported as missing: by a gap that names its reason, by a span in which one side only was heard, or by the
time up to which it was heard at all.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tests.chaos.calls import Attempt, names
from tests.chaos.listening import BESIDE_S, heard_segments, seconds_of, unheard
from tests.chaos.strokes import Outage, longest_calm_s
from tests.kit.cluster import MEDIA, Cluster
from tests.kit.doors import Json

EDGE_S: Final = 1.5  # a call's first and last moment: the promise is 1 s, and the machine may be busy
SETTLED_S: Final = 120.0  # above the 60 s without audio after which a media server ends a call that nobody knows
_LATEST_S: Final = 0.2  # two packets and a half: what is on its way when a call ends
_STRUCK_S: Final = 10.0  # what was begun while the controller was away may fail so much later
_CALM_S: Final = 20.0  # links try again every 2 s at most, phones every 4 s, and the machine may be busy
_JUDGED_S: Final = 3.0  # less than this has no sure place in what was said
_TOLD: Final = 8  # of the seconds of one recording that are unexplained
_AT_THE_END: Final = "silent at its end (heard_to_ms)"
_REASONS: Final = frozenset(
    {
        "media-server-lost",
        "recording-failed",
        "no-media-server",
        "disk-full",
        "disk floor",
        "packets-lost",
    }
)


@dataclass(slots=True)
class Account:
    """What it came to. ``faults`` is empty if everything is accounted for."""

    calls: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    recordings: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    call_s: float = 0.0
    stored_s: float = 0.0
    judged_s: int = 0
    missing_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    gaps: Counter[str] = field(default_factory=Counter)
    longest_gap_s: float = 0.0
    longest_calm_s: float = 0.0  # of a gap, in which the recording could have gone on
    unexplained_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [
            ("strokes", f"{self.struck.total()}: {_listed(self.struck)}"),
            ("calls", f"{self.calls.total()}: {_listed(self.calls)}"),
            ("recordings", f"{self.recordings.total()}: {_listed(self.recordings)}; in {self.segments} segments"),
            ("seconds of calls", f"{self.call_s:.1f}"),
            (
                "seconds of them stored",
                f"{self.stored_s:.1f}; {self.judged_s} seconds of one channel each were listened to",
            ),
        ]
        for reason, seconds in sorted(self.missing_s.items()):
            rows.append((f"gaps: {reason}", f"{seconds:.1f} s in {self.gaps[reason]}"))
        rows.append(("longest gap", f"{self.longest_gap_s:.1f} s; without need: {self.longest_calm_s:.1f} s"))
        rows.append(("unexplained", f"{self.unexplained_s:.1f} s, {len(self.faults)} faults"))
        table = "\n".join(f"{name:30} {value}" for name, value in rows)
        return "\n".join([table, *(f"FAULT: {fault}" for fault in self.faults)])


async def account(cluster: Cluster, attempts: Sequence[Attempt], outages: Sequence[Outage]) -> Account:
    """``outages`` are over."""
    found = Account(struck=Counter(each.stroke.of for each in outages))
    for attempt in attempts:
        _judge_call(found, attempt, outages)
    await _settled(cluster, found, sum(attempt.was_up for attempt in attempts))
    details = [await cluster.recorder.api.recording(row["id"]) for row in await cluster.recorder.api.recordings()]
    for attempt, recordings in _matched(attempts, details):
        await _judge_recordings(cluster, found, attempt, recordings, outages)
    tally = await cluster.recorder.api.reconciliation()
    if tally["expected"] != tally["stored"] + tally["failed"] + tally["discarded"] or tally["undeleted_segments"]:
        found.faults.append(f"the recorder's own account does not close: {tally}")
    return found


def _judge_call(found: Account, attempt: Attempt, outages: Sequence[Outage]) -> None:
    who = f"the call of pair {attempt.pair} at {_clock(attempt.dialled_at)}"
    if not attempt.was_up:
        struck = any(
            each.stroke.victim == "controller"
            and each.began - 1 < attempt.ended_at
            and attempt.dialled_at < each.ended + _STRUCK_S
            for each in outages
        )
        found.calls["not set up, as the controller was struck" if struck else "NOT SET UP"] += 1
        if not struck:
            found.faults.append(f"{who} was not set up: {attempt.failed}")
    elif attempt.lost:
        found.calls["LOST"] += 1
        found.faults.append(f"{who}, {attempt.seconds:.1f} s: {attempt.lost}")
    else:
        found.calls["up until they were ended"] += 1
    found.call_s += attempt.seconds if attempt.was_up else 0.0


async def _settled(cluster: Cluster, found: Account, count: int) -> None:
    """Nothing is on its way any more: every recording stored or failed, every server without calls and files."""
    try:
        await _quiet(cluster, SETTLED_S)
        await cluster.recorder.api.settled(count, SETTLED_S)
        for server in cluster.media.values():
            await server.retrieval.empty_of(timeout_s=SETTLED_S)
            if sessions := await server.sessions():
                found.faults.append(f"{sessions} sessions are left on {server.directory.name}")
    except TimeoutError as fault:
        found.faults.append(f"not settled: {fault}")


async def _quiet(cluster: Cluster, timeout_s: float) -> None:
    """The controller has no call any more, and has told the recorder all that it had to tell."""
    status = cluster.controller.status
    deadline = time.monotonic() + timeout_s
    while (calls := await status.calls()) or await status.metric("controller", "mediaserverd_ledger_unsent"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the controller still has {calls}, or entries for the ledger")
        await asyncio.sleep(0.2)


def _matched(attempts: Sequence[Attempt], details: Sequence[Json]) -> Iterator[tuple[Attempt, list[Json]]]:
    """Of one pair each call begins behind the end of the one before: a recording is of the one dialled last."""
    for pair in {attempt.pair for attempt in attempts}:
        (station, _), _ = names(pair)
        calls = [attempt for attempt in attempts if attempt.pair == pair]
        dialled = [attempt.dialled_at for attempt in calls]
        of_call: list[list[Json]] = [[] for _ in calls]
        for detail in details:
            if detail["calling"]["station"] == station:
                of_call[max(0, bisect_right(dialled, seconds_of(detail["started_at"])) - 1)].append(detail)
        yield from zip(calls, of_call, strict=True)


async def _judge_recordings(
    cluster: Cluster, found: Account, attempt: Attempt, recordings: list[Json], outages: Sequence[Outage]
) -> None:
    who = f"pair {attempt.pair} at {_clock(attempt.dialled_at)}, up {_clock(attempt.up_at)}, {attempt.seconds:.1f} s"
    if len(recordings) != 1 and (attempt.was_up or recordings):
        found.faults.append(f"{who}: {len(recordings)} recordings, {[detail['id'] for detail in recordings]}")
        found.unexplained_s += attempt.seconds
        return
    for detail in recordings:
        found.recordings[detail["state"]] += 1
        faults, seconds = _judge_state(found, detail)
        if attempt.was_up:
            more, missing_s = await _judge_seconds(cluster, found, attempt, detail, outages)
            faults, seconds = faults + more, seconds + missing_s
        found.unexplained_s += seconds
        if faults:
            found.faults.append(f"{who}: {'; '.join(faults)}; {_shown(detail)}")


async def _judge_seconds(
    cluster: Cluster, found: Account, attempt: Attempt, detail: Json, outages: Sequence[Outage]
) -> tuple[list[str], float]:
    """What of the call is neither stored nor told to be missing."""
    silent_s = _silent_end_s(attempt, detail, outages)
    missing = _uncovered(attempt, detail)
    audio = b"" if missing else await _audio(cluster, detail)
    if audio:
        silent_from = attempt.ended_at - silent_s - _begin(detail)
        silent = [(silent_from - _LATEST_S, math.inf)] if silent_s > _LATEST_S else []
        judged, unlike = unheard(attempt, detail, audio, silent)
        found.judged_s += judged
        missing += [(text, 1.0) for text in unlike]
    if silent_s > BESIDE_S:
        found.missing_s[_AT_THE_END] += silent_s
        found.gaps[_AT_THE_END] += 1
    unexplained_s = sum((lasting for _, lasting in missing), 0.0)
    told_s = sum(gap["duration_ms"] for gap in detail["gaps"]) / 1000 + silent_s
    found.stored_s += max(0.0, attempt.seconds - told_s - unexplained_s)
    return _needless(found, detail, outages) + _in_short([text for text, _ in missing]), unexplained_s


def _judge_state(found: Account, detail: Json) -> tuple[list[str], float]:
    """What of the recording's own word is no explanation, and for how long."""
    faults, seconds = [], 0.0
    stored = _stored(detail)
    found.segments += len(stored)
    if not detail["announced"] or not detail["reason"]:
        faults.append("it was not announced, or has no reason")
    for gap in detail["gaps"]:
        lasting, reason = gap["duration_ms"] / 1000, gap["reason"].partition(":")[0]
        found.missing_s[reason] += lasting
        found.gaps[reason] += 1
        found.longest_gap_s = max(found.longest_gap_s, lasting)
        if reason not in _REASONS:
            faults.append(f"{reason!r} explains no gap")
            seconds += lasting
    return faults, seconds


def _needless(found: Account, detail: Json, outages: Sequence[Outage]) -> list[str]:
    """Gaps that lasted although everything that is needed was there."""
    faults = []
    stored = _stored(detail)
    begin = _begin(detail)
    for gap in detail["gaps"]:
        start, lasting = begin + gap["start_ms"] / 1000, gap["duration_ms"] / 1000
        start -= lasting if stored and not gap["after"] else 0.0
        calm_s = longest_calm_s(outages, MEDIA, start, start + lasting)
        found.longest_calm_s = max(found.longest_calm_s, calm_s)
        if calm_s > _CALM_S:
            faults.append(f"of {gap} it could have gone on for {calm_s:.1f} s")
    return faults


def _uncovered(attempt: Attempt, detail: Json) -> list[tuple[str, float]]:
    """What of the call lies before the recording's beginning or behind its end."""
    stored = _stored(detail)
    begin = _begin(detail)
    length_s = (detail["duration_ms"] or 0) / 1000 if stored else 0.0
    leading_s = sum(gap["duration_ms"] for gap in detail["gaps"] if gap["after"] == 0) / 1000
    trailing_s = sum(gap["duration_ms"] for gap in _gaps_behind(detail)) / 1000
    starts, ends = (begin - leading_s, begin + length_s + trailing_s) if stored else (begin, begin + leading_s)
    found = []
    if starts > attempt.up_at + EDGE_S:
        found.append((f"the first {starts - attempt.up_at:.1f} s are not accounted for", starts - attempt.up_at))
    if ends < attempt.ended_at - EDGE_S:
        found.append((f"the last {attempt.ended_at - ends:.1f} s are not accounted for", attempt.ended_at - ends))
    return found


async def _audio(cluster: Cluster, detail: Json) -> bytes:
    """The whole of it; nothing if there is too little of it to be judged."""
    if not _stored(detail):
        return b""
    within_s = sum(gap["duration_ms"] for gap in _gaps_within(detail)) / 1000
    if detail["duration_ms"] / 1000 - within_s < _JUDGED_S:
        return b""
    return await cluster.recorder.api.audio(detail["id"])


def _silent_end_s(attempt: Attempt, detail: Json, outages: Sequence[Outage]) -> float:
    """How long at the end of a call nothing reached its media server, as that was cut off or frozen then: whether
    anything was sent nobody can tell who saw no later packet. The recording says so by ``heard_to_ms``. A short time
    needs no reason."""
    last = (heard_segments(detail) or [{"heard_to_ms": None}])[-1]
    if last["heard_to_ms"] is None:
        return 0.0
    silent_from = seconds_of(last["started_at"]) + last["heard_to_ms"] / 1000
    struck = any(
        each.stroke.victim == last["media_server"] and each.began < attempt.ended_at and each.ended > silent_from - 1
        for each in outages
    )
    silent_s = attempt.ended_at - silent_from
    told = _gaps_behind(detail) or not (struck or silent_s < EDGE_S)
    return 0.0 if told else max(0.0, silent_s)


def _begin(detail: Json) -> float:
    """Of the joined audio."""
    return seconds_of((heard_segments(detail) or [detail])[0]["started_at"])


def _stored(detail: Json) -> list[Json]:
    return [one for one in detail["segments"] if one["state"] == "stored"]


def _gaps_within(detail: Json) -> list[Json]:
    behind = _gaps_behind(detail)
    return [gap for gap in detail["gaps"] if gap["after"] and gap not in behind]


def _gaps_behind(detail: Json) -> list[Json]:
    """Those behind all audio."""
    return [gap for gap in detail["gaps"] if gap["after"] and gap["start_ms"] >= (detail["duration_ms"] or 0)]


def _shown(detail: Json) -> str:
    """As much of a recording as tells what went wrong with it."""
    lines = [f"{detail['id']} of {detail['call_id']}: {detail['state']}, {detail['reason']}"]
    for one in detail["segments"]:
        why = " ".join(str(one[key]) for key in ("state", "reason", "ended_because"))
        heard = f"{one['duration_ms']} ms, heard from {one['heard_from_ms']} to {one['heard_to_ms']}"
        silences = (one["quality"] or {}).get("silences")
        lines.append(f"{one['number']} {one['media_server']} {one['started_at']} {why}: {heard}, silent {silences}")
    lines += [str(gap) for gap in detail["gaps"]]
    return "".join(f"\n      {line}" for line in lines)


def _in_short(texts: list[str]) -> list[str]:
    return texts if len(texts) <= _TOLD else [*texts[:_TOLD], f"and {len(texts) - _TOLD} more"]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]
