"""kill -9 of each child in the middle of ten calls: it comes back by itself, and every recording is accounted for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.crowd import CALLS, converse, crowd, hang_up, recorded_faults
from tests.kit.daemon import Daemon
from tests.kit.phone import Phone

TALK_S = 3.0


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
        async with await Phone.open(daemon.account("alice")) as alice, await Phone.open(daemon.account("bob")) as bob:
            await alice.register()
            await bob.register()
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


async def test_killing_the_media_server_loses_at_most_the_last_second_of_what_was_recorded(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with await Phone.open(daemon.account("alice")) as alice, await Phone.open(daemon.account("bob")) as bob:
            await alice.register()
            await bob.register()
            calls = await crowd(alice, bob, "101")
            await asyncio.sleep(TALK_S + 1)
            daemon.expect("media_server_unusable")
            old = daemon.kill("media")
            for one in calls:
                await one.caller.ended()
                await one.called.ended()
            await daemon.came_back("media", old)
            found = await daemon.api.settled(CALLS)
            assert [(one["state"], one["reason"]) for one in found] == [("stored", "recovered")] * CALLS
            assert await recorded_faults(daemon, found, seconds=int(TALK_S)) == []
            await a_new_call_is_recorded(daemon, alice, bob, CALLS)
        await reconciled(daemon, CALLS + 1)


async def test_killing_the_controller_leaves_no_orphan_on_the_media_server(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with await Phone.open(daemon.account("alice")) as alice, await Phone.open(daemon.account("bob")) as bob:
            await alice.register()
            await bob.register()
            calls = await crowd(alice, bob, "101")
            await asyncio.sleep(TALK_S)
            old = daemon.kill("controller")
            await daemon.came_back("controller", old)
            found = await daemon.api.settled(CALLS)
            assert [one["state"] for one in found] == ["stored"] * CALLS
            assert all(one["reason"] for one in found)
            assert await recorded_faults(daemon, found, seconds=int(TALK_S)) == []
            assert await daemon.sessions() == 0
            await hang_up(calls)
            # The registrations were kept: nobody registers again before the next call.
            await a_new_call_is_recorded(daemon, alice, bob, CALLS)
        await reconciled(daemon, CALLS + 1)


async def test_killing_every_child_at_once_is_survived(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site") as daemon:
        async with await Phone.open(daemon.account("alice")) as alice, await Phone.open(daemon.account("bob")) as bob:
            await alice.register()
            await bob.register()
            calls = await crowd(alice, bob, "101")
            await asyncio.sleep(TALK_S)
            daemon.expect("media_server_unusable", "ledger_unreachable")
            old = {role: daemon.kill(role) for role in ("recorder", "media", "controller")}
            for role, pid in old.items():
                await daemon.came_back(role, pid)
            found = await daemon.api.settled(CALLS)
            assert [one["state"] for one in found] == ["stored"] * CALLS
            assert await recorded_faults(daemon, found, seconds=int(TALK_S) - 1) == []
            await hang_up(calls)
            await a_new_call_is_recorded(daemon, alice, bob, CALLS)
        await reconciled(daemon, CALLS + 1)
