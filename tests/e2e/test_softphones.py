"""Softphones that we did not write call each other through the daemon; what was heard and recorded is judged."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.kit.account import Softphone, Transport
from tests.kit.baresip import Baresip
from tests.kit.daemon import Daemon
from tests.kit.doors import Json
from tests.kit.judge import correlation_limit, ear_faults, judge, judge_stereo
from tests.kit.pjsip import Pjsip
from tests.kit.sipp import Sipp
from tests.kit.speech import RATE, Samples, speech
from tests.kit.spoken import intelligibility, perceived, spoken
from tests.kit.wav import read_wav

pytestmark = pytest.mark.softphone

Foreign: TypeAlias = type[Baresip] | type[Pjsip]
ALICE_SAYS, BOB_SAYS = speech(1, 30), speech(2, 30)
TALK_S = 7.5
STOI_LIMIT = 0.93  # GSM gives 0.95, all others 0.996 and more
PAUSES = 0.2  # so much less alike may a second of sentences be: in their pauses there is little but coding noise
FAR_END = ("127.0.0.3", 5090)
# baresip 1.0 gives up when SHA-256 is among the challenges, even beside MD5.


def unheard(phone: Softphone, spoken: Samples) -> list[str]:
    return ear_faults(spoken, phone.heard(), seconds=4, settling_s=phone.SETTLING_S)


async def register_both(alice: Baresip | Pjsip, bob: Baresip | Pjsip) -> None:
    await alice.register()
    await bob.register()


async def connect(caller: Baresip | Pjsip, called: Baresip | Pjsip, target: str) -> None:
    await caller.dial(target)
    await called.rings()
    await called.answer()
    await caller.established()
    await called.established()


async def only_recording(daemon: Daemon) -> tuple[Json, bytes]:
    """The one recording: stored, verified, and gone from the media server."""
    (recording,) = await daemon.api.settled(1)
    assert recording["state"] == "stored", recording["reason"]
    audio = await daemon.api.audio(recording["id"])
    await daemon.retrieval.empty_of()
    return recording, audio


@pytest.mark.parametrize(
    ("caller_kind", "called_kind", "transport"),
    [
        (Baresip, Pjsip, "udp"),
        (Pjsip, Baresip, "udp"),
        (Baresip, Pjsip, "tcp"),
        (Pjsip, Baresip, "tcp"),
        (Baresip, Pjsip, "tls"),
        (Pjsip, Baresip, "tls"),
    ],
)
async def test_two_foreign_phones_hear_each_other_and_are_recorded(
    tmp_path: Path, caller_kind: Foreign, called_kind: Foreign, transport: Transport
) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        alice, bob = daemon.account("alice", transport), daemon.account("bob", transport)
        async with (
            await caller_kind.start(tmp_path / "alice", alice, ALICE_SAYS) as caller,
            await called_kind.start(tmp_path / "bob", bob, BOB_SAYS) as called,
        ):
            await register_both(caller, called)
            await connect(caller, called, daemon.target("101", transport))
            await asyncio.sleep(TALK_S)
            await caller.hang_up()
            await called.cleared()
        recording, audio = await only_recording(daemon)
    assert unheard(caller, BOB_SAYS) == []
    assert unheard(called, ALICE_SAYS) == []
    assert (recording["calling"]["station"], recording["called"]["station"]) == ("alice", "bob")
    assert (recording["calling"]["number"], recording["called"]["number"]) == ("100", "101")
    # When each began to speak is not known here; test_both_channels_lie_on_one_timeline shows the alignment.
    verdict = judge_stereo(ALICE_SAYS, BOB_SAYS, read_wav(audio))
    assert verdict.faults(seconds=5, skew_ms=None) == []


@pytest.mark.parametrize(
    ("caller_kind", "called_kind", "codec", "pesq_limit"),
    [
        (Baresip, Baresip, "opus/48000/2", 3.8),
        (Baresip, Baresip, "L16/8000/1", 4.0),
        (Baresip, Pjsip, "G722/16000/1", 3.3),
        (Pjsip, Baresip, "G722/16000/1", 3.3),
        (Baresip, Pjsip, "GSM", 2.0),
        (Pjsip, Baresip, "GSM", 2.0),
        (Baresip, Pjsip, "PCMA", 3.5),
    ],
)
async def test_every_codec_that_the_phones_speak_is_recorded_as_well_as_it_can_be_understood(
    tmp_path: Path, caller_kind: Foreign, called_kind: Foreign, codec: str, pesq_limit: float
) -> None:
    alice_says, bob_says = spoken(0, RATE), spoken(1, RATE)
    async with await Daemon.start(tmp_path / "site") as daemon:
        alice, bob = (replace(daemon.account(name), codecs=(codec,)) for name in ("alice", "bob"))
        async with (
            await caller_kind.start(tmp_path / "alice", alice, alice_says, rtp_first=40000) as caller,
            await called_kind.start(tmp_path / "bob", bob, bob_says, rtp_first=40100) as called,
        ):
            await register_both(caller, called)
            await connect(caller, called, daemon.target("101"))
            await asyncio.sleep(TALK_S)
            await caller.hang_up()
            await called.cleared()
        recording, audio = await only_recording(daemon)
        quality = await daemon.api.quality(recording["id"])
    channels = read_wav(audio)
    for voice, channel in zip((alice_says, bob_says), channels, strict=True):
        assert intelligibility(voice, channel, RATE) > STOI_LIMIT
        assert perceived(voice, channel, RATE) > pesq_limit
    limit = correlation_limit(codec) - PAUSES
    assert ear_faults(bob_says, caller.heard(), seconds=4, settling_s=caller.SETTLING_S, correlation=limit) == []
    assert ear_faults(alice_says, called.heard(), seconds=4, settling_s=called.SETTLING_S, correlation=limit) == []
    verdict = judge_stereo(alice_says, bob_says, channels)
    assert verdict.faults(seconds=5, correlation=limit, skew_ms=None) == []
    name_of_codec = codec.split("/")[0].lower()
    for side in quality["sides"]:
        assert [name.split("/")[0].lower() for name in side["codecs"]] == [name_of_codec]


async def test_phones_on_different_transports_hear_each_other(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with (
            await Baresip.start(tmp_path / "alice", daemon.account("alice", "tls"), ALICE_SAYS) as caller,
            await Pjsip.start(tmp_path / "bob", daemon.account("bob", "udp"), BOB_SAYS) as called,
        ):
            await register_both(caller, called)
            await connect(caller, called, daemon.target("101", "tls"))
            await asyncio.sleep(TALK_S)
            await called.hang_up()
            await caller.cleared()
        _, audio = await only_recording(daemon)
    assert unheard(caller, BOB_SAYS) == []
    assert unheard(called, ALICE_SAYS) == []
    assert judge_stereo(ALICE_SAYS, BOB_SAYS, read_wav(audio)).faults(seconds=5, skew_ms=None) == []


@pytest.mark.parametrize("kind", [Baresip, Pjsip])
async def test_both_channels_lie_on_one_timeline(tmp_path: Path, kind: Foreign) -> None:
    """The far end returns every packet at once, so what lies between the channels is the recorder's own error."""
    line = {"name": "far", "address": f"{FAR_END[0]}:{FAR_END[1]}", "numbers": ["9*"]}
    async with await Daemon.start(tmp_path / "site", {"lines": [line]}) as daemon:
        server = (daemon.account("alice").host, 5060)
        async with (
            await Sipp.start(tmp_path / "far", "uas_answer", server, FAR_END, echo=True, rtp_port=7000) as far,
            await kind.start(tmp_path / "alice", daemon.account("alice"), ALICE_SAYS) as phone,
        ):
            await far.listening()
            await phone.register()
            await phone.dial(daemon.target("900"))
            await phone.established()
            await asyncio.sleep(TALK_S)
            await phone.hang_up()
            await phone.cleared()
            assert (await far.tally()).faults(1) == []
        recording, audio = await only_recording(daemon)
    left, right = (judge(ALICE_SAYS, channel) for channel in read_wav(audio))
    assert left.faults(seconds=5) == []
    assert right.faults(seconds=5) == []
    assert abs(right.lag_ms - left.lag_ms) <= 20
    assert unheard(phone, ALICE_SAYS) == []
    assert recording["called"]["line"] == "far"


@pytest.mark.parametrize(("caller_kind", "called_kind"), [(Baresip, Pjsip), (Pjsip, Baresip)])
async def test_a_held_call_of_foreign_phones_goes_on_after_the_resume(
    tmp_path: Path, caller_kind: Foreign, called_kind: Foreign
) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with (
            await caller_kind.start(tmp_path / "alice", daemon.account("alice"), ALICE_SAYS) as caller,
            await called_kind.start(tmp_path / "bob", daemon.account("bob"), BOB_SAYS) as called,
        ):
            await register_both(caller, called)
            await connect(caller, called, daemon.target("101"))
            await asyncio.sleep(2.5)
            await caller.hold()
            await asyncio.sleep(1.5)
            await caller.resume()
            await asyncio.sleep(4.5)
            await caller.hang_up()
            await called.cleared()
        recording, audio = await only_recording(daemon)
    assert recording["duration_ms"] > 8000
    # A phone's file stands still while it is held, so only the seconds after the resume are on a line of their own.
    for voice, channel in zip((ALICE_SAYS, BOB_SAYS), read_wav(audio), strict=True):
        before, after = judge(voice, channel[: 2 * 8000]), judge(voice, channel[-4 * 8000 :])
        assert before.faults(seconds=1) == []
        assert after.faults(seconds=2) == []


async def test_pjsip_registers_when_sha_256_comes_first(tmp_path: Path) -> None:
    async with (
        await Daemon.start(tmp_path / "site") as daemon,
        await Pjsip.start(tmp_path / "alice", daemon.account("alice"), ALICE_SAYS) as phone,
    ):
        await phone.register()
