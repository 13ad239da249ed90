"""Whether phones talk directly, and how their audio comes onto a media server and off it: hand-written phones, the
real media server, the control API."""

from __future__ import annotations

import asyncio
import re

import pytest

from mediaserverd.controller.audio_path import chosen
from mediaserverd.controller.rules import Rules
from mediaserverd.policy.facts import Party
from tests.controller.raw_phone import RawMessage, RawPhone
from tests.controller.site import Site, controller_settings, station
from tests.controller.stage import stage_of, talk
from tests.controller.test_recording_control import Control
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(60)

DYNAMIC: dict[str, object] = {"audio_path": "dynamic", "initiation": {"policies": []}}
ALICE_PORT, BOB_PORT = 40000, 50000  # of tests.controller.stage.talk


def audio_port(message: RawMessage) -> int:
    found = re.search(r"m=audio (\d+)", message.body)
    assert found, message
    return int(found[1])


def version(message: RawMessage) -> int:
    return int(message.body.split("o=")[1].split(" ")[2])


async def both_asked(alice: RawPhone, bob: RawPhone) -> tuple[RawMessage, RawMessage]:
    return await alice.next("INVITE"), await bob.next("INVITE")


async def accept(phone: RawPhone, invite: RawMessage, port: int) -> None:
    phone.reply(invite, 200, "OK", phone.sdp(port))
    await phone.next("ACK")


async def test_a_recording_brings_a_media_server_in_and_its_end_lets_it_go(site: Site) -> None:
    async with stage_of(site, **DYNAMIC) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        _, invite, answer = await talk(alice, bob)
        assert (audio_port(invite), audio_port(answer)) == (ALICE_PORT, BOB_PORT), "the phones know each other"
        control = await Control.of(stage)

        starting = asyncio.create_task(control("start", by="eve"))
        to_alice, to_bob = await both_asked(alice, bob)
        assert {ALICE_PORT, BOB_PORT}.isdisjoint({audio_port(to_alice), audio_port(to_bob)})
        await accept(alice, to_alice, ALICE_PORT)
        bob.reply(to_bob, 488, "Not Acceptable Here")
        await bob.next("ACK")
        back = await alice.next("INVITE")
        assert (audio_port(back), version(back)) == (BOB_PORT, 3), "the call is as it was"
        await accept(alice, back, ALICE_PORT)
        status, refused = await starting
        assert (status, "the called side refuses: 488" in refused["detail"]) == (409, True), refused

        starting = asyncio.create_task(control("start", by="eve"))
        to_alice, to_bob = await both_asked(alice, bob)
        await asyncio.gather(accept(alice, to_alice, ALICE_PORT), accept(bob, to_bob, BOB_PORT))
        status, started = await starting
        assert (status, started["recording"]["state"]) == (200, "running")

        assert (await control("stop", by="eve"))[0] == 200
        to_alice, to_bob = await both_asked(alice, bob)
        assert (audio_port(to_alice), audio_port(to_bob)) == (BOB_PORT, ALICE_PORT)
        await asyncio.gather(accept(alice, to_alice, ALICE_PORT), accept(bob, to_bob, BOB_PORT))
        live = stage.controller._switchboard.calls[control.call_id]
        assert live.holding == {"m1"}, "what is still on its way is relayed"
        await until(lambda: not live.holding)
        story = await control.story()
        assert story.index("the audio did not move") < story.index("media server m1 carries the audio")
        assert story.index("media server m1 carries the audio") < story.rindex("the phones talk directly")


def test_a_call_is_always_in_if_either_side_its_location_or_the_site_says_so(site: Site) -> None:
    phones = [
        station("alice", "101"),
        {**station("bob", "102"), "audio_path": "always-in"},
        {**station("carol", "103"), "location": "berlin"},
        {**station("dave", "104"), "location": "berlin", "audio_path": "dynamic"},
    ]
    line = {"name": "carrier", "address": "127.0.0.1", "fail_open": True}
    settings = controller_settings(
        site, stations=phones, workgroups=[], lines=[line], audio_path="dynamic",
        locations={"berlin": {"audio_path": "always-in"}},
    )  # fmt: skip
    rules = Rules.of(settings)
    alice, bob, carol, dave = (Party(station=name) for name in ("alice", "bob", "carol", "dave"))
    carrier = Party(line="carrier")
    for parties, mode, reason in (
        ((alice, dave), "dynamic", "audio path: dynamic"),
        ((alice, bob), "always-in", "audio path: always-in: bob says so"),
        ((carol, alice), "always-in", "audio path: always-in: location berlin says so"),
        ((alice, carrier), "dynamic", "audio path: dynamic"),
    ):
        choice = chosen(rules, parties, ())
        assert (choice.mode, choice.reason) == (mode, reason)
        assert choice.fail_open is (carrier in parties)
    assert chosen(rules, (alice, dave), ("alice",)).reason == "audio path: always-in: alice is behind a NAT"
    site_wide = Rules.of(settings.model_copy(update={"audio_path": "always-in"}))
    assert chosen(site_wide, (alice, alice), ()).mode == "always-in"
    assert chosen(site_wide, (dave, dave), ()).mode == "dynamic", "the nearest word counts"
