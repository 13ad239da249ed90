"""The kit's phones are proven against each other first, so that a later failure is the daemon's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.kit.account import Account, Softphone, Transport
from tests.kit.baresip import Baresip
from tests.kit.judge import correlation_limit, ear_faults, judge, judge_stereo
from tests.kit.phone import Call, Phone, Refused
from tests.kit.pjsip import Pjsip
from tests.kit.rtp import PACKET_S
from tests.kit.speech import Samples, speech

ALICE_SAYS, BOB_SAYS = speech(1, 20), speech(2, 20)
TALK_S = 6.5


def unheard(phone: Softphone, spoken: Samples) -> list[str]:
    return ear_faults(spoken, phone.heard(), seconds=3, settling_s=phone.SETTLING_S)


async def talk(caller: Softphone, called: Softphone, target: str) -> None:
    await caller.dial(target)
    await called.rings()
    await called.answer()
    await caller.established()
    await called.established()
    await asyncio.sleep(TALK_S)
    await caller.hang_up()
    await called.cleared()


@pytest.mark.softphone
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_and_pjsip_hear_each_other(tmp_path: Path, transport: Transport) -> None:
    alice = Account("alice", "127.0.0.1", 5070, transport=transport)
    bob = Account("bob", "127.0.0.1", 5080, transport=transport)
    async with (
        await Baresip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070) as baresip,
        await Pjsip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080) as pjsip,
    ):
        await talk(baresip, pjsip, bob.uri)
    assert unheard(baresip, BOB_SAYS) == []
    assert unheard(pjsip, ALICE_SAYS) == []


@pytest.mark.softphone
async def test_pjsip_calls_baresip(tmp_path: Path) -> None:
    alice, bob = Account("alice", "127.0.0.1", 5070), Account("bob", "127.0.0.1", 5080)
    async with (
        await Pjsip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070) as pjsip,
        await Baresip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080) as baresip,
    ):
        await talk(pjsip, baresip, bob.uri)
    assert unheard(pjsip, BOB_SAYS) == []
    assert unheard(baresip, ALICE_SAYS) == []


@pytest.mark.softphone
@pytest.mark.parametrize("codec", ["G722/16000/1", "GSM", "opus/48000/2", "L16/8000/1"])
async def test_two_baresips_hear_each_other_in_every_codec(tmp_path: Path, codec: str) -> None:
    alice = Account("alice", "127.0.0.1", 5070, codecs=(codec,))
    bob = Account("bob", "127.0.0.1", 5080, codecs=(codec,))
    async with (
        await Baresip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070, rtp_first=40000) as caller,
        await Baresip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080, rtp_first=40100) as called,
    ):
        await talk(caller, called, bob.uri)
    for phone, said in ((caller, BOB_SAYS), (called, ALICE_SAYS)):
        assert judge(said, phone.heard()).faults(seconds=4, correlation=correlation_limit(codec)) == []


@pytest.mark.softphone
async def test_two_baresips_hear_each_other(tmp_path: Path) -> None:
    alice, bob = Account("alice", "127.0.0.1", 5070), Account("bob", "127.0.0.1", 5080)
    async with (
        await Baresip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070, rtp_first=40000) as caller,
        await Baresip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080, rtp_first=40100) as called,
    ):
        await talk(caller, called, bob.uri)
    assert unheard(caller, BOB_SAYS) == []
    assert unheard(called, ALICE_SAYS) == []


@pytest.mark.softphone
async def test_our_own_phone_and_baresip_hear_each_other(tmp_path: Path) -> None:
    bob = Account("bob", "127.0.0.1", 5080)
    async with (
        await Baresip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080) as baresip,
        await Phone.open(bob) as phone,
    ):
        call = await phone.dial("bob")
        await baresip.rings()
        await baresip.answer()
        await call.established()
        call.voice.speak(ALICE_SAYS)
        await asyncio.sleep(4.5)
        await call.hang_up()
        await baresip.cleared()
    assert judge(BOB_SAYS, call.voice.ear.samples()).faults(seconds=4) == []
    assert unheard(baresip, ALICE_SAYS) == []


async def answered(caller: Phone, called: Phone, *, offer: bool = True) -> tuple[Call, Call]:
    ours = await caller.dial("bob", offer=offer)
    theirs = await called.rings()
    theirs.answer()
    await ours.established()
    await theirs.established()
    return ours, theirs


async def two_phones() -> tuple[Phone, Phone]:
    alice, bob = ("127.0.0.1", 5070), ("127.0.0.1", 5080)
    return await Phone.open(Account("alice", *bob), local=alice), await Phone.open(Account("bob", *alice), local=bob)


async def test_our_own_phones_hear_each_other_on_one_timeline() -> None:
    alice, bob = await two_phones()
    async with alice, bob:
        ours, theirs = await answered(alice, bob)
        ours.voice.speak(ALICE_SAYS)
        await asyncio.sleep(0.25)
        theirs.voice.speak(BOB_SAYS)
        await asyncio.sleep(3.5)
        await ours.hang_up()
        await theirs.ended()
    heard = (theirs.voice.ear, ours.voice.ear)
    assert heard[0].first_at is not None
    assert heard[1].first_at is not None
    verdict = judge_stereo(ALICE_SAYS, BOB_SAYS, (heard[0].samples(), heard[1].samples()))
    assert verdict.faults(seconds=3) == []
    assert heard[1].first_at - heard[0].first_at == pytest.approx(0.25, abs=0.05)
    # The last packet may cross the BYE.
    assert ours.voice.sent - heard[0].received in (0, 1)
    assert theirs.voice.sent - heard[1].received in (0, 1)
    assert heard[0].duplicates == heard[1].duplicates == 0


async def test_our_own_phone_takes_an_offer_in_the_answer() -> None:
    alice, bob = await two_phones()
    async with alice, bob:
        ours, theirs = await answered(alice, bob, offer=False)
        theirs.voice.speak(BOB_SAYS)
        ours.voice.speak(ALICE_SAYS)
        await asyncio.sleep(1.5)
        await ours.hang_up()
    assert judge(BOB_SAYS, ours.voice.ear.samples()).faults(seconds=1) == []
    assert judge(ALICE_SAYS, theirs.voice.ear.samples()).faults(seconds=1) == []


async def test_a_held_call_of_our_own_phone_is_silent_and_then_goes_on() -> None:
    alice, bob = await two_phones()
    async with alice, bob:
        ours, theirs = await answered(alice, bob)
        ours.voice.speak(ALICE_SAYS)
        await asyncio.sleep(1.1)
        await ours.hold()
        held_with = theirs.voice.ear.received
        await asyncio.sleep(0.5)
        assert theirs.remote is not None
        assert theirs.remote.direction == "sendonly"
        assert theirs.voice.ear.received <= held_with + 1
        await ours.resume()
        await asyncio.sleep(1.6)
        await theirs.hang_up()
        await ours.ended()
    verdict = judge(ALICE_SAYS, theirs.voice.ear.samples())
    assert verdict.correlations[0] > 0.9
    assert verdict.correlations[2] > 0.9
    assert verdict.dropped_ms > 100
    assert verdict.lag_ms == pytest.approx(0, abs=PACKET_S * 1000)


async def test_a_refused_and_a_cancelled_call_end_with_their_status() -> None:
    alice, bob = await two_phones()
    async with alice, bob:
        busy = await alice.dial("bob")
        (await bob.rings()).refuse(486)
        with pytest.raises(Refused) as refused:
            await busy.established()
        assert refused.value.status == 486
        given_up = await alice.dial("bob")
        ringing = await bob.rings()
        await given_up.hang_up()
        await ringing.ended()
        assert not ringing.up.is_set()
