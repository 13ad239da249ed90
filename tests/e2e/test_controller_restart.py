"""The controller is killed, then upgraded, under calls with audio both ways: not a packet is lost, of a hundred calls
that are recorded and of phones that talk to each other directly, and all can be done with a call as before."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.rtp_load import Side, run_rtp_load
from bench.sip_load import SipLoad
from tests.e2e.crowd import converse, voices
from tests.e2e.test_audio_path import DYNAMIC, OnDemand, are_direct, passages
from tests.e2e.test_load import HANG_UP_RATE_PER_S, RATE_PER_S, SITE
from tests.kit.baresip import Baresip
from tests.kit.daemon import Daemon
from tests.kit.judge import CORRELATION_LIMIT, judge
from tests.kit.phone import Phone
from tests.kit.wav import read_wav

CALLS = 100
SECONDS = 14
PASSWORD = "correct-horse-9"
STATIONS = [
    {"name": name, "extension": number, "password": PASSWORD}
    for name, number in (("alice", "100"), ("bob", "101"), ("carol", "102"))
]


def _packets(number: int, side: Side) -> int:
    """A number of packets of its own for every side of every call."""
    return 400 + number if side == "caller" else SECONDS * 50 - number


@pytest.mark.load
async def test_a_hundred_calls_lose_no_packet_while_the_controller_is_killed_and_then_upgraded(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site", SITE) as daemon, SipLoad.open(daemon.account("alice")) as load:
        daemon.expect("ledger_slow")  # the disk of a machine that does much else
        made = await load.caller.place(CALLS, RATE_PER_S)
        assert (made.failed, len(load.up)) == (0, CALLS)
        sent = Counter((_packets(number, "caller"), _packets(number, "called")) for number in load.up)
        talk = asyncio.create_task(run_rtp_load(load.targets(_packets), SECONDS))
        await asyncio.sleep(1.5)
        await restarts(daemon, CALLS)
        assert (await talk).faults() == []
        assert await load.hang_up(HANG_UP_RATE_PER_S) == 0
        assert load.caller.dropped == Counter()
        await daemon.idle()
        recorded: Counter[tuple[int, int]] = Counter()
        for one in await daemon.api.settled(CALLS, timeout_s=60):
            assert (one["state"], one["reason"]) == ("stored", "call-ended")
            (segment,) = (await daemon.api.recording(one["id"]))["segments"]
            caller, called = segment["quality"]["sides"]
            recorded[caller["packets"], called["packets"]] += 1
        assert recorded == sent


async def restarts(daemon: Daemon, calls: int) -> None:
    """The controller is killed, and its next process upgraded; each of the later two goes on with all calls."""
    for restart in (daemon.kill, lambda _: daemon.restart_controller()):
        await daemon.came_back("controller", restart("controller"))
        assert await daemon.status.metric("controller", "mediaserverd_calls_restored_total") == calls


@pytest.mark.softphone
async def test_phones_that_talk_directly_notice_nothing_and_hold_resume_recording_and_bye_work_afterwards(
    tmp_path: Path,
) -> None:
    async with await Daemon.start(tmp_path / "site", {**DYNAMIC, "stations": STATIONS}) as daemon:
        accounts = [replace(daemon.account(name), password=PASSWORD) for name in ("alice", "bob", "carol")]
        of_carol, of_bob = voices(400)
        voices(31)
        async with (
            await Phone.open(accounts[0]) as alice,
            await Phone.open(accounts[1]) as bob,
            await Baresip.start(tmp_path / "carol", accounts[2], of_carol) as carol,
        ):
            for phone in (alice, bob, carol):
                await phone.register()
            made = await converse(alice, bob, "101", 31)
            recording = await OnDemand.of(daemon)
            await carol.dial(daemon.target("101"))
            foreign = await bob.rings()
            foreign.answer()
            await foreign.established()
            await carol.established()
            foreign.voice.speak(of_bob)
            await asyncio.sleep(1)
            await restarts(daemon, calls=2)
            assert are_direct(made)

            for end in (made.caller, made.called, foreign):
                await end.hold()
                await end.resume()
            assert are_direct(made)
            status, answer = await recording.ask("start")
            assert status == 200, answer
            assert not are_direct(made)
            await asyncio.sleep(3.2)
            assert (await recording.ask("stop"))[0] == 200
            await recording.told("the phones talk directly")
            assert are_direct(made)
            await asyncio.sleep(0.5)
            for each in passages(made):
                assert (each.sent > 200, each.lost) == (True, ())
            await made.called.hang_up()
            await made.caller.ended()
            await foreign.hang_up()
            await carol.cleared()
        await daemon.idle()
        [row] = await daemon.api.settled(1)
        assert (row["state"], row["reason"]) == ("stored", "stopped")
        channels = read_wav(await daemon.api.audio(row["id"]))
    for voice, channel in zip(made.voices, channels, strict=True):
        assert judge(voice, channel).faults(seconds=2) == []
    for said, heard in ((of_bob, carol.heard()), (of_carol, foreign.voice.ear.samples())):
        verdict = judge(said, heard)
        assert sum(each > CORRELATION_LIMIT for each in verdict.correlations) >= len(verdict.correlations) - 4, verdict
