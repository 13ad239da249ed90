"""Kamailio's own rtpengine module controls our media servers: what it sends is understood, what it reads is there."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import yaml

from tests.e2e.crowd import Conversation, converse
from tests.kit.daemon import HOST, Daemon
from tests.kit.doors import Json, Retrieval, Status
from tests.kit.judge import CORRELATION_LIMIT, judge, judge_stereo
from tests.kit.kamailio import Kamailio
from tests.kit.phone import Phone
from tests.kit.speech import RATE, silence
from tests.kit.wav import read_wav

ROOT = Path(__file__).parents[2]
FIRST, SECOND = 0, 1  # of the media servers; the first has room for one call
EDGE_S = 0.3  # a request, a packet and a fade on each side of a change
SILENT_RMS = 20.0  # of 16 bit samples; quiet speech is above 400


@asynccontextmanager
async def media_server(directory: Path, number: int, **changes: object) -> AsyncIterator[Daemon]:
    """The role ``media`` alone, as ``config/media-alone.yaml`` has it."""
    ports = {"ng_port": 2223 + number, "retrieval_port": 8102 + number, "status_port": 9502 + 10 * number}
    low = 16384 + 4000 * number
    given = yaml.safe_load((ROOT / "config" / "media-alone.yaml").read_text())["media"]
    media = {**given, **ports, "rtp_ports": f"{low}-{low + 2000}", **changes}
    daemon = await Daemon.start(directory, {"stations": [], "media": media}, role="media", ready=False)
    async with daemon:
        await daemon.status.close()
        daemon.status = Status({"media": ports["status_port"]})
        await daemon.ready()
        authority, token = daemon.authority, daemon.secret("retrieval")
        daemon.retrieval = Retrieval(f"https://{HOST}:{ports['retrieval_port']}", authority, token)
        yield daemon


async def finished(media: Daemon) -> Json:
    """The only recording of a media server."""
    async with asyncio.timeout(15):
        while True:
            found = await media.retrieval.recordings()
            if found and all(each["state"] in ("finished", "failed") for each in found):
                [report] = found
                return report
            await asyncio.sleep(0.1)


async def audio_of(media: Daemon) -> bytes:
    report = await finished(media)
    assert report["state"] == "finished", report["reason"]
    return await media.retrieval.file(f"/recordings/{report['file']}")


async def until_metric(media: Daemon, name: str, value: float) -> None:
    async with asyncio.timeout(10):
        while await media.status.metric("media", name) < value:
            await asyncio.sleep(0.1)


async def record_a_while(made: Conversation) -> list[float]:
    """On, pause, on, off; returns when each was, in seconds of what the caller says. Off twice is no fault."""
    at = []
    for wish, wait_s in (("on", 2.6), ("pause", 2.2), ("on", 2.6), ("off", 0.5)):
        assert (await made.caller.inform(("Record", wish))).status == 200
        at.append(spoken_s(made))
        await asyncio.sleep(wait_s)
    assert (await made.called.inform(("Record", "off"))).status == 200
    return at


async def hold_and_resume(made: Conversation) -> None:
    for call in (made.called, made.caller):
        for direction in ("sendonly", "sendrecv"):
            await call.renegotiate(direction)
            await asyncio.sleep(0.2)  # for the ACK, before the other one asks


def spoken_s(made: Conversation) -> float:
    assert made.caller.voice.speaks_from is not None
    return time.monotonic() - made.caller.voice.speaks_from


async def judge_parts(media: Daemon, made: Conversation, at: list[float]) -> None:
    """The recording begins with the first ``on`` and ends with ``off``; of the pause there is silence."""
    begin, pause, resume, end = at
    for voice, channel in zip(made.voices, read_wav(await audio_of(media)), strict=True):
        assert abs(len(channel) / RATE - (end - begin)) < 0.5
        in_place = np.concatenate((silence(begin), channel, silence(10)))
        verdict = judge(voice, in_place)
        assert abs(verdict.lag_ms) < 500
        inside = [second for part in ((begin, pause), (resume, end)) for second in whole_seconds(*part)]
        assert len(inside) >= 2
        assert min(verdict.correlations[second] for second in inside) > CORRELATION_LIMIT, verdict
        silent = in_place[int((pause + EDGE_S) * RATE) : int((resume - EDGE_S) * RATE)]
        assert np.sqrt(np.mean(silent.astype(float) ** 2)) < SILENT_RMS


def whole_seconds(begin_s: float, end_s: float) -> range:
    return range(math.ceil(begin_s + EDGE_S), int(end_s - EDGE_S))


def heard_faults(made: Conversation, seconds: int) -> list[str]:
    """What each party says must come to the other's ear, all of it."""
    told = (
        judge(made.caller_says, made.called.voice.ear.samples()),
        judge(made.called_says, made.caller.voice.ear.samples()),
    )
    return [fault for verdict in told for fault in verdict.faults(seconds=seconds)]


async def test_kamailio_calls_records_pauses_reads_statistics_and_passes_over_media_servers_that_are_full_or_silent(
    tmp_path: Path,
) -> None:
    async with (
        media_server(tmp_path / "first", FIRST, session_limit=1) as first,
        media_server(tmp_path / "second", SECOND) as second,
        await Kamailio.start(tmp_path / "proxy", [(f"{HOST}:2223", 1000), (f"{HOST}:2224", 1)]) as proxy,
        await Phone.open(proxy.account("100")) as alice,
        await Phone.open(proxy.account("101")) as bob,
        await Phone.open(proxy.account("900")) as carol,
    ):
        for phone in (alice, bob, carol):
            await phone.register()

        on_demand = await converse(alice, bob, "101", 1)
        from_the_start = await converse(alice, carol, "900", 2)
        assert [await first.sessions(), await second.sessions()] == [1, 1]
        refused = 'mediaserverd_media_ng_commands_total{command="offer",result="load limit"}'
        assert (await first.status.metrics("media"))[refused] == 1
        spans, _ = await asyncio.gather(record_a_while(on_demand), hold_and_resume(from_the_start))
        await asyncio.gather(on_demand.caller.hang_up(), from_the_start.called.hang_up())
        for made in (on_demand, from_the_start):
            assert heard_faults(made, 6) == []
        assert await first.sessions() + await second.sessions() == 0
        # What was read before the end was all that was relayed, but for the packets that were on their way.
        counted = await proxy.wait_for(r"media of \S+: RTP: (\d+) bytes, (\d+) packets, 0 errors; RTCP: 0 bytes")
        sent = [side.voice.sent for made in (on_demand, from_the_start) for side in (made.caller, made.called)]
        assert 600 < int(counted[2]) <= max(sum(sent[:2]), sum(sent[2:]))
        assert int(counted[1]) > 160 * int(counted[2])
        quality = await proxy.wait_for(r"quality of \S+: MOS (\d\.\d), loss (\d+)")
        assert (float(quality[1]) > 4, quality[2]) == (True, "0")

        await judge_parts(first, on_demand, spans)
        whole = judge_stereo(*from_the_start.voices, read_wav(await audio_of(second)))
        assert whole.faults(seconds=6, skew_ms=None) == []
        assert whole.left.lag_ms > -40, "what was said first must be in it"
        assert (await second.retrieval.recordings())[0]["metadata"] == "dialled:900"

        first.freeze()
        began = time.monotonic()
        passed_over = await converse(alice, bob, "101", 3)
        assert time.monotonic() - began < 4
        assert re.search(
            r"url: udp:127.0.0.1:2223\s.*disabled: 1\s", await proxy.command("rtpengine.show", "all"), re.DOTALL
        )
        for wish in ("on", "discard"):
            assert (await passed_over.caller.inform(("Record", wish))).status == 200
            await asyncio.sleep(1.1)
        assert len(await second.retrieval.recordings()) == 1, "only that of the second call"
        first.thaw()
        await passed_over.caller.hang_up()
        assert heard_faults(passed_over, 1) == []
        # It now reads three times the same offer, and carries it out once.
        await until_metric(first, "mediaserverd_media_ng_replayed_total", 2)
        assert await first.sessions() == 1
        assert "fail" not in await proxy.command("rtpengine.ping", "all")
        await proxy.command("rtpengine.enable", "all", "1")
        assert "disabled: 1" not in await proxy.command("rtpengine.show", "all")
