"""A short storm, always the same; ``make chaos`` makes long ones."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.storm import COMPONENTS, LULL_S, Storm
from tests.chaos.strokes import KINDS, Outage, Stroke, longest_calm_s, plan
from tests.kit.cluster import MEDIA

SEED = 297  # its strokes are of most kinds, and a media server and then the controller die at the same time
SECONDS = 16.0
PAIRS = 4
AT_LEAST = 3  # on a slow machine something may be down still when its next turn has come


def test_the_same_seed_strikes_the_same_again_and_everything_in_time() -> None:
    long = plan(SEED, 300.0, COMPONENTS)
    assert plan(SEED, 300.0, COMPONENTS) == long != plan(SEED + 1, 300.0, COMPONENTS)
    assert {stroke.of for stroke in long} == {f"{kind} {role}" for role, kinds in KINDS.items() for kind in kinds}
    short = {stroke.of for stroke in plan(SEED, SECONDS - LULL_S, COMPONENTS)}
    assert {"kill media", "freeze media", "fill media", "kill controller", "kill recorder"} <= short


def test_calm_is_when_the_controller_and_one_media_server_stand() -> None:
    def outage(victim: str, began: float, ended: float) -> Outage:
        return Outage(Stroke(0.0, "kill", victim, 0.0), began, ended)

    outages = [outage("controller", 2, 3), outage("media1", 0, 6), outage("media2", 4, 9), outage("media3", 5, 7)]
    assert longest_calm_s(outages, MEDIA, 0, 5) == 2
    assert longest_calm_s(outages, MEDIA, 0, 20) == 14
    assert longest_calm_s(outages, MEDIA, 5, 6) == 0


async def test_every_second_of_every_call_is_stored_or_missing_with_its_reason(tmp_path: Path) -> None:
    async with Storm.over_site(tmp_path, SEED, PAIRS, print) as storm:
        account = await storm.rage(SECONDS)
    print(account)
    assert account.faults == []
    assert account.struck.total() >= AT_LEAST
    assert account.judged_s > 0
