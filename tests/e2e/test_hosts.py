"""A site on hosts of its own: the roles meet over the network, and a call is relayed, recorded, fetched and deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.crowd import converse
from tests.kit.cluster import Cluster
from tests.kit.judge import judge_stereo
from tests.kit.wav import read_wav


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
