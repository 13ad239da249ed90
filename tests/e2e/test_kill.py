"""kill -9 of each child in the middle of ten calls: it comes back by itself, and every recording is accounted for."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from tests.e2e.crowd import CALLS, converse, crowd, hang_up, recorded_faults, two_phones, voices
from tests.kit.account import Account, Transport
from tests.kit.baresip import Baresip
from tests.kit.daemon import Daemon
from tests.kit.phone import Phone

TALK_S = 3.0
PHASE_S = 2.0  # a second is judged as it was spoken, whole; and both phones have yet to be asked back
PATIENCE_S = 40.0
OWN_CALLS = 4  # beside those over TCP and of a foreign phone
PASSWORD = "correct-horse-9"
STATIONS = (("alice", "100"), ("bob", "101"), ("carol", "102"), ("dave", "103"), ("erin", "104"))


async def a_new_call_is_recorded(daemon: Daemon, alice: Phone, bob: Phone, known: int) -> None:
    conversation = await converse(alice, bob, "101", 500)
    await asyncio.sleep(1.5)
    await conversation.caller.hang_up()
    found = await daemon.api.settled(known + 1)
    assert found[0]["state"] == "stored"


async def reconciled(daemon: Daemon, expected: int) -> None:
    """Nothing is pending, nothing is lost: everything announced is stored or failed with a reason, and fetched."""
    await daemon.idle()
    await daemon.retrieval.empty_of()
    tally = await daemon.api.reconciliation()
    assert tally["expected"] == expected == tally["stored"] + tally["failed"]
    assert (tally["pending"], tally["undeleted_segments"]) == (0, 0)
    assert "" not in tally["failed_by_reason"]


async def test_killing_the_recorder_costs_no_call_and_no_recording(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with two_phones(daemon) as (alice, bob):
            calls = await crowd(alice, bob, "101")
            await asyncio.sleep(TALK_S)
            daemon.expect("ledger_unreachable")
            old = daemon.kill("recorder")
            await daemon.came_back("recorder", old)
            assert not any(one.caller.over.is_set() or one.called.over.is_set() for one in calls)
            await hang_up(calls)
            found = await daemon.api.settled(CALLS)
            assert [one["state"] for one in found] == ["stored"] * CALLS
            assert await recorded_faults(daemon, found, seconds=int(TALK_S)) == []
            await a_new_call_is_recorded(daemon, alice, bob, CALLS)
        await reconciled(daemon, CALLS + 1)


async def test_killing_the_media_server_costs_no_call_and_at_most_the_last_second_of_what_was_recorded(
    tmp_path: Path,
) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with two_phones(daemon) as (alice, bob):
            calls = await crowd(alice, bob, "101")
            await asyncio.sleep(TALK_S + 1 + PHASE_S)
            daemon.expect("media_server_unusable")
            old = daemon.kill("media")
            await daemon.came_back("media", old)
            async with asyncio.timeout(PATIENCE_S):
                while await daemon.sessions() < CALLS:  # it was the only one: they talked directly until it was back
                    await asyncio.sleep(0.2)
            await asyncio.sleep(TALK_S + PHASE_S)
            assert not any(one.caller.over.is_set() or one.called.over.is_set() for one in calls)
            await hang_up(calls)
            found = await daemon.api.settled(CALLS)
            assert [(one["state"], one["reason"]) for one in found] == [("stored", "call-ended")] * CALLS
            assert [gap["reason"] for one in found for gap in one["gaps"]] == ["media-server-lost"] * CALLS
            assert await recorded_faults(daemon, found, seconds=int(TALK_S), segment=1) == []
            await a_new_call_is_recorded(daemon, alice, bob, CALLS)
        await reconciled(daemon, CALLS + 1)


async def test_killing_the_controller_costs_no_call_and_no_recording(tmp_path: Path) -> None:
    """Calls over UDP and TCP and one of a foreign phone go on, can be held, and are ended by either side."""
    changes = {"stations": [{"name": name, "extension": number, "password": PASSWORD} for name, number in STATIONS]}
    async with await Daemon.start(tmp_path / "site", changes) as daemon, AsyncExitStack() as stack:

        def account(name: str, transport: Transport = "udp") -> Account:
            return replace(daemon.account(name, transport), password=PASSWORD)

        async def phone(name: str, transport: Transport = "udp") -> Phone:
            opened = await stack.enter_async_context(await Phone.open(account(name, transport)))
            await opened.register()
            return opened

        alice, bob = await phone("alice"), await phone("bob")
        carol, dave = await phone("carol", "tcp"), await phone("dave", "tcp")
        of_erin, of_bob = voices(400)
        erin = await stack.enter_async_context(await Baresip.start(tmp_path / "erin", account("erin"), of_erin))
        await erin.register()
        voices(300)
        calls = await crowd(alice, bob, "101", OWN_CALLS)
        by_tcp = await converse(carol, dave, "103", 300)
        await erin.dial(daemon.target("101"))
        foreign = await bob.rings()
        foreign.answer()
        await foreign.established()
        foreign.voice.speak(of_bob)
        await asyncio.sleep(TALK_S)
        await daemon.came_back("controller", daemon.kill("controller"))
        assert len(await daemon.status.calls()) == OWN_CALLS + 2
        for each in (carol, dave):
            await each.reconnect()
        await asyncio.sleep(TALK_S)

        for end in (by_tcp.caller, by_tcp.called, foreign):
            await end.hold()
            await end.resume()
        for number, one in enumerate(calls):
            first, second = (one.caller, one.called) if number % 2 else (one.called, one.caller)
            await first.hang_up()
            await second.ended()
        await by_tcp.called.hang_up()
        await by_tcp.caller.ended()
        await foreign.hang_up()
        await erin.cleared()

        found = await daemon.api.settled(OWN_CALLS + 2)
        assert {(one["state"], one["reason"]) for one in found} == {("stored", "call-ended")}
        details = [await daemon.api.recording(one["id"]) for one in found]
        assert {len(one["segments"]) for one in details} == {1}
        ours = [one for one in found if one["called"]["station"] == "bob" and one["calling"]["station"] == "alice"]
        # All the time that the controller was away is in them: two talks, and the seconds between them.
        assert await recorded_faults(daemon, ours, seconds=2 * int(TALK_S)) == []
        await a_new_call_is_recorded(daemon, alice, bob, OWN_CALLS + 2)
        await reconciled(daemon, OWN_CALLS + 3)


async def test_killing_every_child_at_once_costs_no_call_and_at_most_a_second_of_what_was_recorded(
    tmp_path: Path,
) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with two_phones(daemon) as (alice, bob):
            calls = await crowd(alice, bob, "101")
            await asyncio.sleep(TALK_S + 1)
            daemon.expect("media_server_unusable", "ledger_unreachable")
            old = {role: daemon.kill(role) for role in ("recorder", "media", "controller")}
            for role, pid in old.items():
                await daemon.came_back(role, pid)
            async with asyncio.timeout(PATIENCE_S):
                while await daemon.sessions() < CALLS:  # the next controller brings the next media server in
                    await asyncio.sleep(0.2)
            await asyncio.sleep(TALK_S + PHASE_S)
            assert not any(one.caller.over.is_set() or one.called.over.is_set() for one in calls)
            await hang_up(calls)
            found = await daemon.api.settled(CALLS)
            assert [(one["state"], one["reason"]) for one in found] == [("stored", "call-ended")] * CALLS
            assert await recorded_faults(daemon, found, seconds=int(TALK_S) - 1, segment=1) == []
            await a_new_call_is_recorded(daemon, alice, bob, CALLS)
        await reconciled(daemon, CALLS + 1)
