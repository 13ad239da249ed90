"""Recording control over a real daemon: what is left in the file of a pause, and of what was said before a start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from mediaserverd.audio.pauses import beep
from tests.e2e.crowd import Conversation, converse, two_phones
from tests.kit.daemon import Daemon
from tests.kit.judge import CORRELATION_LIMIT, judge
from tests.kit.speech import RATE, Samples
from tests.kit.wav import read_wav

EDGE_S = 0.3  # a request, a packet and a fade on each side of a pause
BEEP = beep(RATE)
SILENT = 20.0  # RMS of 16 bit samples; quiet speech is above 400


@asynccontextmanager
async def conversation(directory: Path, **changes: Any) -> AsyncIterator[tuple[Daemon, Conversation, str]]:
    """Two phones that speak without a stop, and the id of their call."""
    async with (
        await Daemon.start(directory, changes) as daemon,
        two_phones(daemon) as (alice, bob),
    ):
        made = await converse(alice, bob, "101", 7)
        [call] = await daemon.status.calls()
        yield daemon, made, call["call_id"]


def spoken_s(made: Conversation) -> float:
    """How far the caller has come in what it says."""
    assert made.caller.voice.speaks_from is not None
    return time.monotonic() - made.caller.voice.speaks_from


async def audio(daemon: Daemon) -> tuple[Samples, ...]:
    [recording] = await daemon.api.settled(1)
    assert recording["state"] == "stored", recording["reason"]
    rendered = await daemon.api.get(f"/api/v1/recordings/{recording['id']}/audio")
    return read_wav(rendered.raise_for_status().content)


def heard(correlations: Sequence[float], begin_s: float, end_s: float) -> list[bool]:
    """Whether each full second of that span can be heard."""
    return [each > CORRELATION_LIMIT for each in correlations[int(np.ceil(begin_s)) : int(end_s)]]


async def test_of_a_pause_no_word_is_in_the_recording_be_it_silence_with_a_hold_in_it_or_cut_out_with_a_beep(
    tmp_path: Path,
) -> None:
    async with conversation(tmp_path / "site") as (daemon, made, call_id):
        await asyncio.sleep(3)
        told = await daemon.command("call", "pause", call_id, "--secure", "--seconds", "30", "--by", "alice")
        assert "secure pause (mask) by alice, 30 s to go" in told
        begin_s = spoken_s(made)
        await made.caller.renegotiate("sendonly")
        await made.caller.renegotiate("sendrecv")
        await asyncio.sleep(2)
        listed = " ".join((await daemon.command("call", "list")).split())
        assert call_id in listed
        assert "secure pause" in listed
        end_s = spoken_s(made)
        assert "goes on" in await daemon.command("call", "resume", call_id)
        again_s = spoken_s(made)
        await asyncio.sleep(4)
        whole_until_s = spoken_s(made)
        await control(daemon, call_id, "pause", mode="omit")
        cut_from_s = spoken_s(made)
        await asyncio.sleep(2)
        cut_until_s = spoken_s(made)
        await control(daemon, call_id, "resume")
        await asyncio.sleep(4)
        await made.caller.hang_up()
        channels = await audio(daemon)
        story = " ".join((await daemon.command("diag", call_id)).split())
    assert "alice pauses the recording (secure, mask, for 30 s)" in story
    assert end_s - begin_s > 2 * EDGE_S
    for voice, channel in zip(made.voices, channels, strict=True):
        [marked] = beeps(channel)
        before, behind = channel[:marked], channel[marked + len(BEEP) :]
        verdict = judge(voice, before)
        assert set(heard(verdict.correlations, 0, begin_s - 1.5)) == {True}, verdict
        assert set(heard(verdict.correlations, again_s + EDGE_S, whole_until_s - EDGE_S)) == {True}, verdict
        lag_s = verdict.lag_ms / 1000
        paused = channel[int((begin_s + lag_s + EDGE_S) * RATE) : int((end_s + lag_s - EDGE_S) * RATE)]
        assert np.sqrt(np.mean(paused.astype(float) ** 2)) < SILENT
        assert len(before) / RATE - lag_s < cut_from_s + EDGE_S, "it ends with the pause"
        verdict = judge(voice, behind)
        assert -verdict.lag_ms / 1000 > cut_until_s - EDGE_S, "it goes on behind the pause"
        assert verdict.faults(seconds=2) == []


async def control(daemon: Daemon, call_id: str, action: str, **wish: Any) -> None:
    path = f"/control/calls/{quote(call_id, safe='')}/recording/{action}"
    (await daemon.status.post("controller", path, wish)).raise_for_status()


def beeps(channel: Samples) -> list[int]:
    """Where the sound that marks a cut begins, wherever it is heard."""
    sound, wave = BEEP.astype(float), channel.astype(float)
    products = np.correlate(wave, sound, mode="valid")
    energy = np.concatenate(([0.0], np.cumsum(wave**2)))
    norms = np.sqrt((energy[len(sound) :] - energy[: -len(sound)]) * np.dot(sound, sound))
    likeness = products / np.maximum(norms, 1.0)
    found = np.flatnonzero(likeness > 0.9)  # also some periods beside it
    apart = np.split(found, np.flatnonzero(np.diff(found) > len(sound)) + 1) if len(found) else []
    return [int(group[np.argmax(likeness[group])]) for group in apart]


async def test_a_recording_on_demand_has_what_was_said_before_it_was_asked_for_and_stops_when_told(
    tmp_path: Path,
) -> None:
    async with conversation(tmp_path / "site", record="none", pre_record_seconds=3) as (daemon, made, call_id):
        await asyncio.sleep(5)
        assert "not recorded" in await daemon.command("call", "list")
        assert "runs: https://" in await daemon.command("call", "record", call_id)
        started_s = spoken_s(made)
        await asyncio.sleep(2)
        assert "has ended; the call goes on" in await daemon.command("call", "stop", call_id, "--by", "bob")
        stopped_s = spoken_s(made)
        await asyncio.sleep(1)
        await made.caller.hang_up()
        channels = await audio(daemon)
        [recording] = await daemon.api.recordings()
        told = await daemon.command("call", "list")
    assert "no call runs" in told
    assert (recording["reason"], recording["initiation"].split()[-3:]) == ("stopped", ["the", "command", "line"])
    for voice, channel in zip(made.voices, channels, strict=True):
        verdict = judge(voice, channel)
        begins_s = -verdict.lag_ms / 1000
        assert started_s - 4.5 < begins_s < started_s - 2.5, "three seconds before the command did its work"
        assert begins_s + len(channel) / RATE < stopped_s + EDGE_S
        assert verdict.faults(seconds=3) == []


async def test_commands_about_calls_that_do_not_run_say_what_to_do(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        assert "no call runs" in await daemon.command("call", "list")
        for action in ("record", "stop", "pause", "resume"):
            with pytest.raises(RuntimeError, match=r"no call with the id a/b\?c runs"):
                await daemon.command("call", action, "a/b?c")
        with pytest.raises(RuntimeError, match="give the id of a call"):
            await daemon.command("call", "stop", "")
        await daemon.stop()
        with pytest.raises(RuntimeError, match="is the daemon running"):
            await daemon.command("call", "list")
