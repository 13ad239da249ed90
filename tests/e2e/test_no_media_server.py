"""The only media server dies under calls and stays dead: those that can go on without it do, the others end cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import yaml

from mediaserverd.protocol.sip.message import Request
from tests.e2e.crowd import Conversation, converse
from tests.e2e.outage import Outage
from tests.e2e.test_audio_path import are_direct
from tests.kit.daemon import Daemon
from tests.kit.doors import Json
from tests.kit.phone import Phone

PASSWORD: Final = "correct-horse-9"
STATIONS: Final = (("alice", "100"), ("bob", "101"), ("carol", "102"), ("dave", "103"))
POLICIES: Final = [
    {"name": "never unrecorded", "when": {"station": "carol"}, "then": {"record": True, "required": True}},
    {"name": "everybody", "then": {"record": True}},
]
BACK_S: Final = 10.0  # 1 s to notice and as much to move; a busy machine may take longer
PATIENCE_S: Final = 30.0
TALK_S: Final = 2.0
WHY: Final = "media-server-lost: no media server may be used now"


async def site(stack: AsyncExitStack, directory: Path) -> tuple[Daemon, list[Phone]]:
    directory.mkdir()
    (directory / "policies.yaml").write_text(yaml.safe_dump({"policies": POLICIES}))
    stations = [{"name": name, "extension": number, "password": PASSWORD} for name, number in STATIONS]
    changes = {"record": "none", "initiation_policies": "policies.yaml", "stations": stations}
    daemon = await stack.enter_async_context(await Daemon.start(directory, changes))
    phones = []
    for name, _ in STATIONS:
        account = replace(daemon.account(name), password=PASSWORD)
        phones.append(await stack.enter_async_context(await Phone.open(account)))
        await phones[-1].register()
    return daemon, phones


async def metric(daemon: Daemon, name: str) -> float:
    return await daemon.status.metric("controller", f"mediaserverd_{name}")


async def recorded_by(daemon: Daemon, station: str) -> Json:
    """The account of the only recording of that station."""
    [found] = [one for one in await daemon.api.settled(2) if one["calling"]["station"] == station]
    return await daemon.api.recording(found["id"])


def parts(recording: Json) -> list[str]:
    """What became of each segment."""
    return [one["state"] + (f": {one['reason']}" if one["state"] == "failed" else "") for one in recording["segments"]]


def assert_ended_with_the_reason(one: Conversation) -> None:
    for end in (one.caller, one.called):
        assert end.ending is not None
        bye = end.ending.message
        assert isinstance(bye, Request)
        assert bye.method == "BYE"
        assert bye.headers.get("Reason") == f'SIP;cause=503;text="{WHY}"'


async def test_phones_hear_each_other_directly_while_no_server_is_left_but_a_required_recording_ends_its_call(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        daemon, (alice, bob, carol, dave) = await site(stack, tmp_path / "site")
        daemon.expect("call_unrecorded", "media_server_unusable")
        free, bound = await converse(alice, bob, "101", 31), await converse(carol, dave, "103", 32)
        await asyncio.sleep(TALK_S)
        assert await daemon.sessions() == 2
        outage = Outage([free])
        media = daemon.pid("media")
        os.kill(media, signal.SIGSTOP)  # as a host that hangs: no connection breaks
        stack.callback(os.kill, media, signal.SIGCONT)
        back = await outage.back(BACK_S)
        print(f"heard again directly after {max(back):.2f} s")
        assert are_direct(free)
        await bound.caller.ended()
        await bound.called.ended()
        assert_ended_with_the_reason(bound)
        await daemon.logged("call_unrecorded")
        assert await metric(daemon, "calls_unrecorded") == 1
        assert await metric(daemon, 'calls_failed_over_total{to="direct"}') == 1
        assert (await daemon.logged("call_failed_over"))["media_server"] == ""
        [ended] = (await daemon.status.get("controller", "/control/calls")).json()["ended"]
        assert (ended["summary"]["ended_by"], ended["summary"]["reason"]) == ("system", WHY)
        assert ended["summary"]["recording_outcome"] == "broken off: media-server-lost"
        await asyncio.sleep(TALK_S)

        os.kill(media, signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_S):
            while not await daemon.sessions():  # it is asked again after 1, 2, 4… s
                await asyncio.sleep(0.2)
            await daemon.logged("call_unrecorded_no_longer", PATIENCE_S)
        assert await metric(daemon, "calls_unrecorded") == 0
        assert TALK_S < await metric(daemon, "unrecorded_seconds_total") < 2 * PATIENCE_S
        await asyncio.sleep(TALK_S)
        await free.caller.hang_up()
        await daemon.idle()
        of_free, of_bound = [await recorded_by(daemon, station) for station in ("alice", "carol")]
        assert (of_free["state"], parts(of_free)) == ("stored", ["stored", "failed: no-media-server", "stored"])
        assert [gap["reason"] for gap in of_free["gaps"]] == ["media-server-lost"]
        assert (of_bound["state"], of_bound["reason"]) == ("partial", "media-server-lost")
        assert parts(of_bound) == ["stored", "failed: media-server-lost"]
