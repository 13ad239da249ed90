"""Selection while a phone waits: servers that refuse or do not answer, none at all, and what is told of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tests.controller.raw_phone import RawPhone
from tests.controller.site import Site
from tests.controller.stage import stage_of, talk
from tests.controller.test_media_link import NgPeer, listening
from tests.controller.waiting import until


class Full(NgPeer):
    def reply(self, command: dict[str, Any]) -> dict[str, Any] | None:
        if command["command"] == "offer":
            return {"result": "load limit", "message": "Parallel session limit reached"}
        return super().reply(command)


class Dull(NgPeer):
    """Lives, but never answers an offer."""

    def reply(self, command: dict[str, Any]) -> dict[str, Any] | None:
        return None if command["command"] == "offer" else super().reply(command)


async def test_a_server_that_refuses_and_one_that_does_not_answer_are_followed_by_the_next_and_it_is_told(
    site: Site,
) -> None:
    full, dull = Full(site), Dull(site)
    async with AsyncExitStack() as stack:
        for peer in (full, dull):
            await stack.enter_async_context(listening(peer, site))
        links = [("full", full.port, "a"), ("dull", dull.port, "b"), ("m1", 2223, "default"), ("off", 9, "a")]
        servers = [
            {
                "name": name, "location": location, "url": f"wss://localhost:{port}/",
                "token_file": site.token_file("ng"),
            }
            for name, port, location in links
        ]  # fmt: skip
        selection = {"rules": {"default": ["a", {"group": ["b"], "when": {"operation": "record"}}, "$device"]}}
        stage = await stack.enter_async_context(stage_of(site, media_servers=servers, selection=selection))
        states = stage.controller._switchboard.media.states
        await until(lambda: [state.state.value for state in states()].count("active") == 3)
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, _, _ = await talk(alice, bob)
        [running] = (await stage.get("/control/calls"))["running"]
        [told] = (await stage.get(f"/control/calls/{running['call_id']}"))["selections"]
        call.send("BYE")
        await alice.next(200)
    assert [(step["entry"], step["server"], step["taken"]) for step in told["steps"]] == [
        ("a", "off", False), ("a", "full", True), ("b", "dull", True), ("$device", "m1", True),
    ]  # fmt: skip
    assert [tuple(each.values()) for each in told["tried"]] == [
        ("full", "Parallel session limit reached"),
        ("dull", "media server dull: no answer within 2 s"),
        ("m1", "took the call"),
    ]
    assert (told["rule"], told["operation"], told["device"]) == ("default", "record", "default")


async def test_with_no_server_left_a_call_gets_503_unless_its_line_fails_open(site: Site) -> None:
    line = {"name": "carrier", "address": "127.0.0.1:5080", "transport": "udp", "numbers": ["0*"], "fail_open": True}
    nowhere = {"rules": {"default": ["empty"]}, "locations": {"empty": {}}}
    async with stage_of(site, lines=[line], selection=nowhere) as stage:
        alice, _ = await stage.phone("alice"), await stage.phone("bob")
        carrier = await RawPhone("trunk", port=5080).open()
        inside = alice.start_call("102")
        await inside.invite(alice.sdp())
        refusal = await alice.next(503)
        inside.take(refusal)
        outside = alice.start_call("0301")
        await outside.invite(alice.sdp(40004))
        assert "m=audio 40004" in (await carrier.next("INVITE")).body
