"""Every scenario of ``sipp_scenarios/`` against the daemon: the caller is a station, the far end is a line."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.test_audio_path import OnDemand
from tests.kit.daemon import PASSWORDS, Daemon
from tests.kit.sipp import SCENARIOS, Sipp

SERVER = ("127.0.0.1", 5060)
CALLER, FAR_END = ("127.0.0.2", 5080), ("127.0.0.3", 5090)
SITE = {
    "sip": {"ring_timeout_s": 3},
    "lines": [{"name": "far", "address": "127.0.0.3:5090", "numbers": ["9*"]}],
}
# caller, far end, calls, recordings that come of them
RUNS = [
    ("uac_basic_call", "uas_answer", 5, 5),
    ("uac_hold_resume", "uas_hold_resume", 2, 2),
    ("uac_codec_change", "uas_codec_change", 2, 2),
    ("uac_cancel", "uas_ring_until_cancelled", 5, 0),
    ("uac_busy", "uas_busy", 5, 0),
    ("uac_no_answer", "uas_ring_until_cancelled", 2, 0),
    ("uac_late_offer", "uas_late_offer", 2, 2),
    ("uac_bye_race", "uas_bye_race", 5, 5),
    ("uac_load", "uas_answer", 20, 20),
]

MOVED = ("uac_moved", "uas_glare", "uas_refuse_move")
PATIENCE_S = 20
LATE_S = 2.0  # of a machine that does much else


@pytest.mark.parametrize(("caller", "far_end", "calls", "recordings"), RUNS, ids=[run[0] for run in RUNS])
async def test_the_daemon_keeps_the_promise_of(
    tmp_path: Path, caller: str, far_end: str, calls: int, recordings: int
) -> None:
    users = [("alice", PASSWORDS["alice"])]
    async with await Daemon.start(tmp_path / "site", SITE) as daemon:
        async with await Sipp.start(tmp_path / "far", far_end, SERVER, FAR_END, calls=calls, echo=True) as far:
            await far.listening()
            async with await Sipp.start(
                tmp_path / "caller", caller, SERVER, CALLER, calls=calls, service="900", users=users, rtp_port=6200
            ) as near:
                assert (await near.tally()).faults(calls) == []
            assert (await far.tally()).faults(calls) == []
        await daemon.idle()
        found = await daemon.api.settled(recordings)
        assert [one["state"] for one in found] == ["stored"] * recordings
        await daemon.retrieval.empty_of()
        for one in found:
            await daemon.api.audio(one["id"])


async def test_a_wrong_password_never_reaches_the_far_end(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site", SITE) as daemon:
        async with await Sipp.start(
            tmp_path / "caller",
            "uac_wrong_password",
            SERVER,
            CALLER,
            calls=5,
            service="900",
            users=[("alice", "wrong")],
        ) as near:
            assert (await near.tally()).faults(5) == []
        await daemon.idle()
        assert await daemon.status.metric("controller", "mediaserverd_authentication_failures_total") >= 5
        assert await daemon.api.recordings() == []


@contextlib.asynccontextmanager
async def talking_directly(directory: Path, daemon: Daemon, far_end: str) -> AsyncIterator[OnDemand]:
    """A call that nobody records yet. Both sides must then go through their scenario to its end."""
    users = [("alice", PASSWORDS["alice"])]
    async with await Sipp.start(directory / "far", far_end, SERVER, FAR_END, echo=True) as far:
        await far.listening()
        async with await Sipp.start(
            directory / "caller", "uac_moved", SERVER, CALLER, service="900", users=users, rtp_port=6200
        ) as near:
            async with asyncio.timeout(PATIENCE_S):
                while [call["state"] for call in await daemon.status.calls()] != ["talking"]:
                    await asyncio.sleep(0.05)
            yield await OnDemand.of(daemon)
            assert (await near.tally()).faults(1) == []
        assert (await far.tally()).faults(1) == []


async def waited_s(daemon: Daemon, call_id: str) -> float:
    """From the far end's 491 to our next INVITE there, as the ladder tells."""
    lines = (await daemon.status.get("controller", f"/control/calls/{call_id}/ladder")).json()["lines"]
    [refused] = [line for line in lines if line["text"].startswith("491") and line["to"] == "controller"]
    at = datetime.fromisoformat(refused["at"])
    asked = [
        datetime.fromisoformat(line["at"])
        for line in lines
        if (line["text"], line["to"]) == ("INVITE", refused["from"])
    ]
    return min((each - at).total_seconds() for each in asked if each > at)


async def test_offers_that_cross_are_made_again_in_their_time_and_a_refused_one_leaves_the_call_as_it_was(
    tmp_path: Path,
) -> None:
    async with await Daemon.start(tmp_path / "site", {**SITE, "record": "none"}) as daemon:
        async with talking_directly(tmp_path / "glare", daemon, "uas_glare") as recording:
            status, answer = await recording.ask("start")
            assert status == 200, answer
            assert 2.05 < await waited_s(daemon, recording.call_id) < 4.0 + LATE_S, "RFC 3261 14.1: the Call-ID is ours"
            await asyncio.sleep(1)
            assert (await recording.ask("stop"))[0] == 200
        async with talking_directly(tmp_path / "refused", daemon, "uas_refuse_move") as recording:
            status, answer = await recording.ask("start")
            assert (status, "the called side refuses: 488" in answer["detail"]) == (409, True), answer
            [call] = await daemon.status.calls()
            assert (call["media_server"], call["recordings"]) == ("", [])
        await daemon.idle()
        [recorded] = await daemon.api.settled(1)
        assert (recorded["state"], recorded["reason"]) == ("stored", "stopped")
        [segment] = (await daemon.api.recording(recorded["id"]))["segments"]
        assert min(side["packets"] for side in segment["quality"]["sides"]) > 25


def test_every_scenario_is_in_the_readme_and_is_run() -> None:
    promised = set(re.findall(r"`(ua[cs]_\w+)`", (SCENARIOS / "README.md").read_text()))
    there = {path.stem for path in SCENARIOS.glob("*.xml")}
    run = {name for one in RUNS for name in one[:2]} | {"uac_wrong_password", *MOVED}
    assert promised == there == run
