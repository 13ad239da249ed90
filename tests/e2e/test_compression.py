"""A policy's compression, end to end: what the policy asks for is what lies in the store, and both voices are in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import yaml

from mediaserverd.protocol.sasf.reader import SasfReader
from tests.e2e.crowd import converse, two_phones
from tests.kit.daemon import Daemon
from tests.kit.judge import judge_stereo
from tests.kit.wav import read_wav

OPUS_CORRELATION = 0.85  # it keeps what is heard, and less of the wave than G.711


async def test_a_policy_that_names_a_compression_is_obeyed_by_a_recorder_that_keeps_others_as_received(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    policies = [
        {"name": "small", "when": {"called": ["101"]}, "then": {"record": True, "compression": "opus"}},
        {"name": "rest", "then": {"record": True}},
    ]
    (site / "policies.yaml").write_text(yaml.safe_dump({"policies": policies}))
    changes = {"record": "none", "initiation_policies": "policies.yaml"}
    async with (
        await Daemon.start(site, changes) as daemon,
        two_phones(daemon) as (alice, bob),
    ):
        made = await converse(alice, bob, "101", 7)
        await asyncio.sleep(5)
        await made.caller.hang_up()
        [recording] = await daemon.api.settled(1)
        path = f"/api/v1/recordings/{recording['id']}"
        detail = (await daemon.api.get(path)).json()
        stored = (await daemon.api.get(f"{path}/audio", format="sasf")).raise_for_status().content
        channels = read_wav((await daemon.api.get(f"{path}/audio")).raise_for_status().content)
        other = await converse(bob, alice, "100", 8)
        await asyncio.sleep(1)
        await other.caller.hang_up()
        codings = {}
        for each in await daemon.api.settled(2):
            told = (await daemon.api.get(f"/api/v1/recordings/{each['id']}")).json()
            codings[told["policy"]] = told["segments"][0]["compression"]
    assert SasfReader(stored).header.content == "rendered"
    assert (detail["policy"], detail["encoding"], detail["segments"][0]["verification"]) == (
        "small",
        "audio/opus",
        "verified",
    )
    assert codings == {"small": "opus", "rest": ""}
    verdict = judge_stereo(*made.voices, channels)
    assert verdict.faults(seconds=3, correlation=OPUS_CORRELATION, skew_ms=None) == []
