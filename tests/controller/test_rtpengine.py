"""Our controller and Debian's rtpengine-daemon, a relay that we did not write: calls go through it, unrecorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mediaserverd.controller.server import Controller
from tests.controller.site import Site, controller_settings
from tests.controller.test_ledger import ListeningRecorder
from tests.controller.waiting import until
from tests.e2e.crowd import Conversation, converse
from tests.kit.account import Account
from tests.kit.doors import Status
from tests.kit.judge import judge
from tests.kit.phone import Phone
from tests.kit.rtpengine import Rtpengine

WHY = "it only relays, and cannot record"

pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def controller_with(site: Site, port: int, audio_path: str) -> AsyncIterator[ListeningRecorder]:
    """A controller whose only media server listens on ``port``; gives what its ledger is told."""
    recorder = ListeningRecorder(site, 8443, controller="ctl")
    await recorder.server.start()
    relay = {"name": "relay", "url": f"wss://localhost:{port}/", "token_file": site.token_file("ng")}
    bob_alone = {"policies": [{"name": "record-bob", "when": {"station": "bob"}, "then": {"record": True}}]}
    chosen = {"media_servers": [relay], "initiation": bob_alone, "audio_path": audio_path}
    controller = Controller(controller_settings(site, **chosen))
    await controller.start()
    try:
        await until(lambda: not controller._not_ready())
        yield recorder
    finally:
        await controller.stop()
        await recorder.server.stop()


def unheard(made: Conversation, seconds: int) -> list[str]:
    told = (made.caller_says, made.called.voice.ear), (made.called_says, made.caller.voice.ear)
    return [fault for said, ear in told for fault in judge(said, ear.samples()).faults(seconds=seconds)]


async def test_a_call_goes_through_an_rtpengine_with_holds_and_that_it_is_not_recorded_is_told_with_the_reason(
    site: Site, tmp_path: Path
) -> None:
    async with (
        await Rtpengine.start(tmp_path / "relay", site.server_tls, 9443) as relay,
        controller_with(site, 9443, "always-in") as recorder,
        await Phone.open(Account("alice", "127.0.0.1", 5060, "secret")) as alice,
        await Phone.open(Account("bob", "127.0.0.1", 5060, "secret")) as bob,
    ):
        await alice.register()
        await bob.register()
        made = await converse(alice, bob, "102", 5)
        await asyncio.sleep(1.6)
        for call in (made.called, made.caller):
            for direction in ("sendonly", "sendrecv"):
                await call.renegotiate(direction)
                await asyncio.sleep(0.2)
        await asyncio.sleep(1.6)
        await made.caller.hang_up()
        assert unheard(made, 3) == []
        await until(lambda: [entry["event"] for entry in recorder.entries] == ["expected", "failed"] * 2)
        reasons = [entry["reason"] for entry in recorder.entries[1::2]]
        assert reasons == ["media server relay: it only relays, and cannot record", "no-media-server"]
        assert "start recording" not in relay.output(), "it would say ok, and record in a way of its own"
        assert "in 30 seconds" not in relay.output(), "its ports are free at once"


async def test_no_direct_call_is_moved_to_an_rtpengine_to_be_recorded_and_everybody_hears_why(
    site: Site, tmp_path: Path
) -> None:
    async with (
        await Rtpengine.start(tmp_path / "relay", site.server_tls, 9443) as relay,
        controller_with(site, 9443, "dynamic"),
        await Phone.open(Account("alice", "127.0.0.1", 5060, "secret")) as alice,
        await Phone.open(Account("bob", "127.0.0.1", 5060, "secret")) as bob,
        await Phone.open(Account("carol", "127.0.0.1", 5060, "secret")) as carol,
    ):
        for phone in (alice, bob, carol):
            await phone.register()
        of_policy, on_demand = await converse(alice, bob, "102", 6), await converse(alice, carol, "103", 7)
        status = Status(control_token=site.token("control"))
        assert [call["media_server"] for call in await status.calls()] == ["", ""]
        first, second = [call["call_id"] for call in await status.calls()]
        [selection, *_] = (await status.get("controller", f"/control/calls/{first}")).json()["selections"]
        step = selection["steps"][0]
        assert (step["server"], step["taken"], step["reason"]) == ("relay", False, WHY)
        answer = await status.post("controller", f"/control/calls/{second}/recording/start", {})
        assert (answer.status_code, f"(relay: {WHY})" in answer.json()["detail"]) == (409, True), answer.text
        assert await status.metric("controller", "mediaserverd_calls_unrecorded") == 1
        assert "Creating new call" not in relay.output()
        [server] = (await status.get("controller", "/control/media-servers")).json()["media_servers"]
        assert (server["state"], server["relays_only"], server["refuses_recordings"]) == ("active", True, WHY)
        await status.close()
        await of_policy.caller.hang_up()
        await on_demand.caller.hang_up()
