"""Calls end to end: hand-written phones, the running controller, and the real media server in the same process."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from mediaserverd.controller.server import Controller
from mediaserverd.process.role import StartFault
from tests.controller.raw_ng import ask_as_controller, ask_media
from tests.controller.raw_phone import RawPhone
from tests.controller.site import Site, controller_settings
from tests.controller.stage import stage_of, talk
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(60)


def _port(sdp: str) -> int:
    found = re.search(r"m=audio (\d+) ", sdp)
    assert found
    return int(found[1])


@pytest.mark.parametrize(("first", "second"), [("udp", "udp"), ("tcp", "udp"), ("tls", "tcp"), ("udp", "tls")])
async def test_two_phones_talk_through_the_media_server_and_it_is_recorded(site: Site, first: str, second: str) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice", first), await stage.phone("bob", second)
        with capture_logs() as logs:
            call, invite, answer = await talk(alice, bob)
            assert 16384 <= _port(invite.body) <= 32767
            assert 16384 <= _port(answer.body) <= 32767
            assert _port(invite.body) != _port(answer.body)
            assert invite.one("From").startswith("Alice <sip:101@")
            [row] = (await stage.get("/control/calls"))["running"]
            await until(lambda: len(stage.recorder.entries) >= 2)
            call.send("BYE")
            await alice.next(200)
            bye = await bob.next("BYE")
            bob.reply(bye, 200, "OK")
            await until(lambda: ("ended", "call-ended") in stage.ledger("event", "reason"))
        assert [event for (event,) in stage.ledger("event")] == ["expected", "started", "ended"]
        expected = stage.recorder.entries[0]
        assert (expected["calling"]["station"], expected["called"]["station"]) == ("alice", "bob")
        assert expected["media_server"] == "m1"
        [ended] = [entry for entry in logs if entry["event"] == "call_ended"]
        assert (ended["call_id"], ended["answered"], ended["ended_by"]) == (row["call_id"], True, "caller")
        assert [entry for entry in logs if entry["log_level"] in ("warning", "error", "critical")] == []
        story = await stage.get(f"/control/calls/{row['call_id']}")
        assert story["state"] == "ended"
        assert any("record-all" in line for line in story["decisions"])
        assert await stage.running() == 0
        alice.close()
        bob.close()


async def test_the_caller_gives_up_and_the_called_phone_stops_ringing(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call = alice.start_call("102")
        await call.invite(alice.sdp())
        invite = await bob.next("INVITE")
        bob.reply(invite, 180, "Ringing")
        await alice.next(180)
        call.send("CANCEL")
        first, second = await alice.next(200, 487), await alice.next(200, 487)
        assert {first.status, second.status} == {200, 487}
        cancel = await bob.next("CANCEL")
        bob.reply(cancel, 200, "OK")
        bob.reply(invite, 487, "Request Terminated")
        await bob.next("ACK")
        await until(lambda: not stage.controller._switchboard.calls)
        assert stage.recorder.entries == []


@pytest.mark.parametrize(("status", "reason"), [(486, "Busy Here"), (603, "Decline")])
async def test_a_phone_that_says_no_is_heard_by_the_caller(site: Site, status: int, reason: str) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call = alice.start_call("102")
        await call.invite(alice.sdp())
        invite = await bob.next("INVITE")
        bob.reply(invite, status, reason)
        await bob.next("ACK")
        refused = await alice.next(status)
        assert refused.start == f"SIP/2.0 {status} {reason}"


async def test_who_is_not_known_or_not_there_is_404_or_480_and_logged_once(site: Site) -> None:
    async with stage_of(site) as stage:
        alice = await stage.phone("alice")
        with capture_logs() as logs:
            for number, status in (("999", 404), ("102", 480)):
                call = alice.start_call(number)
                await call.invite(alice.sdp())
                refused = await alice.next(status)
                call.to = refused.one("To")
                call.send("ACK")
        assert [entry["status"] for entry in logs if entry["event"] == "call_ended"] == [404, 480]


async def test_hold_and_resume_cross_the_call_with_our_own_session(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, _, answer = await talk(alice, bob)
        for direction, mirrored in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
            call.send("INVITE", body=alice.sdp(40000, direction))
            reinvite = await bob.next("INVITE")
            assert f"a={direction}" in reinvite.body
            bob.reply(reinvite, 200, "OK", bob.sdp(50000, mirrored))
            await bob.next("ACK")
            ok = await alice.next(200)
            assert f"a={mirrored}" in ok.body
            assert ok.body.split("\r\n")[1].split()[1] == answer.body.split("\r\n")[1].split()[1]
            call.send("ACK")
        call.send("BYE")
        await alice.next(200)


async def test_an_info_crosses_with_its_body_and_its_answer(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, _, _ = await talk(alice, bob)
        call.cseq += 1
        call.via = alice.via()
        headers = [*call.headers("INFO"), "Content-Type: application/dtmf-relay"]
        text = "Signal=5\r\nDuration=160\r\n"
        start = f"INFO {call.target} SIP/2.0"
        alice._write("\r\n".join([start, *headers, f"Content-Length: {len(text)}", "", text]).encode())
        info = await bob.next("INFO")
        assert (info.body, info.one("Content-Type")) == (text, "application/dtmf-relay")
        bob.reply(info, 200, "OK")
        await alice.next(200)


async def test_a_late_offer_is_carried_through_both_sides(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call = alice.start_call("102")
        await call.invite("")
        invite = await bob.next("INVITE")
        assert invite.body == ""
        bob.reply(invite, 200, "OK", bob.sdp(50000))
        offer = call.take(await alice.next(200))
        assert _port(offer.body) != 50000
        call.send("ACK", body=alice.sdp(40000))
        ack = await bob.next("ACK")
        assert 16384 <= _port(ack.body) <= 32767
        await until(lambda: ("started",) in stage.ledger("event"))


async def test_a_workgroup_rings_all_and_the_first_who_answers_has_the_call(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob, carol = [await stage.phone(name) for name in ("alice", "bob", "carol")]
        call = alice.start_call("200")
        await call.invite(alice.sdp())
        to_bob, to_carol = await bob.next("INVITE"), await carol.next("INVITE")
        bob.reply(to_bob, 180, "Ringing")
        await alice.next(180)
        carol.reply(to_carol, 180, "Ringing")
        carol.reply(to_carol, 200, "OK", carol.sdp())
        await carol.next("ACK")
        call.take(await alice.next(200))
        call.send("ACK")
        cancel = await bob.next("CANCEL")
        bob.reply(cancel, 200, "OK")
        bob.reply(to_bob, 487, "Request Terminated")
        await bob.next("ACK")
        call.send("BYE")
        await alice.next(200)
        await carol.next("BYE")


async def test_an_invite_with_no_hops_left_and_one_that_comes_back_are_refused(site: Site) -> None:
    async with stage_of(site) as stage:
        alice = await stage.phone("alice")
        bob = await stage.phone("bob")
        call = alice.start_call("102")
        call.via = alice.via()
        call.cseq = 1
        headers = [line.replace("Max-Forwards: 70", "Max-Forwards: 0") for line in call.headers("INVITE")]
        alice.send(f"INVITE {call.uri} SIP/2.0", headers, alice.sdp())
        await alice.next(483)
        other = alice.start_call("102")
        await other.invite(alice.sdp())
        invite = await bob.next("INVITE")
        looped = [bob.via(), *(f"Via: {value}" for value in invite.all("Via"))]
        rest = [line for line in invite.lines if not line.lower().startswith(("via:", "content-"))]
        bob.send("INVITE sip:bob@127.0.0.1 SIP/2.0", [*looped, *rest], invite.body)
        await bob.next(482)


async def test_calls_over_the_limit_and_calls_while_draining_are_503_and_running_ones_go_on(site: Site) -> None:
    async with stage_of(site, max_calls=1) as stage:
        alice, bob, carol = [await stage.phone(name) for name in ("alice", "bob", "carol")]
        call, _, _ = await talk(alice, bob)
        second = carol.start_call("101")
        second.send("INVITE", body=carol.sdp())
        refused = await carol.next(503)
        assert refused.one("Retry-After")
        draining = asyncio.create_task(stage.controller.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        call.send("BYE")
        await alice.next(200)
        await asyncio.wait_for(draining, 5)
        third = carol.start_call("101")
        third.send("INVITE", body=carol.sdp())
        await carol.next(503)


async def test_a_stop_ends_running_calls_on_both_sides_and_their_recordings(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        await talk(alice, bob)
        await until(lambda: ("started",) in stage.ledger("event"))
        await stage.controller.stop()
        await alice.next("BYE")
        await bob.next("BYE")
        await until(lambda: ("ended",) in stage.ledger("event"))


async def test_a_call_that_loses_its_only_media_server_goes_on_directly_and_is_recorded_again_when_that_is_back(
    site: Site,
) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        await talk(alice, bob)
        await until(lambda: ("started",) in stage.ledger("event"))
        [link] = stage.controller._switchboard.media._links.values()
        assert link._connection is not None
        link._connection.transport.abort()
        for phone, other, port in ((alice, "50000", 40000), (bob, "40000", 50000)):
            direct = await phone.next("INVITE")
            assert f"m=audio {other}" in direct.body
            phone.reply(direct, 200, "OK", phone.sdp(port))
            await phone.next("ACK")
        await until(lambda: ("ended", 1, "media-server-lost") in stage.ledger("event", "segment", "reason"))
        await until(lambda: ("expected", 2, "") in stage.ledger("event", "segment", "media_server"))
        for phone, port in ((alice, 40000), (bob, 50000)):
            anchored = await phone.next("INVITE")
            phone.reply(anchored, 200, "OK", phone.sdp(port))
        await until(lambda: ("started", 3) in stage.ledger("event", "segment"))
        assert ("failed", 2, "no-media-server") in stage.ledger("event", "segment", "reason")


async def test_a_fault_in_one_call_ends_that_call_and_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, _, _ = await talk(alice, bob)
        carol = await stage.phone("carol")
        board = stage.controller._switchboard
        [live] = board.calls.values()

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        with capture_logs() as logs:
            monkeypatch.setattr(live.call, "handle", broken)
            call.send("INVITE", body=alice.sdp(40000, "sendonly"))
            await bob.next("BYE")
            await until(lambda: not board.calls)
        faults = [entry for entry in logs if entry["event"] == "call_fault"]
        assert [entry["call_id"] for entry in faults] == [live.id]
        assert [entry["status"] for entry in logs if entry["event"] == "call_ended"] == [500]
        await until(lambda: ("ended",) in stage.ledger("event"))
        second = carol.start_call("102")
        await second.invite(carol.sdp())
        await bob.next("INVITE")


async def test_a_slow_disk_delays_the_recording_but_never_the_call(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        append, disk = stage.controller._ledger.append, asyncio.Event()

        async def slow(document: Mapping[str, object], at: datetime | None) -> int:
            await disk.wait()
            return await append(document, at)

        monkeypatch.setattr(stage.controller._ledger, "append", slow)
        call, _, _ = await talk(alice, bob)
        assert (await ask_media("ping"))["load"]["controllers"] == {"ctl": 1}
        assert list(site.directory.glob("spool/*.spool")) == []
        disk.set()
        await until(lambda: ("started",) in stage.ledger("event"))
        call.send("BYE")
        await alice.next(200)
        await until(lambda: len(stage.recorder.entries) == 3)
        assert [event for (event,) in stage.ledger("event")] == ["expected", "started", "ended"]


async def test_what_an_earlier_run_left_on_a_media_server_is_ended_when_the_controller_is_back(site: Site) -> None:
    sdp = RawPhone("x").sdp()
    async with stage_of(site) as stage:
        await stage.controller.stop()
        keys = {"from-tag": "caller", "sdp": sdp}
        assert (await ask_as_controller(site, "offer", **{"call-id": "ctl-0123", **keys}))["result"] == "ok"
        assert (await ask_media("offer", **{"call-id": "ctl-0123", **keys}))["result"] == "ok"
        assert (await ask_media("ping"))["load"]["controllers"] == {"": 1, "ctl": 1}
        again = Controller(controller_settings(site))
        await again.start()
        await until(lambda: not again._not_ready())
        for _ in range(50):
            if (left := (await ask_media("ping"))["load"]["controllers"]) == {"": 1}:
                break
            await asyncio.sleep(0.05)
        assert left == {"": 1}, "a proxy's call of the same id is not ours to end"
        await again.stop()


async def test_a_line_is_dialled_with_credentials_and_rewritten_digits(site: Site) -> None:
    line = {
        "name": "carrier", "address": "127.0.0.1:5080", "transport": "udp", "numbers": ["0[1-9]*"],
        "strip_digits": 1, "add_prefix": "+49", "username": "trunk", "password": "pw",
    }  # fmt: skip
    async with stage_of(site, lines=[line]) as stage:
        alice = await stage.phone("alice")
        carrier = await RawPhone("trunk", password="pw", port=5080).open()
        call = alice.start_call("030123")
        await call.invite(alice.sdp())
        invite = await carrier.next("INVITE")
        assert invite.start == "INVITE sip:+4930123@127.0.0.1:5080 SIP/2.0"
        carrier.reply(
            invite,
            407,
            "Proxy Authentication Required",
            "",
            'Proxy-Authenticate: Digest realm="mediaserverd", nonce="n1", qop="auth", algorithm=MD5',
        )
        await carrier.next("ACK")
        proven = await carrier.next("INVITE")
        assert 'username="trunk"' in proven.one("Proxy-Authorization")
        assert "nc=00000001" in proven.one("Proxy-Authorization")
        carrier.reply(proven, 200, "OK", carrier.sdp())
        await carrier.next("ACK")
        call.take(await alice.next(200))
        call.send("ACK")
        await until(lambda: ("expected", "outbound") in stage.ledger("event", "direction"))


async def test_the_next_address_of_a_line_is_tried_when_one_cannot_be_reached(site: Site) -> None:
    line = {"name": "carrier", "address": "carrier.test:5085", "transport": "tcp", "numbers": ["0*"]}
    async with stage_of(site, lines=[line]) as stage:
        alice = await stage.phone("alice")
        stage.controller._switchboard._resolver._hosts["carrier.test"] = ["127.0.0.1", "::1"]
        arrived: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.put_nowait(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        server = await asyncio.start_server(take, "::1", 5085)  # 127.0.0.1, the first address, refuses
        call = alice.start_call("0123")
        await call.invite(alice.sdp())
        invite = await asyncio.wait_for(arrived.get(), 5)
        assert invite.startswith(b"INVITE sip:0123@carrier.test:5085;transport=tcp SIP/2.0")
        refused = await alice.next(500)  # the carrier closed its connection, and there is no third address
        assert refused.status == 500
        server.close()


async def test_a_phone_that_comes_back_on_a_new_connection_keeps_its_call(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob", "tcp")
        call, _, _ = await talk(alice, bob)
        bob.close()
        await until(lambda: not stage.controller._locations.of("bob"))
        back = await stage.phone("bob", "tcp")
        assert await stage.running() == 1
        call.send("BYE")
        await alice.next(200)
        await back.next("BYE")


async def test_a_trusted_line_calls_in_without_digest_and_a_stranger_does_not(site: Site) -> None:
    line = {"name": "carrier", "address": "127.0.0.1:5080", "trusted_addresses": ["127.0.0.1"], "inbound_to": "102"}
    async with stage_of(site, lines=[line]) as stage:
        bob = await stage.phone("bob")
        carrier = await RawPhone("+4930999").open()
        call = carrier.start_call("whatever")
        call.send("INVITE", body=carrier.sdp())
        invite = await bob.next("INVITE")
        assert "<sip:+4930999@" in invite.one("From")
        alice = await stage.phone("alice")
        internal = alice.start_call("102")
        internal.send("INVITE", body=alice.sdp())
        await alice.next(407)


async def test_a_caller_whose_name_is_not_utf_8_is_recorded_like_any_other(site: Site) -> None:
    line = {"name": "carrier", "address": "127.0.0.1:5080", "trusted_addresses": ["127.0.0.1"], "inbound_to": "102"}
    async with stage_of(site, lines=[line]) as stage:
        bob = await stage.phone("bob")
        carrier = await RawPhone("+4930999").open()
        call = carrier.start_call("whatever")
        call.send("INVITE", 'P-Asserted-Identity: "M\udcfcller" <sip:+4930999@127.0.0.1>', body=carrier.sdp())
        bob.reply(await bob.next("INVITE"), 200, "OK", bob.sdp(50000))
        call.take(await carrier.next(200))
        call.send("ACK")
        await bob.next("ACK")
        await until(lambda: stage.recorder.entries)
        assert stage.recorder.entries[0]["calling"]["name"] == "Müller"
        assert await stage.running() == 1


async def test_a_reload_swaps_stations_and_policies_and_refuses_what_is_wrong(site: Site) -> None:
    async with stage_of(site) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        settings = controller_settings(site, initiation={"policies": []}, name="other")
        assert await stage.controller.reload(settings) == ["name"]
        await talk(alice, bob)
        await asyncio.sleep(0.1)
        assert stage.recorder.entries == []
        with pytest.raises(StartFault):
            await stage.controller.reload(controller_settings(site, initiation={"policies": [{"then": 5}]}))
        assert json.dumps((await stage.get("/control/calls"))["running"])
