"""A hundred recorded calls with audio both ways: the controller is killed, then upgraded, and not a packet is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from bench.rtp_load import Side, run_rtp_load
from bench.sip_load import SipLoad
from tests.e2e.test_load import HANG_UP_RATE_PER_S, RATE_PER_S, SITE
from tests.kit.daemon import Daemon

CALLS = 100
SECONDS = 14


def _packets(number: int, side: Side) -> int:
    """A number of packets of its own for every side of every call."""
    return 400 + number if side == "caller" else SECONDS * 50 - number


@pytest.mark.load
async def test_a_hundred_calls_lose_no_packet_while_the_controller_is_killed_and_then_upgraded(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site", SITE) as daemon, SipLoad.open(daemon.account("alice")) as load:
        daemon.expect("ledger_slow")  # the disk of a machine that does much else
        made = await load.caller.place(CALLS, RATE_PER_S)
        assert (made.failed, len(load.up)) == (0, CALLS)
        sent = Counter((_packets(number, "caller"), _packets(number, "called")) for number in load.up)
        talk = asyncio.create_task(run_rtp_load(load.targets(_packets), SECONDS))
        await asyncio.sleep(1.5)
        await daemon.came_back("controller", daemon.kill("controller"))
        assert await daemon.status.metric("controller", "mediaserverd_calls_restored_total") == CALLS
        await daemon.came_back("controller", daemon.restart_controller())
        assert await daemon.status.metric("controller", "mediaserverd_calls_restored_total") == CALLS
        assert (await talk).faults() == []
        assert await load.hang_up(HANG_UP_RATE_PER_S) == 0
        assert load.caller.dropped == Counter()
        await daemon.idle()
        recorded: Counter[tuple[int, int]] = Counter()
        for one in await daemon.api.settled(CALLS, timeout_s=60):
            assert (one["state"], one["reason"]) == ("stored", "call-ended")
            (segment,) = (await daemon.api.recording(one["id"]))["segments"]
            caller, called = segment["quality"]["sides"]
            recorded[caller["packets"], called["packets"]] += 1
        assert recorded == sent
