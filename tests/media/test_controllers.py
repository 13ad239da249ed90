"""Several controllers on one media server: whose calls are whose, and on which terms."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserverd.media.load import Load
from mediaserverd.media.parameters import Level, Parameters
from mediaserverd.media.server import MediaServer
from mediaserverd.media.settings import MediaSettings
from mediaserverd.process.role import StartFault
from mediaserverd.process.tokens import read_token
from tests.media.calls import Controller, Phone, controller, endpoint, fetcher, finished, phones, running, settings

FOR_BERLIN = Level(
    parameters=Parameters(recording_mime_type_default="audio/PCMA", session_limit=2, rtp_ports="30100-30199"),
    properties={"rack": "7"},
    origins={"recording_mime_type_default": "m.yaml:3", "session_limit": "m.yaml:4", "rack": "m.yaml:6"},
)
WISH: dict[str, Any] = {
    "parameters": {"session_limit": 1, "dscp": 34},
    "properties": {"rack": "8", "owner": "night shift"},
    "origins": {"session_limit": "b.yaml:9", "dscp": "b.yaml:10", "rack": "b.yaml:12", "owner": "b.yaml:13"},
}


@pytest.fixture
def chosen(tmp_path: Path) -> MediaSettings:
    return settings(tmp_path, session_limit=3, per_controller={"berlin": FOR_BERLIN})


@pytest.fixture
async def server(chosen: MediaSettings) -> AsyncIterator[MediaServer]:
    async with running(chosen) as started:
        yield started


async def introduced(link: Controller, name: str, instance: str = "", **wish: Any) -> dict[str, Any]:
    return await link.ok("configure", controller=name, instance=instance or f"of {name}", **wish)


async def offered(link: Controller, call_id: str, phone: Phone) -> dict[str, Any]:
    return await link.ask("offer", call_id=call_id, from_tag="caller", sdp=phone.sdp())


async def test_no_controller_sees_or_ends_anothers_calls_and_each_has_its_own_count(
    chosen: MediaSettings, server: MediaServer
) -> None:
    port = server.ng_port
    async with (
        controller(chosen, port) as berlin,
        controller(chosen, port) as paris,
        controller(chosen, port) as nobody,
        phones() as (phone, _),
    ):
        await introduced(berlin, "berlin")
        await introduced(paris, "paris")
        for link in (berlin, paris, nobody):
            assert (await offered(link, "the same call-id", phone))["result"] == "ok"
        for link in (berlin, paris, nobody):
            assert (await link.ok("list"))["calls"] == ["the same call-id"]
        load = (await berlin.ask("ping"))["load"]
        assert load["controllers"] == {"": 1, "berlin": 1, "paris": 1}
        assert (load["sessions"], load["own-sessions"], load["max-sessions"]) == (3, 1, 2)
        await berlin.ok("delete", call_id="the same call-id")
        assert (await berlin.ask("delete", call_id="the same call-id"))["warning"].startswith("Call-ID not found")
        assert (await paris.ok("list"))["calls"] == ["the same call-id"]
        assert (await nobody.ok("statistics"))["statistics"]["currentstatistics"]["controllers"] == {"": 1, "paris": 1}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.status_port}") as status:
            shown = (await status.get("/metrics")).text
        assert 'mediaserverd_media_controller_sessions{controller="paris"} 1.0' in shown
        assert 'mediaserverd_media_controller_sessions{controller="berlin"} 0.0' in shown


async def test_two_controllers_of_one_name_are_not_let_in_together(chosen: MediaSettings, server: MediaServer) -> None:
    async with controller(chosen, server.ng_port) as second, phones() as (phone, _):
        async with controller(chosen, server.ng_port) as first:
            await introduced(first, "berlin", "one")
            refused = await second.ask("configure", controller="berlin", instance="two")
            assert "another controller is called berlin" in refused["error-reason"]
            await offered(first, "call", phone)
        refused = await second.ask("configure", controller="berlin", instance="two")
        assert "another controller is called berlin" in refused["error-reason"], "its call still runs here"
        await introduced(second, "berlin", "one")
        assert (await second.ok("list"))["calls"] == ["call"], "the same one is back"
        await second.ok("delete", call_id="call")


async def test_of_four_levels_the_highest_holds_and_each_value_says_where_it_came_from(
    chosen: MediaSettings, server: MediaServer
) -> None:
    async with controller(chosen, server.ng_port) as link:
        found = {each["name"]: each for each in (await introduced(link, "berlin", **WISH))["effective"]}
        paris = {each["name"]: each for each in (await introduced(link, "paris"))["effective"]}
    values = {name: (each["value"], each["origin"]) for name, each in found.items()}
    assert values["session_limit"] == (1, "b.yaml:9")
    assert values["recording_mime_type_default"] == ("audio/PCMA", "m.yaml:3")
    assert values["dscp"] == (34, "b.yaml:10")
    assert values["cpu_limit_percent"] == (100, "default")
    assert values["rack"] == ("8", "b.yaml:12")
    assert found["owner"]["kind"] == "property"
    assert set(found) - {"rack", "owner"} == set(paris) == set(Parameters.model_fields)
    assert (paris["session_limit"]["value"], paris["dscp"]["value"]) == (3, 46)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"parameters": {"sesion_limit": 3}}, "parameters.sesion_limit: Extra inputs are not permitted"),
        ({"parameters": {"dscp": 64}}, "parameters.dscp: Input should be less than or equal to 63"),
        ({"parameters": {"rtp_ports": "30000-30002"}}, "parameters.rtp_ports: has too few ports"),
        ({"parameters": {"rtp_address": "192.0.2.77"}}, "rtp_address 192.0.2.77 cannot be used on this host"),
        ({"parameters": {"rtp_advertised": "::1"}}, "not of the family"),
        ({"properties": {"dscp": "46"}}, "is the name of a parameter"),
    ],
)
async def test_a_bad_name_or_value_is_refused_and_what_held_before_still_holds(
    chosen: MediaSettings, server: MediaServer, wish: dict[str, Any], sentence: str
) -> None:
    async with controller(chosen, server.ng_port) as link, phones() as (phone, _):
        await introduced(link, "berlin", **WISH)
        refused = await link.ask("configure", controller="berlin", instance="of berlin", **wish)
        assert sentence in refused["error-reason"]
        assert (await offered(link, "1", phone))["result"] == "ok"
        assert (await offered(link, "2", phone))["error-reason"] == "Parallel session limit reached"


async def test_sessions_and_recordings_obey_the_terms_of_their_own_controller(
    chosen: MediaSettings, server: MediaServer
) -> None:
    async with (
        controller(chosen, server.ng_port) as berlin,
        controller(chosen, server.ng_port) as paris,
        fetcher(chosen, server.retrieval_port) as store,
        phones() as (phone, _),
    ):
        await introduced(berlin, "berlin", **WISH)
        await introduced(paris, "paris", parameters={"disk_floor_mib": 1 << 40})
        to_berlin, _ = [await offered(link, "call", phone) for link in (berlin, paris)]
        file = (await berlin.ok("start recording", call_id="call", encrypt="no"))["recording"]["file"]
        refused = await paris.ask("start recording", call_id="call")
        assert refused["error-reason"] == "recording refused: disk floor"
        await berlin.ok("delete", call_id="call")
        assert (await finished(store, file))["encoding"] == "audio/PCMA"
    assert 30100 <= endpoint(to_berlin["sdp"])[1] <= 30199


async def test_every_limit_refuses_in_the_words_that_proxies_compare_and_ping_says_so_first(
    chosen: MediaSettings, server: MediaServer
) -> None:
    async with controller(chosen, server.ng_port) as link, phones() as (phone, _):

        async def refusals(call_id: str) -> set[str]:
            load = (await link.ask("ping"))["load"]
            reply = await link.ask(
                "offer", call_id=call_id, from_tag="caller", sdp=phone.sdp(), supports=["load limit"]
            )
            assert reply["result"] == "load limit"
            return {load["refuses-sessions"], reply["message"]}

        await introduced(link, "paris", parameters={"cpu_limit_percent": 90})
        assert (await link.ask("ping"))["load"]["refuses-sessions"] == ""
        server._load = Load(cpu_permille=950, disk_free_bytes=1 << 40)
        assert await refusals("c") == {"CPU usage limit exceeded"}
        await introduced(link, "paris", parameters={"rtp_ports": "30200-30203"})
        await offered(link, "1", phone)
        assert await refusals("c") == {"Ran out of ports"}
        await introduced(link, "paris", parameters={"session_limit": 1})
        assert await refusals("c") == {"Parallel session limit reached"}
        await introduced(link, "paris", parameters={"session_limit": 1000, "disk_floor_mib": 1 << 40})
        await offered(link, "2", phone)
        load = (await link.ask("ping"))["load"]
        assert (load["refuses-sessions"], load["refuses-recordings"][:9]) == ("", "less than")
        await offered(link, "3", phone)
        assert await refusals("c") == {"Parallel session limit reached"}, "the server's own limit is everybody's"
        await link.ok("drain")
        assert await refusals("c") == {"Load limit exceeded"}


async def test_drain_and_activate_can_be_said_twice_and_from_either_side(
    chosen: MediaSettings, server: MediaServer
) -> None:
    token = read_token(chosen.control_token_file)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        controller(chosen, server.ng_port) as link,
        phones() as (phone, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.status_port}", headers=headers) as here,
    ):
        door = "/control/media-server"
        await introduced(link, "berlin")
        await offered(link, "call", phone)
        for _ in range(2):
            assert (await link.ok("drain"))["sessions"] == 1
            assert (await here.get(door)).json()["state"] == "draining"
        await link.ok("delete", call_id="call")
        assert (await here.get(door)).json()["state"] == "deactivated"
        for _ in range(2):
            assert (await here.post(f"{door}/activate")).json()["state"] == "active"
        assert (await offered(link, "call", phone))["result"] == "ok"
        for _ in range(2):
            told = (await here.post(f"{door}/drain")).json()
            assert (told["state"], told["controllers"]) == ("draining", {"berlin": 1})
        await link.ok("activate")
        assert (await here.get(door)).json()["state"] == "active"
        assert (await here.get(door, headers={"Authorization": "Bearer x"})).status_code == 401


async def test_an_order_to_drain_outlives_restarts_and_tells_who_gave_it(chosen: MediaSettings) -> None:
    async with running(chosen) as server, controller(chosen, server.ng_port) as link:
        await introduced(link, "berlin")
        await link.ok("drain")
        await introduced(link, "paris")
        await link.ok("drain")
    async with running(chosen) as server, controller(chosen, server.ng_port) as link, phones() as (phone, _):
        load = (await link.ask("ping"))["load"]
        assert (load["draining"], load["drained"][:24]) == (1, "by controller berlin at "), "the first one who said so"
        assert (await offered(link, "call", phone))["error-reason"] == "Load limit exceeded"
        assert "drained by controller berlin" in server._not_ready()["sessions"]
        await link.ok("activate")
        assert (await link.ask("ping"))["load"]["drained"] == ""
    async with running(chosen) as server, controller(chosen, server.ng_port) as link, phones() as (phone, _):
        assert (await offered(link, "call", phone))["result"] == "ok"


async def test_an_order_that_cannot_be_kept_is_refused_and_one_that_cannot_be_read_stops_the_start(
    chosen: MediaSettings,
) -> None:
    elsewhere = chosen.model_copy(update={"drain_file": Path("/proc/drained.json")})
    async with running(elsewhere) as server, controller(elsewhere, server.ng_port) as link:
        assert (await link.ask("drain"))["error-reason"].startswith("the order cannot be kept: ")
        assert (await link.ask("ping"))["load"]["draining"] == 0
    chosen.drain_file.write_text("{}")
    with pytest.raises(StartFault, match=r"cannot read in .*drained\.json who drained"):
        await MediaServer(chosen).start()


async def test_what_is_relayed_carries_the_dscp_of_the_terms(chosen: MediaSettings, server: MediaServer) -> None:
    loop = asyncio.get_running_loop()
    async with controller(chosen, server.ng_port) as link, phones() as (caller, _):
        for name, wanted in (("berlin", 34), ("paris", 46)):
            await introduced(link, name, **(WISH if name == "berlin" else {}))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as called:
                called.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
                called.bind(("127.0.0.1", 0))
                called.settimeout(5)
                described = caller.sdp().replace(str(caller.port), str(called.getsockname()[1]))
                await offered(link, "call", caller)
                answer = await link.ok("answer", call_id="call", from_tag="caller", to_tag="called", sdp=described)
                await caller.speak(answer["sdp"], b"\xff" * 160)
                _, notes, _, _ = await loop.run_in_executor(None, called.recvmsg, 2048, 64)
            await link.ok("delete", call_id="call")
            assert [(kind, value[0] >> 2) for _, kind, value in notes] == [(socket.IP_TOS, wanted)]
