"""200 calls at once with audio both ways, set up at 20 a second: none fails, no packet is missing in any recording."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.rtp_load import Side, run_rtp_load
from bench.sip_load import FAR_END_ADDRESS, NUMBER_PREFIX, SipLoad
from tests.kit.daemon import Daemon

CALLS = 200
RATE_PER_S = 20.0
HANG_UP_RATE_PER_S = 100.0
SECONDS = 14
SITE = {
    "lines": [
        {
            "name": "far-end",
            "address": "{}:{}".format(*FAR_END_ADDRESS),
            "transport": "udp",
            "numbers": [f"{NUMBER_PREFIX}*"],
        }
    ]
}


def _packets(number: int, side: Side) -> int:
    """Every side of every call sends a number of packets of its own, so that each recording can be told apart."""
    return 300 + number if side == "caller" else SECONDS * 50 - number


@pytest.mark.load
async def test_two_hundred_calls_at_once_are_recorded_to_the_last_packet(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path / "site", SITE) as daemon, SipLoad.open(daemon.account("alice")) as load:
        made = await load.caller.place(CALLS, RATE_PER_S)
        assert made.failed == 0
        assert len(load.up) == CALLS
        sent = Counter((_packets(number, "caller"), _packets(number, "called")) for number in load.up)
        result = await run_rtp_load(load.targets(_packets), SECONDS)
        assert result.faults() == []
        await load.hang_up(HANG_UP_RATE_PER_S)
        await daemon.idle()
        recorded: Counter[tuple[int, int]] = Counter()
        for one in await daemon.api.settled(CALLS, timeout_s=60):
            assert (one["state"], one["reason"]) == ("stored", "call-ended")
            quality = (await daemon.api.recording(one["id"]))["segments"][0]["quality"]
            caller, called = quality["sides"]
            recorded[caller["packets"], called["packets"]] += 1
            assert (caller["lost"], called["lost"], quality["tap_overflow"]) == (0, 0, 0)
        assert recorded == sent
        await daemon.retrieval.empty_of()
        tally = await daemon.api.reconciliation()
        assert (tally["expected"], tally["stored"], tally["failed"], tally["pending"]) == (CALLS, CALLS, 0, 0)
