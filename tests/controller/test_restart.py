"""Calls outlive the controller's process. Here its next process is another controller in the same one; that a killed
process leaves the same behind is proven end to end (tests/e2e/test_kill.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from mediaserverd.controller.media_link import MediaState
from mediaserverd.controller.server import Controller
from mediaserverd.controller.succession import Succession
from mediaserverd.media.server import MediaServer
from tests.controller.raw_ng import ask_as_controller
from tests.controller.raw_phone import RawMessage, RawPhone
from tests.controller.site import Site, controller_settings
from tests.controller.stage import Stage, media_settings, stage_of, talk
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def next_process(stage: Stage, **given: object) -> AsyncIterator[Controller]:
    await stage.controller.hand_over()
    await stage.controller.stop()
    controller = Controller(controller_settings(stage.site, **given))
    await controller.start()
    try:
        await until(lambda: not controller._not_ready())
        yield controller
    finally:
        await controller.stop()


def line(message: RawMessage, start: str) -> str:
    return next(each for each in message.body.splitlines() if each.startswith(start))


async def test_a_call_goes_on_can_be_held_and_ends_with_its_recording(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, invite, _ = await talk(alice, bob)
        await until(lambda: ("started",) in stage.ledger("event"))
        async with next_process(stage):
            assert await stage.running() == 1
            call.send("INVITE", body=alice.sdp(40000, "sendonly"))
            hold = await bob.next("INVITE")
            assert "a=sendonly" in hold.body
            assert int(line(hold, "o=").split()[2]) > int(line(invite, "o=").split()[2])
            assert line(hold, "o=").split()[1] == line(invite, "o=").split()[1], "still the same session of ours"
            assert int(hold.one("CSeq").split()[0]) > int(invite.one("CSeq").split()[0])
            bob.reply(hold, 200, "OK", bob.sdp(50000, "recvonly"))
            call.take(await alice.next(200))
            call.send("ACK")
            await bob.next("ACK")
            bob.send(
                f"BYE {hold.one('Contact').strip('<>')} SIP/2.0",
                [bob.via(), "Max-Forwards: 70", f"From: {hold.one('To')}", f"To: {hold.one('From')}",
                 f"Call-ID: {hold.one('Call-ID')}", "CSeq: 7 BYE"],
            )  # fmt: skip
            await bob.next(200)
            alice.reply(await alice.next("BYE"), 200, "OK")
            await until(lambda: ("ended", "call-ended") in stage.ledger("event", "reason"))
            assert [event for (event,) in stage.ledger("event")] == ["expected", "started", "ended"]
            assert stage.recorder.entries[-1]["duration_ms"] > 0
            assert await stage.running() == 0


async def test_recording_and_pause_are_controlled_after_a_restart_as_before(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        await talk(alice, bob)
        [row] = (await stage.get("/control/calls"))["running"]
        path = f"/control/calls/{row['call_id']}"
        await until(lambda: ("started",) in stage.ledger("event"))
        assert (await stage.post(f"{path}/recording/pause", {"secure": True, "seconds": 60}))[0] == 200
        story = await stage.get(path)
        async with next_process(stage):
            again = await stage.get(path)
            assert [each["recording_id"] for each in again["recordings"]] == [row["recordings"][0]["recording_id"]]
            assert again["recordings"][0]["state"] == "running"
            assert 40 < again["pause"]["remaining_s"] <= story["pause"]["remaining_s"]
            assert again["pause"]["since"][:21] == story["pause"]["since"][:21]
            assert [each["text"] for each in again["story"]][: len(story["story"])] == [
                each["text"] for each in story["story"]
            ]
            assert (await stage.post(f"{path}/recording/resume"))[0] == 200
            status, answer = await stage.post(f"{path}/recording/stop")
            assert (status, answer["pause"]) == (200, None)
            await until(lambda: ("ended", "stopped") in stage.ledger("event", "reason"))


async def test_messages_and_selections_of_before_are_told_after_it(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, _, _ = await talk(alice, bob)
        await until(lambda: ("started",) in stage.ledger("event"))
        [row] = (await stage.get("/control/calls"))["running"]
        path = f"/control/calls/{row['call_id']}"
        story, ladder = await stage.get(path), await stage.get(f"{path}/ladder")
        async with next_process(stage):
            again, lines = await stage.get(path), (await stage.get(f"{path}/ladder"))["lines"]
            assert again["selections"] == story["selections"]
            assert again["selections"][0]["tried"] == [{"server": "m1", "outcome": "took the call"}]
            remark = next(number for number, line in enumerate(lines) if line["from"] == line["to"])
            assert lines[remark]["text"] == "the controller's next process goes on"
            assert lines[:remark] == ladder["lines"][:remark], "up to what was written last"
            told = [(line["text"], line["from"]) for line in lines[:remark]]
            assert {("INVITE", "caller"), ("200 OK", "controller"), ("ACK", "caller")} <= {*told}, told
            assert ("answer: ok", "media m1") in told
            call.send("BYE")
            await alice.next(200)
            lines = (await stage.get(f"{path}/ladder"))["lines"]
            assert ("BYE", "caller") in [(line["text"], line["from"]) for line in lines[remark:]]


async def test_a_media_server_that_was_drained_stays_so_and_says_who_wanted_it(site: Site) -> None:
    async with stage_of(site) as stage:
        path = "/control/media-servers/m1"
        status, told = await stage.post(f"{path}/drain")
        assert (status, told["state"]) == (200, "deactivated")
        await stage.controller.hand_over()
        await stage.controller.stop()
        controller = Controller(controller_settings(stage.site))
        await controller.start()
        try:
            await until(lambda: controller._switchboard.media.states()[0].state is MediaState.DEACTIVATED)
            found = await stage.get(path)
            assert found["reason"].startswith("drained by controller ctl at ")
            assert "drained by controller ctl" in found["unavailable"]
            assert (await stage.post(f"{path}/activate"))[1]["state"] == "active"
        finally:
            await controller.stop()


async def test_a_phone_whose_connection_broke_is_hung_up_when_it_is_back(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob", "tcp")
        call, invite, _ = await talk(alice, bob)
        async with next_process(stage):
            call.send("BYE")
            await alice.next(200)
            bob.close()
            await asyncio.sleep(0.3)
            again = await stage.phone("bob", "tcp")
            bye = await again.next("BYE")
            assert bye.one("Call-ID") == invite.one("Call-ID")
            again.reply(bye, 200, "OK")


async def test_a_recording_that_broke_off_while_no_controller_ran_is_known_to_the_next_one(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        await talk(alice, bob)
        await until(lambda: ("started",) in stage.ledger("event"))
        await stage.controller.hand_over()
        await stage.controller.stop()
        sessions = stage.media._sessions
        (session,) = sessions
        assert session.tap is not None
        sessions.recording_failed(session.tap, "disk-full")
        controller = Controller(controller_settings(stage.site))
        await controller.start()
        try:
            await until(lambda: ("expected", 2, "") in stage.ledger("event", "segment", "media_server"))
            assert ("ended", 1, "recording-failed") in stage.ledger("event", "segment", "reason")
            assert await stage.running() == 1
        finally:
            await controller.stop()


async def both_move(alice: RawPhone, bob: RawPhone) -> None:
    async def move(phone: RawPhone, port: int) -> None:
        offer = await phone.next("INVITE", limit_s=20.0)
        phone.reply(offer, 200, "OK", phone.sdp(port))
        while (await phone.next("ACK", "INVITE")).method != "ACK":
            pass  # a busy machine: it was repeated before our answer came

    await asyncio.gather(move(alice, 40000), move(bob, 50000))


async def test_a_media_server_that_is_back_before_phones_can_be_spoken_to_takes_the_call_when_they_can(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = Succession.hear

    async def hear_for_long(succession: Succession) -> None:
        """As if another call waited for another media server."""
        await hear(succession)
        await asyncio.sleep(1.0)

    monkeypatch.setattr(Succession, "hear", hear_for_long)
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        await talk(alice, bob)
        await until(lambda: ("started",) in stage.ledger("event"))
        await stage.media.stop()
        await both_move(alice, bob)
        await until(lambda: ("expected", 2, "") in stage.ledger("event", "segment", "media_server"))
        await stage.controller.hand_over()
        await stage.controller.stop()
        async with AsyncExitStack() as stack:
            for part in (MediaServer(media_settings(site)), Controller(controller_settings(site))):
                await part.start()
                stack.push_async_callback(part.stop)
            await both_move(alice, bob)
            await until(lambda: ("started", 3) in stage.ledger("event", "segment"))
            assert await stage.running() == 1


async def test_a_call_that_the_media_server_has_lost_meanwhile_goes_on_without_it(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        _, _, answer = await talk(alice, bob)
        call_id = (await stage.get("/control/calls"))["running"][0]["call_id"]
        await until(lambda: ("started",) in stage.ledger("event"))
        await stage.controller.hand_over()
        await stage.controller.stop()
        assert (await ask_as_controller(site, "delete", **{"call-id": call_id}))["result"] == "ok"
        controller = Controller(controller_settings(stage.site))
        await controller.start()
        try:
            for phone, port, other in ((alice, 40000, "50000"), (bob, 50000, "40000")):
                offer = await phone.next("INVITE")
                assert f"m=audio {other} " in offer.body
                phone.reply(offer, 200, "OK", phone.sdp(port))
                await phone.next("ACK")
            await until(lambda: ("ended", "media-server-lost") in stage.ledger("event", "reason"))
            assert f"m=audio {other} " not in answer.body, "it was anchored before"
            assert await stage.running() == 1
        finally:
            await controller.stop()
