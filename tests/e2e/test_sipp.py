"""Every scenario of ``sipp_scenarios/`` against the daemon: the caller is a station, the far end is a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def test_every_scenario_is_in_the_readme_and_is_run() -> None:
    promised = set(re.findall(r"`(ua[cs]_\w+)`", (SCENARIOS / "README.md").read_text()))
    there = {path.stem for path in SCENARIOS.glob("*.xml")}
    run = {name for one in RUNS for name in one[:2]} | {"uac_wrong_password"}
    assert promised == there == run
