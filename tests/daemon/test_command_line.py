"""The command line against a running daemon: what an administrator types, and what they are told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.crowd import converse
from tests.kit.daemon import Daemon
from tests.kit.phone import Phone


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with await Daemon.start(tmp_path / "site") as running:
        yield running


async def test_diag_tells_the_story_of_a_call_and_where_its_recording_is(daemon: Daemon) -> None:
    async with await Phone.open(daemon.account("alice")) as alice, await Phone.open(daemon.account("bob")) as bob:
        await alice.register()
        await bob.register()
        conversation = await converse(alice, bob, "101", 1)
        await asyncio.sleep(1)
        await conversation.caller.hang_up()
    [recording] = await daemon.api.settled(1)
    line = await daemon.logged("call_ended")
    assert line["recording_ids"] == [recording["id"]]
    picture = daemon.directory / "ladder.svg"
    told = " ".join((await daemon.command("diag", line["call_id"], "--svg", str(picture))).split())
    assert "100 -> 101, internal, ended" in told
    for message in (
        "INVITE + SDP",
        "407 Proxy Authentication",
        "offer (caller) + SDP",
        "start recording: ok",
        "200 OK (BYE)",
    ):
        assert message in told
    arrows = len(re.findall('class="arrow"', picture.read_text()))
    assert arrows > 20
    assert daemon.account("alice").password not in picture.read_text()
    assert "decided: recorded by policy record-all" in told
    assert f"recording {recording['id']}: stored" in told
    assert "deleted-at-source" in told
    assert "media server: default: $device: take media: CPU" in told
    explained = " ".join((await daemon.command("rules", "explain", "--call", line["call_id"])).split())
    assert "for record at" in explained
    assert "media: took the call" in explained
    with pytest.raises(RuntimeError, match="neither the controller nor the catalogue knows the call"):
        await daemon.command("diag", "no-such-call")


async def test_rules_explain_shows_the_server_that_would_be_taken_and_why(daemon: Daemon) -> None:
    told = await daemon.command("rules", "explain", "--calling", "100", "--called", "101")
    assert "$device" in told
    assert "take" in told
    assert "does not answer" not in told, "the running controller was asked"
    with pytest.raises(RuntimeError, match="knows no running or recent call nonsense"):
        await daemon.command("rules", "explain", "--call", "nonsense")
    with pytest.raises(RuntimeError, match="there is no operation dance"):
        await daemon.command("rules", "explain", "--operation", "dance")


async def test_a_revoked_token_opens_nothing(daemon: Daemon) -> None:
    listed = await daemon.command("token", "list")
    [row] = [line for line in listed.splitlines() if "kit" in line]
    token_id = row.split("│")[1].strip()
    await daemon.command("token", "revoke", token_id)
    assert (await daemon.api.get("/api/v1/recordings")).status_code == 401
    with pytest.raises(RuntimeError, match="there is no token nonsense"):
        await daemon.command("token", "revoke", "nonsense")
