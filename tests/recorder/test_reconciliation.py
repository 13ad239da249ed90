"""Nothing is lost and nothing is silent: what media servers have against what the ledger announced."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from tests.recorder.media_server import entry, whole_call
from tests.recorder.site import Site, run_site, until_true


async def test_a_file_that_no_ledger_announced_is_taken_in_after_a_grace(site: Site) -> None:
    parties = {"calling": {"number": "11", "name": None}, "called": "nonsense", "policy": "record all"}
    file = site.media.add(metadata=parties)
    detail = await site.until_gone_from_source(file.report["recording_id"])
    assert (detail["state"], detail["reason"], detail["announced"]) == ("stored", "unannounced", False)
    assert (detail["calling"]["number"], detail["policy"]) == ("11", "record all")
    assert site.stored_files()[0].read_bytes() == file.content


async def test_a_ledger_that_comes_late_names_the_parties_of_what_was_taken_in(site: Site) -> None:
    recording_id = site.media.add().report["recording_id"]
    await site.until_gone_from_source(recording_id)
    await site.ledger(whole_call(1, recording_id))
    detail = await site.detail(recording_id)
    assert (detail["state"], detail["announced"], detail["calling"]["number"]) == ("stored", True, "+431234567")
    assert detail["reason"] == "call-ended"
    assert len(site.stored_files()) == 1


async def test_a_file_that_still_runs_is_left_alone(site: Site) -> None:
    site.media.add(state="running", size=10)
    await asyncio.sleep(1.5)
    assert (await site.reconciliation())["expected"] == 0


async def test_a_recording_that_ended_without_a_word_of_the_controller_is_fetched(site: Site) -> None:
    recording_id = site.media.add(reason="recovered").report["recording_id"]
    await site.ledger([entry(1, "expected", recording_id), entry(2, "started", recording_id)])
    detail = await site.until_gone_from_source(recording_id)
    assert (detail["state"], detail["reason"], detail["announced"]) == ("stored", "recovered", True)


async def test_a_recording_that_no_media_server_has_is_failed_as_missing(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    await site.ledger(whole_call(1, recording_id))
    detail = await site.until(recording_id, lambda detail: detail["state"] == "failed")
    assert detail["reason"] == "missing"


async def test_a_running_recording_that_vanishes_from_its_media_server_is_failed_as_missing(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    file = site.media.add(recording_id, state="running")
    await site.ledger([entry(1, "expected", recording_id), entry(2, "started", recording_id)])
    await asyncio.sleep(2.0)  # longer than missing_after_s: it is listed, so it is not missing
    assert (await site.detail(recording_id))["state"] == "recording"
    del site.media.files[file.report["file"]]
    detail = await site.until(recording_id, lambda detail: detail["state"] == "failed")
    assert detail["reason"] == "missing"


async def test_what_was_missing_and_turns_up_is_stored_after_all(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    await site.ledger(whole_call(1, recording_id))
    await site.until(recording_id, lambda detail: detail["state"] == "failed")
    site.media.add(recording_id)
    detail = await site.until_gone_from_source(recording_id)
    assert detail["reason"] == "call-ended"


async def test_what_the_media_server_calls_failed_is_failed_with_its_reason(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    site.media.add(recording_id, state="failed", reason="spool-unreadable", size=0, sha256="")
    await site.ledger(whole_call(1, recording_id))
    detail = await site.until(recording_id, lambda detail: detail["state"] == "failed")
    assert detail["reason"] == "spool-unreadable"


async def test_the_part_that_a_full_disk_left_is_stored_and_the_recording_is_partial(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    site.media.add(recording_id, state="failed", reason="disk-full")
    await site.ledger(whole_call(1, recording_id))
    await until_true(lambda: not site.media.files)
    detail = await site.until(recording_id, lambda detail: detail["state"] == "partial")
    assert detail["reason"] == "disk-full"
    assert len(site.stored_files()) == 1
    tally = await site.reconciliation()
    assert (tally["expected"], tally["failed"]) == (1, 1)


async def test_a_report_that_cannot_be_believed_hides_no_other(site: Site) -> None:
    site.media.add().report["recording_id"] = "../../../../tmp/x"
    site.media.add().report["file"] = "../x.wav"
    recording_id = site.media.add().report["recording_id"]
    await site.until_gone_from_source(recording_id)
    assert (await site.reconciliation())["expected"] == 1


async def test_a_stored_file_that_its_media_server_lists_again_is_deleted_again(site: Site) -> None:
    file = site.media.add()
    recording_id = file.report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    await site.until_gone_from_source(recording_id)
    site.media.files[file.report["file"]] = file
    await until_true(lambda: not site.media.files)
    assert len(site.stored_files()) == 1


async def test_other_content_under_the_name_of_a_stored_file_is_never_deleted(site: Site) -> None:
    file = site.media.add()
    recording_id = file.report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    await site.until_gone_from_source(recording_id)
    site.media.add(recording_id)
    await asyncio.sleep(1.5)
    assert file.report["file"] in site.media.files
    assert site.stored_files()[0].read_bytes() == file.content


async def test_a_discarded_recording_is_neither_fetched_nor_missed_and_its_rest_is_deleted(
    site: Site,
) -> None:
    recording_id = secrets.token_hex(16)
    await site.ledger(
        [entry(1, "expected", recording_id), entry(2, "started", recording_id),
         entry(3, "ended", recording_id, reason="too-short", duration_ms=900)]
    )  # fmt: skip
    await asyncio.sleep(2.0)  # longer than missing_after_s
    detail = await site.detail(recording_id)
    assert (detail["state"], detail["reason"], detail["duration_ms"]) == ("discarded", "too-short", 900)
    tally = await site.reconciliation()
    assert (tally["expected"], tally["discarded"], tally["failed"], tally["pending"]) == (1, 1, 0, 0)
    site.media.add(recording_id, reason="recovered")  # the media server died before it could discard the file
    await until_true(lambda: not site.media.files)
    assert (await site.detail(recording_id))["state"] == "discarded"
    assert site.stored_files() == []


async def test_expected_is_stored_plus_failed_plus_pending_also_after_a_restart(tmp_path: Path) -> None:
    site = await run_site(tmp_path)
    stored = [site.media.add().report["recording_id"] for _ in range(3)]
    refused, running = secrets.token_hex(16), secrets.token_hex(16)
    entries = [each for number, one in enumerate(stored) for each in whole_call(3 * number + 1, one)]
    entries += [entry(20, "expected", refused), entry(21, "failed", refused)]
    site.media.add(running, state="running")
    entries += [entry(22, "expected", running), entry(23, "started", running)]
    await site.ledger(entries)
    for one in stored:
        await site.until_gone_from_source(one)
    await site.stop()
    await site.start()
    await asyncio.sleep(1.2)
    seen = await site.reconciliation()
    assert (seen["expected"], seen["stored"], seen["failed"], seen["pending"]) == (5, 3, 1, 1)
    assert seen["failed_by_reason"] == {"disk-full": 1}
    shown = await site.metrics()
    assert shown["recordings_expected_total"] == 5
    assert shown["recordings_stored_total"] == 3
    assert shown['recordings_failed_total{reason="disk-full"}'] == 1
    assert shown['recordings_pending{state="recording"}'] == 1
    await site.stop()
    await site.media.stop()
