"""A site on hosts of its own: the roles meet over the network, and a call is relayed, recorded, fetched and deleted.

Phones that we did not write and SIPp stand on a host of their own there, too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.crowd import converse
from tests.kit.baresip import Baresip
from tests.kit.cluster import Cluster
from tests.kit.hosts import HERE
from tests.kit.judge import CORRELATION_LIMIT, judge, judge_stereo
from tests.kit.pjsip import Pjsip
from tests.kit.sipp import Sipp
from tests.kit.speech import speech
from tests.kit.wav import read_wav

FAR_END = (HERE, 5090)
SIPP_CALLS = 5


async def test_a_call_over_hosts_is_recorded_on_one_and_stored_on_another(tmp_path: Path) -> None:
    async with (
        Cluster.open(tmp_path) as cluster,
        await cluster.phone("alice") as alice,
        await cluster.phone("bob") as bob,
    ):
        call = await converse(alice, bob, "101", 900)
        assert call.caller.remote is not None
        assert call.caller.remote.address in {host.address for host in cluster.hosts.values()}
        await asyncio.sleep(4)
        await call.caller.hang_up()
        (recording,) = await cluster.recorder.api.settled(1)
        assert recording["state"] == "stored", recording
        verdict = judge_stereo(*call.voices, read_wav(await cluster.recorder.api.audio(recording["id"])))
        assert verdict.faults(seconds=2, skew_ms=None) == []
        for server in cluster.media.values():
            await server.retrieval.empty_of()


@pytest.mark.softphone
async def test_foreign_phones_outlive_their_media_server_and_sipp_calls_over_the_next_one(tmp_path: Path) -> None:
    alice_says, bob_says = speech(1, 30), speech(2, 30)
    far_line = {"name": "far", "address": f"{HERE}:{FAR_END[1]}", "numbers": ["9*"]}
    async with Cluster.open(tmp_path, {"lines": [far_line]}, media=("media1", "media2"), in_order=True) as cluster:
        site = cluster.controller
        async with (
            await Baresip.start(tmp_path / "alice", site.account("alice"), alice_says, address=HERE) as caller,
            await Pjsip.start(tmp_path / "bob", site.account("bob"), bob_says, address=HERE) as called,
        ):
            await caller.register()
            await called.register()
            await caller.dial(site.target("101"))
            await called.rings()
            await called.answer()
            await caller.established()
            await called.established()
            await asyncio.sleep(4)
            cluster.media["media1"].crash()
            async with asyncio.timeout(20):
                while not await cluster.media["media2"].sessions():
                    await asyncio.sleep(0.1)
            await asyncio.sleep(6)
            await caller.hang_up()
            await called.cleared()
        await sipp_calls(cluster, tmp_path)
        await cluster.media["media1"].start_again()
        recordings = await cluster.recorder.api.settled(1 + SIPP_CALLS, timeout_s=60)
        assert [one["state"] for one in recordings] == ["stored"] * (1 + SIPP_CALLS)
        [ours] = [one for one in recordings if one["called"]["station"] == "bob"]
        assert [gap["reason"] for gap in ours["gaps"]] == ["media-server-lost"]
        after = read_wav(await cluster.recorder.api.audio(f"{ours['id']}/segments/2"))
    for spoken, heard in ((bob_says, caller.heard()), (alice_says, called.heard())):
        verdict = judge(spoken, heard)
        assert len([each for each in verdict.correlations if each > CORRELATION_LIMIT]) >= 3, verdict
    assert judge_stereo(alice_says, bob_says, after).faults(seconds=3, skew_ms=None) == []


async def sipp_calls(cluster: Cluster, directory: Path) -> None:
    account = cluster.controller.account("alice")
    server, users = (account.host, account.port), [(account.user, account.password)]
    async with await Sipp.start(directory / "far", "uas_answer", server, FAR_END, calls=SIPP_CALLS, echo=True) as far:
        await far.listening()
        async with await Sipp.start(
            directory / "near",
            "uac_basic_call",
            server,
            (HERE, 5080),
            calls=SIPP_CALLS,
            service="900",
            users=users,
            rtp_port=6200,
        ) as near:
            assert (await near.tally()).faults(SIPP_CALLS) == []
        assert (await far.tally()).faults(SIPP_CALLS) == []
