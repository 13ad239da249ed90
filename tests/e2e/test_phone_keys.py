"""What phones do with their keys in a call, and what the daemon tells of a side that is not heard: one daemon, PJSIP
and our own phone, every recording in the catalogue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemon import Daemon
from tests.kit.phone import Phone
from tests.kit.pjsip import Pjsip
from tests.kit.rtp import Voice
from tests.kit.speech import speech

pytestmark = [pytest.mark.softphone, pytest.mark.timeout(180)]

SITE = {"record": "none", "audio_path": "always-in", "encrypt_snippets": False}


async def until(daemon: Daemon, condition: Callable[[Any], object], timeout_s: float = 10.0) -> Any:
    """The row of the one call that runs, as soon as it is as wanted."""
    deadline = time.monotonic() + timeout_s
    while True:
        [row] = await daemon.status.calls()
        if condition(row):
            return row
        assert time.monotonic() < deadline, row
        await asyncio.sleep(0.05)


def last(state: str, kind: str) -> Callable[[Any], object]:
    return lambda row: row["recordings"] and [row["recordings"][-1][key] for key in ("state", "kind")] == [state, kind]


async def test_keys_record_pause_and_snip_by_rtp_and_by_info_and_a_record_key_does_too(tmp_path: Path) -> None:
    async with (
        await Daemon.start(tmp_path / "site", SITE) as daemon,
        await Phone.open(daemon.account("bob"), partial(Voice.open, digits=101)) as bob,
        await Pjsip.start(tmp_path / "alice", daemon.account("alice"), speech(1, 90)) as alice,
    ):
        await bob.register()
        await alice.register()
        await alice.dial(daemon.target("101"))
        call = await bob.rings()
        call.answer()
        await alice.established()
        await call.established()
        call.voice.speak(speech(2, 90))
        on_pause = partial(until, daemon, lambda row: row["pause"] and row["pause"]["confirmed"])
        no_pause = partial(until, daemon, lambda row: row["pause"] is None)

        await alice.press("4*1")
        await until(daemon, last("running", "on-demand"))
        await alice.press("*2")
        await on_pause()
        await alice.press("987")
        await asyncio.sleep(1.5)
        await alice.press("*2")
        await no_pause()
        await alice.press("6*1")
        await until(daemon, last("over", "on-demand"))

        await alice.press("*3", by="info")
        await until(daemon, last("running", "snippet"))
        await asyncio.sleep(1)
        await alice.press("*3", by="info")
        await until(daemon, last("over", "snippet"))

        assert (await call.inform(("Record", "on"))).status == 200
        await until(daemon, last("running", "on-demand"))
        assert (await call.inform(("Record", "off"))).status == 200
        row = await until(daemon, last("over", "on-demand"))

        call.voice.mute()
        muted_at = time.monotonic()
        unheard = (await until(daemon, lambda row: row["unheard"]))["unheard"]
        assert time.monotonic() - muted_at < 3.0
        assert (unheard["kind"], list(unheard["sides"])) == ("one-way-audio", ["called"])
        assert await daemon.status.metric("controller", "mediaserverd_calls_unheard") == 1
        call.voice.mute(False)
        await until(daemon, lambda row: not row["unheard"])
        await alice.hang_up()
        await alice.cleared()
        recordings = await daemon.api.settled(3)
        story = " ".join((await daemon.command("diag", row["call_id"])).split())
    assert [(each["kind"], each["state"]) for each in reversed(recordings)] == [
        ("on-demand", "stored"), ("snippet", "stored"), ("on-demand", "stored"),
    ]  # fmt: skip
    assert {each["initiation"] for each in recordings} == {"station alice", "station bob"}
    assert [word for word in ("4", "*", "1", "2", "3", "9", "8", "7", "6") if f"DTMF {word}" in story] == ["4", "6"]
    assert "one-way-audio: nothing is heard from the called side" in story
    assert "the called side is heard again" in story
    assert await bobs_requests(call) == [], "no Record key was passed on"


async def bobs_requests(call: Any) -> list[str]:
    return [request.method for request in call.requests if request.method == "INFO" and request.headers.get("Record")]
