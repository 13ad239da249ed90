"""The media server as its neighbours see it: ng over a WebSocket, RTP over UDP, recordings over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserverd.media.identity import ensure_identity
from mediaserverd.media.parameters import Level, Parameters
from mediaserverd.media.server import MediaServer
from mediaserverd.media.settings import MediaSettings
from mediaserverd.process.role import StartFault
from mediaserverd.protocol import ng
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.verify import verify
from tests.kit.g711 import PCMA, PCMU
from tests.kit.judge import judge, judge_stereo
from tests.kit.speech import speech
from tests.media.calls import (
    RECIPIENT,
    Controller,
    Phone,
    controller,
    endpoint,
    fetcher,
    finished,
    heard,
    phones,
    recorded,
    running,
    set_up,
    settings,
)

SECONDS = 3
CALLER, CALLED = speech(1, SECONDS), speech(2, SECONDS)


@dataclass(frozen=True, slots=True)
class Site:
    settings: MediaSettings
    server: MediaServer
    link: Controller
    store: httpx.AsyncClient
    caller: Phone
    called: Phone

    async def speak(self, to_caller: str, to_called: str) -> None:
        """Both at once: the caller in mu-law, the called party in A-law."""
        await asyncio.gather(
            self.caller.speak(to_caller, PCMU.encode(CALLER)),
            self.called.speak(to_called, PCMA.encode(CALLED), payload_type=8),
        )


@pytest.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    chosen = settings(tmp_path, **getattr(request, "param", {}))
    async with (
        running(chosen) as server,
        controller(chosen, server.ng_port) as link,
        fetcher(chosen, server.retrieval_port) as store,
        phones() as (caller, called),
    ):
        yield Site(chosen, server, link, store, caller, called)


def spoken_by(phone: Phone, payload_type: int = 0) -> bytes:
    return b"".join(phone.heard[number] for number in sorted(phone.heard))


async def test_a_call_is_relayed_recorded_fetched_and_deleted(site: Site) -> None:
    to_caller, to_called = await set_up(site.link, "call-1", site.caller, site.called)
    started = await site.link.ok("start recording", call_id="call-1", recording_id="ab" * 16, metadata={"Case": "7"})
    recording = started["recording"]
    assert recording == {
        "id": "ab" * 16,
        "segment": 1,
        "file": "ab" * 16 + "-1.sasf",
        "uri": f"https://127.0.0.1:{site.server.retrieval_port}/recordings/{'ab' * 16}-1.sasf",
    }
    assert (await site.store.get(recording["uri"])).status_code == 409
    await site.speak(to_caller, to_called)
    assert spoken_by(site.called) == PCMU.encode(CALLER)
    assert spoken_by(site.caller) == PCMA.encode(CALLED)
    ended = await site.link.ok("delete", call_id="call-1", from_tag="caller")
    assert ended["recordings"] == [recording]
    assert ended["totals"]["RTP"]["packets"] == 2 * SECONDS * 50
    report = await finished(site.store, recording["file"])
    assert (report["state"], report["reason"], report["call_id"]) == ("finished", "call-ended", "call-1")
    assert (report["media_type"], report["encrypted"]) == ("application/vnd.mediaserverd.sasf", True)
    assert (report["quality"]["degraded"], report["quality"]["tap_overflow"]) == (False, 0)
    for side in report["quality"]["sides"]:
        assert (side["packets"], side["lost"], side["duplicates"], side["ssrc_changes"]) == (SECONDS * 50, 0, 0, 0)
        assert 0 < side["jitter_ms"] < 100
    audio = await site.store.get(recording["uri"])
    digest = base64.b64encode(hashlib.sha256(audio.content).digest()).decode()
    assert audio.headers["repr-digest"] == f"sha-256=:{digest}:"
    reader = SasfReader(audio.content, [RECIPIENT])
    assert reader.contents().meta["metadata"] == {"Case": "7"}
    assert verify(reader, {ensure_identity(site.settings.identity_file).public_key().public_bytes_raw()}).ok
    verdict = judge_stereo(CALLER, CALLED, heard(reader))
    assert verdict.faults(seconds=SECONDS - 1, correlation=0.98, skew_ms=10) == []
    assert (await site.store.delete(recording["uri"])).status_code == 204
    assert (await site.store.get("/recordings")).json()["recordings"] == []


async def test_the_called_party_stays_on_the_right_channel_when_it_offers(site: Site) -> None:
    to_caller, to_called = await set_up(site.link, "call-1", site.caller, site.called)
    await site.link.ok("start recording", call_id="call-1")
    again = await site.link.ok("offer", call_id="call-1", from_tag="called", to_tag="caller", sdp=site.called.sdp())
    back = await site.link.ok("answer", call_id="call-1", from_tag="called", to_tag="caller", sdp=site.caller.sdp())
    assert endpoint(again["sdp"]) == endpoint(to_caller)
    assert endpoint(back["sdp"]) == endpoint(to_called)
    await site.speak(to_caller, to_called)
    [recording] = (await site.link.ok("delete", call_id="call-1"))["recordings"]
    await finished(site.store, recording["file"])
    assert judge_stereo(CALLER, CALLED, heard(await recorded(site.store, recording["file"]))).faults(seconds=2) == []


async def test_an_offer_from_the_called_side_first_is_the_right_channel(site: Site) -> None:
    offer = await site.link.ok("offer", call_id="late", from_tag="called", sdp=site.called.sdp(), record_call="yes")
    assert len(offer["recordings"]) == 1
    answer = await site.link.ok("answer", call_id="late", from_tag="called", to_tag="caller", sdp=site.caller.sdp())
    await site.speak(offer["sdp"], answer["sdp"])
    [recording] = (await site.link.ok("delete", call_id="late"))["recordings"]
    report = await finished(site.store, recording["file"])
    assert report["quality"]["degraded"] is False
    assert judge_stereo(CALLER, CALLED, heard(await recorded(site.store, recording["file"]))).faults(seconds=2) == []


async def test_a_paused_span_is_silent_and_an_offer_does_not_resume_it(site: Site) -> None:
    to_caller, to_called = await set_up(site.link, "call-1", site.caller, site.called)
    await site.link.ok("start recording", call_id="call-1")
    speaking = asyncio.create_task(site.speak(to_caller, to_called))
    await asyncio.sleep(1)
    await site.link.ok("pause recording", call_id="call-1")
    await site.link.ok(
        "offer", call_id="call-1", from_tag="caller", to_tag="called", sdp=site.caller.sdp(), record_call="yes"
    )
    await asyncio.sleep(1)
    await site.link.ok("start recording", call_id="call-1")
    await speaking
    stopped = await site.link.ok("stop recording", call_id="call-1")
    report = await finished(site.store, stopped["recording"]["file"])
    assert report["reason"] == "stopped"
    left, right = heard(await recorded(site.store, stopped["recording"]["file"]))
    for channel in (left, right):
        assert not channel[int(1.1 * 8000) : int(1.9 * 8000)].any()
        assert channel[: int(0.9 * 8000)].any()
        assert channel[int(2.2 * 8000) :].any()


async def test_starting_twice_is_one_recording_and_another_id_is_refused(site: Site) -> None:
    await set_up(site.link, "call-1", site.caller, site.called)
    first = await site.link.ok("start recording", call_id="call-1")
    assert await site.link.ok("start recording", call_id="call-1") == first
    other = await site.link.ask("start recording", call_id="call-1", recording_id="cd" * 16)
    assert other["result"] == "error"
    await site.link.ok("stop recording", call_id="call-1")
    same_name = await site.link.ask("start recording", call_id="call-1", recording_id=first["recording"]["id"])
    assert same_name["error-reason"].endswith("exists already")
    second = await site.link.ok("start recording", call_id="call-1", recording_id=first["recording"]["id"], segment=2)
    assert second["recording"]["file"] == first["recording"]["id"] + "-2.sasf"


@pytest.mark.parametrize(
    "keys",
    [
        {"recording_id": "../../etc/passwd"},
        {"recording_id": "AB" * 16},
        {"segment": 0},
        {"segment": 10**9},
        {"recording_mime_type": "audio/flac"},
        {"recording_format": "mp3"},
        {"recording_format": "wav", "encrypt": True},
        {"recording_format": "wav", "recording_mime_type": "audio/opus"},
        {"encrypt": "perhaps"},
        {"metadata": "x" * 40_000},
    ],
)
async def test_a_recording_that_cannot_be_is_refused_in_words(site: Site, keys: dict[str, Any]) -> None:
    await set_up(site.link, "call-1", site.caller, site.called)
    reply = await site.link.ask("start recording", call_id="call-1", **keys)
    assert reply["error-reason"].startswith("recording refused: ")
    assert (await site.store.get("/recordings")).json()["recordings"] == []


@pytest.mark.parametrize("site", [{"disk_floor_mib": 1 << 40}], indirect=True)
async def test_below_the_disk_floor_calls_go_on_and_recordings_are_refused(site: Site) -> None:
    to_caller, to_called = await set_up(site.link, "call-1", site.caller, site.called)
    reply = await site.link.ask("start recording", call_id="call-1")
    assert reply == {"result": "error", "error-reason": "recording refused: disk floor"}
    offer = await site.link.ok(
        "offer", call_id="call-1", from_tag="caller", to_tag="called", sdp=site.caller.sdp(), record_call="yes"
    )
    assert offer["warning"] == "recording refused: disk floor"
    await site.speak(to_caller, to_called)
    assert spoken_by(site.called) == PCMU.encode(CALLER)


async def test_every_missing_or_wrong_key_has_its_text(site: Site) -> None:
    body = site.caller.sdp()
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("offer", {}, "No call-id in message"),
        ("offer", {"call_id": "x"}, "No from-tag in message"),
        ("offer", {"call_id": "x", "from_tag": "a"}, "No SDP body in message"),
        ("offer", {"call_id": "x", "from_tag": "a", "sdp": "nonsense"}, "Failed to parse SDP"),
        ("offer", {"call_id": "x", "from_tag": "a", "sdp": body.split("m=")[0]}, "Incomplete SDP specification"),
        (
            "offer",
            {"call_id": "x", "from_tag": "a", "sdp": body.replace("127.0.0.1", "h.example")},
            "Failed to parse SDP",
        ),
        ("answer", {"call_id": "x", "from_tag": "a", "sdp": body}, "No to-tag in message"),
        ("answer", {"call_id": "x", "from_tag": "a", "to_tag": "b", "sdp": body}, "Unknown call-id"),
        ("query", {"call_id": "x"}, "Unknown call-id"),
        ("start recording", {"call_id": "x"}, "Unknown call-id"),
        ("stop recording", {}, "No call-id in message"),
        ("delete", {"call_id": "x", "flags": ["fatal"]}, "Call-ID not found or tags didn't match"),
        ("publish", {"call_id": "x"}, "Unrecognized command"),
        ("frobnicate", {}, "Unrecognized command"),
    ]
    for command, keys, text in cases:
        assert await site.link.ask(command, **keys) == {"result": "error", "error-reason": text}, command
    assert (await site.link.ask("delete", call_id="x"))["warning"] == "Call-ID not found or tags didn't match"
    assert (await site.link.ok("list"))["calls"] == []  # a refused offer leaves no call behind


async def test_a_third_party_cannot_enter_a_call_of_two(site: Site) -> None:
    await set_up(site.link, "call-1", site.caller, site.called)
    reply = await site.link.ask("offer", call_id="call-1", from_tag="stranger", sdp=site.caller.sdp())
    assert reply["error-reason"] == "Invalid dialogue association"
    assert (await site.link.ok("list"))["calls"] == ["call-1"]


@pytest.mark.parametrize("site", [{"session_limit": 2}], indirect=True)
async def test_the_session_limit_is_told_in_the_words_of_the_client(site: Site) -> None:
    for number in range(2):
        await site.link.ok("offer", call_id=f"call-{number}", from_tag="caller", sdp=site.caller.sdp())
    keys = {"call_id": "call-2", "from_tag": "caller", "sdp": site.caller.sdp()}
    old, new = await site.link.ask("offer", **keys), await site.link.ask("offer", **keys, supports=["load limit"])
    assert old == {"result": "error", "error-reason": "Parallel session limit reached"}
    assert new == {"result": "load limit", "message": "Parallel session limit reached"}


@pytest.mark.parametrize("site", [{"rtp_ports": "30000-30005"}], indirect=True)
async def test_ports_run_out_and_come_back(site: Site) -> None:
    keys = {"from_tag": "caller", "sdp": site.caller.sdp()}
    await site.link.ok("offer", call_id="call-1", **keys)
    assert (await site.link.ask("offer", call_id="call-2", **keys))["error-reason"] == "Ran out of ports"
    await site.link.ok("delete", call_id="call-1")
    await site.link.ok("offer", call_id="call-2", **keys)


@pytest.mark.parametrize("site", [{"rtp_ports": "30000-30009"}], indirect=True)
async def test_a_port_of_another_program_is_passed_over(site: Site) -> None:
    others = [
        await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", port))
        for port in (30000, 30003)  # an RTP port and an RTCP port
    ]
    offer = await site.link.ok("offer", call_id="call-1", from_tag="caller", sdp=site.caller.sdp())
    assert endpoint(offer["sdp"])[1] in (30004, 30006, 30008)
    for transport, _ in others:
        transport.close()


async def test_query_list_statistics_and_ping_tell_what_proxies_read(site: Site) -> None:
    to_caller, to_called = await set_up(site.link, "call-1", site.caller, site.called)
    await site.link.ok("start recording", call_id="call-1")
    await site.speak(to_caller, to_called)
    query = await site.link.ok("query", call_id="call-1")
    assert query["totals"]["RTP"] == {"packets": 300, "bytes": 300 * 172, "errors": 0}
    assert set(query["tags"]) == {"caller", "called"}
    tag = query["tags"]["caller"]
    assert tag["in dialogue with"] == "called"
    stream = tag["medias"][0]["streams"][0]
    assert stream["SSRC"] == tag["medias"][0]["ingress SSRCs"][0]["SSRC"] == site.caller.port
    assert stream["endpoint"] == {"family": "IPv4", "address": "127.0.0.1", "port": site.caller.port}
    assert query["SSRC"][str(site.caller.port)]["packets"] == 150
    assert query["recording"]["call recording"] == 1
    assert (await site.link.ok("list"))["calls"] == ["call-1"]
    assert (await site.link.ok("list", limit=0))["calls"] == []
    statistics = (await site.link.ok("statistics"))["statistics"]
    assert statistics["currentstatistics"]["sessionstotal"] == 1
    assert statistics["totalstatistics"]["relayedpackets"] == 300
    load = (await site.link.ask("ping"))["load"]
    assert (load["sessions"], load["max-sessions"], load["draining"]) == (1, 4000, 0)
    assert load["disk-free-bytes"] > 0


async def test_hold_and_resume_keep_the_ports(site: Site) -> None:
    to_caller, to_called = await set_up(site.link, "call-1", site.caller, site.called)
    for body in (site.caller.sdp(address="0.0.0.0"), site.caller.sdp(direction="sendonly"), site.caller.sdp()):
        offer = await site.link.ok("offer", call_id="call-1", from_tag="caller", to_tag="called", sdp=body)
        assert endpoint(offer["sdp"])[1] == endpoint(to_called)[1]
    assert "sendonly" not in offer["sdp"]
    await site.speak(to_caller, to_called)
    assert spoken_by(site.caller) == PCMA.encode(CALLED)


@pytest.mark.parametrize("site", [{"media_timeout_s": 1.0}], indirect=True)
async def test_a_call_that_falls_silent_is_told_and_ended_and_its_recording_sealed(site: Site) -> None:
    await set_up(site.link, "call-1", site.caller, site.called)
    recording = (await site.link.ok("start recording", call_id="call-1"))["recording"]
    told = await site.link.notification()
    assert (told["notification"], told["call-id"]) == ("media-timeout", "call-1")
    report = await finished(site.store, recording["file"], timeout_s=15)
    assert report["reason"] == "media-timeout"
    assert (await site.link.ok("list"))["calls"] == []


@pytest.mark.parametrize("site", [{"media_timeout_s": 0.5}], indirect=True)
async def test_a_held_or_unanswered_call_may_be_silent(site: Site) -> None:
    await set_up(site.link, "held", site.caller, site.called)
    body = site.caller.sdp(direction="inactive")
    await site.link.ok("offer", call_id="held", from_tag="caller", to_tag="called", sdp=body)
    await site.link.ok("offer", call_id="ringing", from_tag="caller", sdp=site.caller.sdp())
    with pytest.raises(TimeoutError):
        await site.link.notification(timeout_s=3)
    assert sorted((await site.link.ok("list"))["calls"]) == ["held", "ringing"]


async def test_a_proxy_speaks_bencode_over_udp(site: Site) -> None:
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Proxy(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _: object) -> None:
            answers.put_nowait(data)

    transport, _ = await loop.create_datagram_endpoint(Proxy, remote_addr=("127.0.0.1", site.server.ng_port))
    message = (
        b"7_1 d8:supportsl10:load limite3:sdp%d:%b7:call id2:k18:from-tag1:a5:flagsl11:record calle7:command5:offere"
    )
    body = site.caller.sdp().encode()
    transport.sendto(message % (len(body), body))
    reply = ng.decode(await asyncio.wait_for(answers.get(), 5))
    assert (reply.cookie, reply.encoding, reply.body["result"]) == ("7_1", ng.Encoding.BENCODE, "ok")
    assert isinstance(reply.body["recordings"], list)
    transport.sendto(b"7_2 d7:command4:pinge")
    assert ng.decode(await asyncio.wait_for(answers.get(), 5)).body["result"] == "pong"
    transport.close()


async def test_phones_of_two_address_families_hear_each_other(tmp_path: Path) -> None:
    chosen = settings(tmp_path, rtp_address6="::1", rtp_advertised6="::1")
    async with running(chosen) as server, controller(chosen, server.ng_port) as link:
        old, new = await Phone("127.0.0.1").open(), await Phone("::1").open()
        keys = {"call_id": "c", "from_tag": "caller"}
        offer = await link.ok("offer", **keys, sdp=old.sdp(), address_family="IP6")
        answer = await link.ok("answer", **keys, to_tag="called", sdp=new.sdp())
        assert (endpoint(offer["sdp"])[0], endpoint(answer["sdp"])[0]) == ("::1", "127.0.0.1")
        await asyncio.gather(
            old.speak(answer["sdp"], PCMU.encode(CALLER[:8000])), new.speak(offer["sdp"], PCMU.encode(CALLED[:8000]))
        )
        await asyncio.sleep(0.05)
        assert spoken_by(new) == PCMU.encode(CALLER[:8000])
        assert spoken_by(old) == PCMU.encode(CALLED[:8000])
        old.close()
        new.close()


async def test_draining_takes_nothing_new_and_waits_for_what_runs(site: Site) -> None:
    await set_up(site.link, "call-1", site.caller, site.called)
    recording = (await site.link.ok("start recording", call_id="call-1"))["recording"]
    drained = asyncio.create_task(site.server.drain())
    await asyncio.sleep(0.05)
    refused = await site.link.ask("offer", call_id="call-2", from_tag="caller", sdp=site.caller.sdp())
    assert refused["error-reason"] == "Load limit exceeded"
    assert (await site.link.ask("ping"))["load"]["draining"] == 1
    assert not drained.done()
    await site.link.ok("delete", call_id="call-1")
    await asyncio.wait_for(drained, 10)
    assert (await site.store.get(recording["uri"])).status_code == 200


async def test_a_reload_takes_limits_and_names_what_needs_a_restart(site: Site) -> None:
    parameters = Parameters(rtp_advertised="127.0.0.1", session_limit=1, disk_floor_mib=1 << 40)
    changed = site.settings.model_copy(update={"own": Level(parameters=parameters), "workers": 2})
    assert await site.server.reload(changed) == ["workers"]
    await set_up(site.link, "call-1", site.caller, site.called)
    assert (await site.link.ask("ping"))["load"]["max-sessions"] == 1
    assert (await site.link.ask("start recording", call_id="call-1"))["error-reason"] == "recording refused: disk floor"


async def test_stopping_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    async with running(chosen) as server, controller(chosen, server.ng_port) as link, phones() as (caller, called):
        to_caller, _ = await set_up(link, "call-1", caller, called)
        recording = (await link.ok("start recording", call_id="call-1"))["recording"]
        await caller.speak(to_caller, PCMU.encode(CALLER))
    async with running(chosen) as server, fetcher(chosen, server.retrieval_port) as store:
        report = await finished(store, recording["file"])
        assert (report["state"], report["reason"]) == ("finished", "media-server-stopped")
        left, _ = heard(await recorded(store, recording["file"]))
        assert judge(CALLER, left).faults(seconds=SECONDS - 1) == []


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.media.calls import running, settings

async def main():
    async with running(settings(Path(sys.argv[1]))) as server:
        print(server.ng_port, server.retrieval_port, sep="\\n", flush=True)
        await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_a_disk_that_runs_full_costs_the_recording_and_not_the_call(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    (tmp_path / "spool").mkdir()
    # A disk of its own, nearly full, that only the child sees.
    mount = 'mount -t tmpfs -o size=1m none "$1/spool" && head -c 1020000 /dev/zero > "$1/spool/ballast"'
    child = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "sh", "-c", mount + ' && exec "$2" "$0" "$1"', script, tmp_path, sys.executable,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert child.stdout is not None
    chosen = settings(tmp_path)
    ports = [int(await asyncio.wait_for(next_number(child.stdout), 30)) for _ in range(2)]
    async with (
        phones() as (caller, called),
        controller(chosen, ports[0]) as link,
        fetcher(chosen, ports[1]) as store,
    ):
        to_caller, to_called = await set_up(link, "call-1", caller, called)
        recording = (await link.ok("start recording", call_id="call-1"))["recording"]
        await asyncio.gather(caller.speak(to_caller, PCMU.encode(CALLER)), called.speak(to_called, PCMU.encode(CALLED)))
        told = await link.notification()
        assert (told["notification"], told["call-id"], told["reason"]) == ("recording-failed", "call-1", "disk-full")
        report = await finished(store, recording["file"])
        assert report["state"] == "failed"
        assert spoken_by(called) == PCMU.encode(CALLER)
        listed = await link.ok("list")
        assert listed["calls"] == ["call-1"]
        assert listed["notifications"] == [told], "for a controller that did not hear it"
        await link.ok("delete", call_id="call-1")
    child.kill()
    await child.wait()


async def test_after_kill_9_all_but_the_last_second_is_recovered(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = await asyncio.create_subprocess_exec(
        sys.executable, script, tmp_path, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert child.stdout is not None
    chosen = settings(tmp_path)
    port = int(await asyncio.wait_for(next_number(child.stdout), 30))
    async with phones() as (caller, called), controller(chosen, port) as link:
        to_caller, _ = await set_up(link, "call-1", caller, called)
        recording = (await link.ok("start recording", call_id="call-1", metadata={"Case": "7"}))["recording"]
        await caller.speak(to_caller, PCMU.encode(CALLER))
        offspring = children_of(child.pid)
        assert offspring  # the sealing process, at least
        child.send_signal(signal.SIGKILL)
        await child.wait()
    await all_gone(offspring)
    began = time.monotonic()
    async with running(chosen) as server:
        assert time.monotonic() - began < 3
        async with fetcher(chosen, server.retrieval_port) as store:
            report = await finished(store, recording["file"])
            assert (report["state"], report["reason"], report["quality"]) == ("finished", "recovered", None)
            assert report["duration_ms"] > (SECONDS - 1) * 1000
            reader = await recorded(store, recording["file"])
            assert reader.contents().meta["metadata"] == {"Case": "7"}
            left, _ = heard(reader)
            assert judge(CALLER[: (SECONDS - 1) * 8000], left).faults(seconds=SECONDS - 1) == []


def children_of(pid: int) -> list[str]:
    """Of any of its threads."""
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def alive(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


async def all_gone(pids: list[str]) -> None:
    deadline = time.monotonic() + 5
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"orphans stay: {left}"
        await asyncio.sleep(0.05)


async def next_number(stream: asyncio.StreamReader) -> str:
    """The child's log goes the same way; each port stands on a line of its own."""
    while line := await stream.readline():
        if line.strip().isdigit():
            return line.decode()
    raise AssertionError("the child ended before it listened")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rtp_advertised": ""}, "set media.rtp_advertised"),
        ({"rtp_address": "192.0.2.77"}, "rtp_address 192.0.2.77 cannot be used on this host"),
        ({"rtp_advertised": "::1"}, "family"),
        ({"spool_directory": "/proc/nowhere"}, "spool directory"),
        ({"private_key": "/dev/null"}, "private key"),
        ({"ng_udp_address": "0.0.0.0"}, "private address"),
        ({"ng_udp_address": "8.8.8.8"}, "private address"),
    ],
)
async def test_a_fault_at_start_is_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    server = MediaServer(settings(tmp_path, **changes))
    with pytest.raises(StartFault, match=sentence):
        await server.start()


async def test_status_tells_numbers_and_readiness(site: Site) -> None:
    await set_up(site.link, "call-1", site.caller, site.called)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.server.status_port}") as status:
        assert (await status.get("/health/ready")).status_code == 200
        metrics = (await status.get("/metrics")).text
        assert "mediaserverd_media_sessions 1.0" in metrics
        assert "mediaserverd_media_ports_used 2.0" in metrics
        drained = asyncio.create_task(site.server.drain())
        await asyncio.sleep(0.05)
        answer = await status.get("/health/ready")
        assert (answer.status_code, "sessions" in json.loads(answer.text)["missing"]) == (503, True)
        drained.cancel()
