"""Recordings are controlled while calls run: the control API, hand-written phones, the real media server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.controller.raw_phone import OutgoingCall, RawPhone
from tests.controller.site import Site, station
from tests.controller.stage import Stage, stage_of, talk
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(60)

UNRECORDED: dict[str, object] = {"initiation": {"policies": []}}


def overheard(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """The ng commands that the media server is sent from now on, pings left out."""
    media, commands = stage.controller._switchboard.media, list[Mapping[str, Any]]()
    request = media.request

    async def listening(server: str, command: Mapping[str, Any]) -> dict[str, Any]:
        commands.append(command)
        return await request(server, command)

    monkeypatch.setattr(media, "request", listening)
    return commands


def named(commands: list[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [each for each in commands if each["command"] == name]


class Control:
    """The one call that runs, seen through the control API."""

    def __init__(self, stage: Stage, call_id: str) -> None:
        self.stage, self.call_id = stage, call_id

    @classmethod
    async def of(cls, stage: Stage) -> Control:
        [row] = (await stage.get("/control/calls"))["running"]
        return cls(stage, row["call_id"])

    async def __call__(self, action: str, **body: object) -> tuple[int, Any]:
        return await self.stage.post(f"/control/calls/{self.call_id}/recording/{action}", body)

    async def row(self) -> Any:
        [row] = (await self.stage.get("/control/calls"))["running"]
        return row

    async def story(self) -> str:
        found = await self.stage.get(f"/control/calls/{self.call_id}")
        return "\n".join(line["text"] for line in found["story"])

    async def until(self, condition: Callable[[Any], object]) -> Any:
        """The row of the call, as soon as it is as wanted."""
        async with asyncio.timeout(10):
            while not condition(row := await self.row()):
                await asyncio.sleep(0.02)
        return row


async def recorded(stage: Stage) -> tuple[RawPhone, RawPhone, OutgoingCall, Control]:
    """A call that is up, and its recording runs."""
    alice, bob = await stage.phone("alice"), await stage.phone("bob")
    call, _, _ = await talk(alice, bob)
    await until(lambda: ("started",) in stage.ledger("event"))
    return alice, bob, call, await Control.of(stage)


def inform(phone: RawPhone, call: OutgoingCall, text: str, kind: str = "application/dtmf-relay") -> None:
    call.cseq += 1
    call.via = phone.via()
    headers = [*call.headers("INFO"), f"Content-Type: {kind}", f"Content-Length: {len(text)}"]
    phone._write("\r\n".join([f"INFO {call.target} SIP/2.0", *headers, "", text]).encode())


async def test_a_secure_pause_counts_down_where_it_can_be_seen_and_ends_by_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage_of(site, secure_pause={"seconds": 2, "maximum_seconds": 10, "leave": "omit"}) as stage:
        _, _, _, control = await recorded(stage)
        commands = overheard(stage, monkeypatch)
        status, answer = await control("pause", secure=True, by="alice")
        assert (status, answer["recording"]["state"]) == (200, "running")
        pause = answer["pause"]
        assert {key: pause[key] for key in ("secure", "mode", "by", "confirmed")} == {
            "secure": True, "mode": "omit", "by": "alice", "confirmed": True,
        }  # fmt: skip
        assert 1.5 < pause["remaining_s"] <= 2.0
        assert abs((datetime.fromisoformat(pause["since"]) - datetime.now().astimezone()).total_seconds()) < 1.5
        await control.until(lambda row: row["pause"]["remaining_s"] < 1.0)
        assert (await stage.get(f"/control/calls/{control.call_id}"))["pause"]["remaining_s"] < 1.0
        await control.until(lambda row: row["pause"] is None)
        [row] = (await stage.get("/control/calls"))["running"]
        assert row["recordings"][0]["state"] == "running"
        recording_id = row["recordings"][0]["recording_id"]
        assert commands == [
            {"call-id": control.call_id, "command": "pause recording", "pause-mode": "omit", "secure": True,
             "by": "alice"},
            {"call-id": control.call_id, "command": "start recording", "recording-id": recording_id, "segment": 1,
             "reason": "time-is-up"},
        ]  # fmt: skip


async def test_hold_codec_change_and_update_do_not_end_a_pause_and_resume_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage_of(site) as stage:
        alice, bob, call, control = await recorded(stage)
        assert (await control("pause", secure=True))[0] == 200
        commands = overheard(stage, monkeypatch)
        one_codec = alice.sdp(40000).replace("RTP/AVP 0 8", "RTP/AVP 8").replace("a=rtpmap:0 PCMU/8000\r\n", "")
        for method, offer in (
            ("INVITE", alice.sdp(40000, "sendonly")),
            ("INVITE", alice.sdp(40000)),
            ("INVITE", one_codec),
            ("UPDATE", alice.sdp(40002)),
        ):
            call.send(method, body=offer)
            reinvite = await bob.next("INVITE")
            bob.reply(reinvite, 200, "OK", bob.sdp(50000, "recvonly" if "sendonly" in offer else "sendrecv"))
            await bob.next("ACK")
            await alice.next(200)
            if method == "INVITE":
                call.send("ACK")
            pause = (await control.row())["pause"]
            assert (pause["secure"], pause["confirmed"]) == (True, True)
        assert len(named(commands, "answer")) == 4, "each offer went all the way"
        assert named(commands, "start recording") == []
        assert [each["event"] for each in named(commands, "record event")] == [{"event": "hold"}, {"event": "unhold"}]
        status, answer = await control("resume", by="bob")
        assert (status, answer["pause"]) == (200, None)
        [resumed] = named(commands, "start recording")
        assert resumed["by"] == "bob"


async def test_repeated_secure_pauses_end_at_the_maximum(site: Site) -> None:
    async with stage_of(site, secure_pause={"seconds": 2, "maximum_seconds": 3}) as stage:
        _, _, _, control = await recorded(stage)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (await control.row())["pause"] or loop.time() < began + 1:
            if loop.time() < began + 2.5:
                assert (await control("pause", secure=True))[0] == 200
            await asyncio.sleep(0.1)
        assert 2.8 < loop.time() - began < 3.8


async def test_a_digit_by_info_is_in_the_story_and_one_of_a_pause_is_kept_nowhere(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage_of(site) as stage:
        alice, bob, call, control = await recorded(stage)
        commands = overheard(stage, monkeypatch)

        async def press(digit: str, duration: int) -> None:
            inform(alice, call, f"Signal={digit}\r\nDuration={duration}\r\n")
            info = await bob.next("INFO")
            assert f"Signal={digit}" in info.body, "the other phone hears every digit"
            bob.reply(info, 200, "OK")
            await alice.next(200)

        with capture_logs() as logs:
            await press("1", 100)
            assert (await control("pause", secure=True))[0] == 200
            for digit in "4711":
                await press(digit, 98765)
            inform(alice, call, "4", "application/dtmf")
            bob.reply(await bob.next("INFO"), 200, "OK")
            await alice.next(200)
            inform(alice, call, "Signal=4\r\nDuration=98765\r\n" * 2)  # and one that is broken
            bob.reply(await bob.next("INFO"), 200, "OK")
            await alice.next(200)
            assert (await control("resume"))[0] == 200
            await press("9", 100)
            call.send("BYE")
            await alice.next(200)
            bob.reply(await bob.next("BYE"), 200, "OK")
            await until(lambda: ("ended", "call-ended") in stage.ledger("event", "reason"))
        told = [line for line in (await control.story()).splitlines() if "DTMF" in line]
        assert told == ["caller side: DTMF 1", "caller side: DTMF 9"]
        assert [(each["side"], each["event"]) for each in named(commands, "record event")] == [
            ("caller", {"event": "dtmf", "digits": "1"}),
            ("caller", {"event": "dtmf", "digits": "9"}),
        ]
        everything = f"{logs}{commands}{stage.recorder.entries}{await stage.get('/control/calls')}"
        assert "98765" not in everything
        assert "Signal" not in everything
        assert [path for path in site.directory.rglob("*") if path.is_file() and b"98765" in path.read_bytes()] == []


async def test_a_recording_on_demand_begins_with_what_was_said_before_and_is_announced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stations = [station("alice", "101"), {**station("bob", "102"), "pre_record_seconds": 20}]
    async with stage_of(site, **UNRECORDED, stations=stations, workgroups=[], pre_record_seconds=5) as stage:
        commands = overheard(stage, monkeypatch)
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call, _, _ = await talk(alice, bob)
        assert [each["look-back-ms"] for each in commands] == [20_000, 20_000]
        control = await Control.of(stage)
        await asyncio.sleep(1.0)
        status, answer = await control("start", by="alice")
        assert status == 200
        recording = answer["recording"]
        assert (recording["state"], recording["kind"], recording["initiation"]) == ("running", "on-demand", "alice")
        assert recording["uri"].endswith(recording["file"])
        [start] = named(commands, "start recording")
        assert 900 < start["pre-record-ms"] < 2000, "never from before the answer"
        assert await control("start") == (
            409, {"detail": f"recording {recording['recording_id']} runs already"},
        )  # fmt: skip
        assert (await control("stop", by="alice"))[0] == 200
        await until(lambda: ("ended", "stopped") in stage.ledger("event", "reason"))
        status, again = await control("start", by="bob", pre_record_seconds=0)
        assert status == 200
        assert again["recording"]["recording_id"] != recording["recording_id"]
        assert "pre-record-ms" not in named(commands, "start recording")[1]
        call.send("BYE")
        await alice.next(200)
        await until(lambda: len(stage.recorder.entries) == 6)
        assert stage.ledger("event", "kind", "initiation", "reason") == [
            ("expected", "on-demand", "alice", None), ("started", None, None, None), ("ended", None, None, "stopped"),
            ("expected", "on-demand", "bob", None), ("started", None, None, None), ("ended", None, None, "call-ended"),
        ]  # fmt: skip


async def test_how_a_policy_wants_it_kept_reaches_the_media_server_and_the_ledger(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = {"record": True, "format": "wav", "compression": "pcma"}
    async with stage_of(site, initiation={"policies": [{"name": "p", "then": then}]}) as stage:
        commands = overheard(stage, monkeypatch)
        await recorded(stage)
        [start] = named(commands, "start recording")
        assert (start["recording-format"], start["encrypt"], start["recording-mime-type"]) == (
            "wav", False, "audio/PCMA",
        )  # fmt: skip
        assert stage.ledger("format", "encrypt", "encoding")[0] == ("wav", False, "audio/PCMA")


async def test_the_recording_of_a_call_that_is_too_short_leaves_no_file_and_the_ledger_says_why(site: Site) -> None:
    async with stage_of(site, discard_calls_shorter_than_s=30) as stage:
        alice, _, call, _ = await recorded(stage)
        call.send("BYE")
        await alice.next(200)
        await until(lambda: ("ended", "too-short") in stage.ledger("event", "reason"))
        await until(lambda: not [path for path in (site.directory / "spool").rglob("*") if path.is_file()])
        [ended] = (await stage.get("/control/calls"))["ended"]
        assert ended["summary"]["recording_outcome"] == "too short"


async def test_what_cannot_be_done_is_answered_with_the_reason(site: Site) -> None:
    async with stage_of(site, **UNRECORDED) as stage:
        nowhere = "/control/calls/no-such-call/recording"
        assert await stage.post(f"{nowhere}/start") == (404, {"detail": "no call with the id no-such-call runs"})
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        call = alice.start_call("102")
        await call.invite(alice.sdp())
        await bob.next("INVITE")
        control = await Control.of(stage)
        assert await control("start") == (409, {"detail": "the call is not answered yet"})
        assert await control("pause", secure=True) == (409, {"detail": "the call is not answered yet"})
        assert await control("stop") == (409, {"detail": "no recording runs"})
        assert await control("resume") == (409, {"detail": "there is no pause to end"})
        assert await control("rewind") == (
            404,
            {"detail": "there is no rewind; there are start, snip, stop, pause, resume"},
        )


WRONG_BODIES = (
    b"{", b"[]", b'"start"', b"[" * 3000, b"\xff", b"{" + b" " * 5000 + b"}", b'{"unknown": 1}', b'{"secure": 1}',
    b'{"by": ""}', b'{"by": "a\\nb"}', b'{"by": 7}', b'{"seconds": -1}', b'{"seconds": "7"}', b'{"mode": "mute"}',
)  # fmt: skip


async def test_a_body_that_cannot_be_understood_is_answered_400_and_changes_nothing(site: Site) -> None:
    async with stage_of(site) as stage, httpx.AsyncClient(trust_env=False) as client:
        _, _, _, control = await recorded(stage)
        url = f"http://127.0.0.1:9501/control/calls/{control.call_id}/recording/pause"
        assert (await client.post(url)).status_code == 401
        for body in WRONG_BODIES:
            token = {"Authorization": f"Bearer {site.token('control')}"}
            answer = await client.post(url, content=body, headers=token)
            assert (answer.status_code, bool(answer.json()["detail"])) == (400, True), body
        assert (await control.row())["pause"] is None


async def test_a_media_server_that_does_not_confirm_a_pause_is_an_error_that_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage_of(site) as stage:
        _, _, _, control = await recorded(stage)

        async def refusing(server: str, command: Mapping[str, Any]) -> dict[str, Any]:
            return {"result": "error", "error-reason": "out of order"}

        media = stage.controller._switchboard.media
        with monkeypatch.context() as broken:
            broken.setattr(media, "request", refusing)
            status, answer = await control("pause", secure=True)
        assert (status, "out of order" in answer["detail"]) == (502, True)
        assert (await control.row())["pause"]["confirmed"] is False
        assert (await control("pause", secure=True))[1]["pause"]["confirmed"] is True


async def test_who_waits_for_the_media_server_hears_when_the_call_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage_of(site) as stage:
        alice, _, call, control = await recorded(stage)
        request, asked = stage.controller._switchboard.media.request, asyncio.Event()

        async def slow(server: str, command: Mapping[str, Any]) -> dict[str, Any]:
            if command["command"] == "pause recording":
                asked.set()
                await asyncio.sleep(1)
            return await request(server, command)

        monkeypatch.setattr(stage.controller._switchboard.media, "request", slow)
        pausing = asyncio.create_task(control("pause", secure=True))
        await asked.wait()
        call.send("BYE")
        await alice.next(200)
        assert await pausing == (502, {"detail": "the call has ended"})


async def test_a_snippet_is_a_recording_of_its_own_kind_in_the_ledger_as_the_site_encrypts_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage_of(site, **UNRECORDED, encrypt_snippets=False) as stage:
        alice, bob = await stage.phone("alice"), await stage.phone("bob")
        await talk(alice, bob)
        control = await Control.of(stage)
        status, answer = await control("snip", by="eve")
        assert (status, answer["recording"]["kind"], answer["recording"]["initiation"]) == (200, "snippet", "eve")
        again = await control("snip")
        assert again == (409, {"detail": f"recording {answer['recording']['recording_id']} runs already"})
        assert (await control("stop"))[0] == 200
        await until(lambda: len(stage.recorder.entries) == 3)
        assert stage.ledger("event", "kind", "format", "encrypt")[0] == ("expected", "snippet", "sasf", False)
