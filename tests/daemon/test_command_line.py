"""The command line against a running daemon: what an administrator types, and what they are told."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.crowd import Conversation, converse, two_phones
from tests.kit.daemon import Daemon


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with await Daemon.start(tmp_path / "site") as running:
        yield running


async def test_top_shows_a_call_that_runs_and_diag_tells_its_story_and_where_its_recording_is(daemon: Daemon) -> None:
    async with two_phones(daemon) as (alice, bob):
        conversation = await converse(alice, bob, "101", 1)
        [call] = await daemon.status.calls()
        paper = await daemon.command("top")
        screen = await _top_on_a_terminal(daemon, conversation, call["call_id"])
    for text in (paper, screen):
        assert call["call_id"] in text
        assert "running, record-all" in text
        assert re.search(r"media +default +active", text)
        assert re.search(r"stations +2 ", text)
    assert float(re.findall(r"RTP +([\d.]+)/s", paper)[0]) > 20
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


async def _top_on_a_terminal(daemon: Daemon, made: Conversation, call_id: str) -> str:
    """What ``top`` shows of a call that runs and is hung up, until q is pressed."""
    terminal, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    shown = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediaserverd", "top", "--interval", "0.3", "--config", str(daemon.config)),
        stdin=screen,
        stdout=screen,
        stderr=screen,
        env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
    )
    os.close(screen)
    seen = await asyncio.to_thread(_until_seen, terminal, re.escape(call_id))
    await made.caller.hang_up()
    seen += await asyncio.to_thread(_until_seen, terminal, "running +0 ")
    os.write(terminal, b"q")
    assert await asyncio.wait_for(shown.wait(), 10) == 0
    os.close(terminal)
    return seen


def _until_seen(terminal: int, pattern: str) -> str:
    """What a terminal was sent, up to a frame that matches."""
    seen, end = "", time.monotonic() + 30
    while not re.search(pattern, seen):
        assert time.monotonic() < end, seen[-4000:]
        if select.select([terminal], [], [], 1)[0]:
            seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(terminal, 1 << 16).decode(errors="replace"))
    return seen
