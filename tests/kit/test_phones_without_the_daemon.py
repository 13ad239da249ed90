"""The phones that we did not write are proven against each other first, so that a later failure is the daemon's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.kit.account import Account, Softphone, Transport
from tests.kit.baresip import Baresip
from tests.kit.judge import judge
from tests.kit.pjsip import Pjsip
from tests.kit.speech import speech

pytestmark = pytest.mark.softphone

ALICE_SAYS, BOB_SAYS = speech(1, 20), speech(2, 20)


async def talk(caller: Softphone, called: Softphone, target: str) -> None:
    await caller.dial(target)
    await called.rings()
    await called.answer()
    await caller.established()
    await called.established()
    await asyncio.sleep(4.5)
    await caller.hang_up()
    await called.cleared()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_and_pjsip_hear_each_other(tmp_path: Path, transport: Transport) -> None:
    alice = Account("alice", "127.0.0.1", 5070, transport=transport)
    bob = Account("bob", "127.0.0.1", 5080, transport=transport)
    async with (
        await Baresip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070) as baresip,
        await Pjsip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080) as pjsip,
    ):
        await talk(baresip, pjsip, bob.uri)
    assert judge(BOB_SAYS, baresip.heard()).faults(seconds=4) == []
    assert judge(ALICE_SAYS, pjsip.heard()).faults(seconds=4) == []


async def test_pjsip_calls_baresip(tmp_path: Path) -> None:
    alice, bob = Account("alice", "127.0.0.1", 5070), Account("bob", "127.0.0.1", 5080)
    async with (
        await Pjsip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070) as pjsip,
        await Baresip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080) as baresip,
    ):
        await talk(pjsip, baresip, bob.uri)
    assert judge(BOB_SAYS, pjsip.heard()).faults(seconds=4) == []
    assert judge(ALICE_SAYS, baresip.heard()).faults(seconds=4) == []


async def test_two_baresips_hear_each_other(tmp_path: Path) -> None:
    alice, bob = Account("alice", "127.0.0.1", 5070), Account("bob", "127.0.0.1", 5080)
    async with (
        await Baresip.start(tmp_path / "alice", alice, ALICE_SAYS, listen=5070, rtp_first=40000) as caller,
        await Baresip.start(tmp_path / "bob", bob, BOB_SAYS, listen=5080, rtp_first=40100) as called,
    ):
        await talk(caller, called, bob.uri)
    assert judge(BOB_SAYS, caller.heard()).faults(seconds=4) == []
    assert judge(ALICE_SAYS, called.heard()).faults(seconds=4) == []
