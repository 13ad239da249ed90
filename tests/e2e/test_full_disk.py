"""Full disks: calls go on, what could not be recorded is told with its reason, and what comes later is whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.undisturbed import Site
from tests.kit.doors import Json
from tests.kit.small_disk import SmallDisk

FLOOR_MIB = 2
PATIENCE_S = 20


async def until_state(site: Site, identity: str, state: str) -> Json:
    async with asyncio.timeout(PATIENCE_S):
        while (found := await site.daemon.api.recording(identity))["state"] != state:
            await asyncio.sleep(0.2)
    return found


async def test_a_spool_that_fills_up_costs_recordings_and_no_call(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "site" / "data" / "spool", 8) as disk:
        async with Site.open(tmp_path / "site", {"media": {"disk_floor_mib": FLOOR_MIB}}) as site:
            site.daemon.expect("recording_failed", "recording_not_sealed", "call_unrecorded")
            cut = await it_is_cut_off_where_the_disk_was_full(site, disk)
            disk.free()
            disk.fill(but_kib=(FLOOR_MIB - 1) << 10)
            await it_is_refused_below_the_floor(site)
            disk.free()
            part = await until_state(site, cut["id"], "partial")
            assert part["reason"] == "disk-full"
            assert (
                len(await site.daemon.api.audio(cut["id"])) > 16_000
            )  # half a second of the one and more that there was
            async with site.call():
                pass
            await site.daemon.retrieval.empty_of()


async def it_is_cut_off_where_the_disk_was_full(site: Site, disk: SmallDisk) -> Json:
    call = await site.begin()
    await site.wait_for(call, 1.2)
    disk.fill()
    cut = await site.end(call)
    assert (cut["state"], cut["reason"]) == ("failed", "disk-full")
    assert site.told("recording_failed", role="media")[0]["reason"] == "disk-full"
    assert site.told("recording_not_sealed")[0]["reason"] == "disk-full"
    assert site.told("call_ended")[-1]["recording_outcome"] == "broken off: recording-failed"
    assert await site.count("media", "mediaserverd_media_recordings_failed_total") > 0
    await site.counted("recorder", 'recordings_failed_total{reason="disk-full"}', 1)
    return cut


async def it_is_refused_below_the_floor(site: Site) -> None:
    async with asyncio.timeout(5):
        while "new recordings are refused" not in await site.daemon.status.missing("media"):
            await asyncio.sleep(0.1)
    refused = await site.end(await site.begin())
    assert (refused["state"], refused["reason"]) == ("failed", "disk floor")
    assert site.told("call_ended")[-1]["recording_outcome"] == "recording refused: disk floor"
    assert await site.count("media", 'mediaserverd_media_recordings_failed_total{reason="refused"}') == 1
    await site.counted("recorder", 'recordings_failed_total{reason="disk floor"}', 1)


async def test_a_full_store_keeps_recordings_on_the_media_server_until_there_is_room(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "site" / "data" / "recordings", 2) as disk:
        async with Site.open(tmp_path / "site") as site:
            disk.fill()
            call = await site.begin()
            await site.wait_for(call, 2.2)
            await call.caller.hang_up()
            await site.counted("recorder", 'mediaserverd_recorder_fetch_faults_total{reason="store-full"}', 1)
            assert "No space left on device" in site.told("fetch_postponed")[0]["fault"]
            assert await site.count("recorder", "mediaserverd_recorder_store_failing") == 1
            assert "No space left on device" in await site.daemon.status.missing("recorder")
            (waiting,) = await site.daemon.api.recordings()
            assert (waiting["state"], waiting["reason"]) == ("finishing", "store-full")
            assert len(await site.daemon.retrieval.recordings()) == 1
            disk.free()
            (recording,) = await site.daemon.api.settled(1)
            assert recording["state"] == "stored"
            await site.check_audio(call, recording)
            assert await site.daemon.status.missing("recorder") == ""


async def test_a_disk_that_holds_everything_and_is_full_stops_neither_calls_nor_registrations(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "site" / "data", 24) as disk:
        async with Site.open(tmp_path / "site", {"media": {"disk_floor_mib": 0}}) as site:
            site.daemon.expect("locations_not_written", "ledger_not_written", "catalogue_unusable")
            site.daemon.expect("recording_failed", "call_unrecorded")
            disk.fill()
            await site.alice.register()
            call = await site.begin()
            await site.wait_for(call, 2.2)
            assert not call.caller.over.is_set()
            await call.caller.hang_up()
            for event in ("locations_not_written", "ledger_not_written"):
                assert "full" in (await site.daemon.logged(event))["reason"]
            assert await site.count("controller", "mediaserverd_ledger_faults_total") >= 1
            disk.free()
            (unrecorded,) = await site.daemon.api.settled(1)  # the ledger was kept in memory
            assert (unrecorded["state"], unrecorded["reason"]) == ("failed", "disk-full")
            async with site.call():
                pass
