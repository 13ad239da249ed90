"""From the end of a recording to one verified copy in the store, and nothing left on the media server."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.recorder.media_server import entry, whole_call
from tests.recorder.site import Site, link, until_true


async def test_a_finished_recording_is_stored_verified_and_deleted_at_its_source(site: Site) -> None:
    file = site.media.add()
    recording_id = file.report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    detail = await site.until_gone_from_source(recording_id)
    (stored,) = site.stored_files()
    assert stored.read_bytes() == file.content
    assert site.media.files == {}
    assert (detail["state"], detail["reason"], detail["duration_ms"]) == ("stored", "call-ended", 10500)
    assert detail["segments"][0]["sha256"] == file.report["sha256"]
    assert detail["segments"][0]["quality"]["sides"][1]["lost"] == 1
    kinds = [event["kind"] for event in detail["events"]]
    assert kinds == [
        "ledger-expected", "ledger-started", "ledger-ended", "fetching", "stored", "deleted-at-source",
    ]  # fmt: skip


async def test_the_file_is_deleted_at_its_source_only_after_the_row_says_stored(site: Site) -> None:
    seen: list[str] = []

    def look(request: Any) -> None:
        if request.method == "DELETE":
            seen.append(Path(site.directory, "recorder", "catalogue.sqlite").name)
            seen.extend(str(path) for path in site.stored_files())

    site.media.on_request = look
    recording_id = site.media.add().report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    detail = await site.until_gone_from_source(recording_id)
    assert len(seen) == 2
    events = {event["kind"]: event["at"] for event in detail["events"]}
    assert events["stored"] <= events["deleted-at-source"]


async def test_a_transfer_that_breaks_is_resumed_where_it_broke(site: Site) -> None:
    file = site.media.add(size=400_000)
    site.media.misdeed.breaks = 2
    site.media.misdeed.break_after_bytes = 150_000
    await site.ledger(whole_call(1, file.report["recording_id"]))
    await site.until_gone_from_source(file.report["recording_id"])
    (stored,) = site.stored_files()
    assert stored.read_bytes() == file.content
    ranges = [asked.range for asked in site.media.asked if asked.method == "GET" and asked.path.endswith(".wav")]
    assert ranges[0] is None
    assert all(ranges[1:])
    assert len(ranges) == 3


async def test_a_file_that_arrives_wrong_once_is_fetched_again(site: Site) -> None:
    file = site.media.add()
    site.media.misdeed.wrong_content = 1
    await site.ledger(whole_call(1, file.report["recording_id"]))
    await site.until_gone_from_source(file.report["recording_id"])
    (stored,) = site.stored_files()
    assert stored.read_bytes() == file.content


async def test_a_file_whose_digest_never_agrees_fails_and_stays_on_the_media_server(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserverd.recorder.fetch.DIGEST_ATTEMPTS", 2)
    file = site.media.add()
    site.media.misdeed.wrong_content = 1000
    await site.ledger(whole_call(1, file.report["recording_id"]))
    detail = await site.until(file.report["recording_id"], lambda detail: detail["state"] == "failed")
    assert detail["reason"] == "digest-mismatch"
    await asyncio.sleep(1.0)  # several polls, that must not begin it again
    assert file.report["file"] in site.media.files
    assert site.media.count("GET", ".wav") == 2
    assert site.media.count("DELETE", ".wav") == 0
    assert site.stored_files() == []


async def test_a_repr_digest_that_contradicts_the_report_is_a_mismatch(site: Site) -> None:
    file = site.media.add()
    site.media.misdeed.wrong_digest_field = 1
    await site.ledger(whole_call(1, file.report["recording_id"]))
    await site.until_gone_from_source(file.report["recording_id"])
    assert site.media.count("GET", ".wav") == 2


async def test_a_file_that_is_busy_is_asked_for_again_after_retry_after(site: Site) -> None:
    file = site.media.add()
    site.media.misdeed.busy = 2
    await site.ledger(whole_call(1, file.report["recording_id"]))
    detail = await site.until_gone_from_source(file.report["recording_id"])
    assert site.media.count("GET", ".wav") == 3
    assert detail["segments"][0]["attempts"] == 0


async def test_a_server_error_for_one_file_does_not_stop_the_others(site: Site) -> None:
    site.media.misdeed.server_errors = 1
    ids = [site.media.add().report["recording_id"] for _ in range(6)]
    entries = [each for number, one in enumerate(ids) for each in whole_call(3 * number + 1, one)]
    await site.ledger(entries)
    for one in ids:
        await site.until_gone_from_source(one)
    assert len(site.stored_files()) == 6


async def test_a_media_server_that_is_away_keeps_its_recordings_pending_until_it_is_back(site: Site) -> None:
    file = site.media.add()
    recording_id = file.report["recording_id"]
    await site.media.stop()
    await site.ledger(whole_call(1, recording_id))
    detail = await site.until(recording_id, lambda detail: detail["reason"] == "media-server-unreachable")
    await asyncio.sleep(2.5)  # longer than missing_after_s: nobody can say that it is missing
    detail = await site.detail(recording_id)
    assert detail["state"] == "finishing"
    reconciliation = await site.reconciliation()
    assert reconciliation["overdue_segments"] == 1
    assert "127.0.0.1" in reconciliation["media_servers"][0]["fault"]
    await site.media.start()
    await site.until_gone_from_source(recording_id)


async def test_a_refused_token_is_told_and_the_recording_waits(site: Site) -> None:
    site.media.misdeed.refuse_token = True
    recording_id = site.media.add().report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    await asyncio.sleep(1.0)
    (server,) = (await site.reconciliation())["media_servers"]
    assert "does not take this recorder's token" in server["fault"]
    site.media.misdeed.refuse_token = False
    await site.until_gone_from_source(recording_id)


async def test_a_media_server_with_an_untrusted_certificate_is_never_given_the_token(
    site: Site, tmp_path: Path
) -> None:
    from mediaserverd.process.tls import ensure_site_certificates

    other = tmp_path / "other-authority"
    ensure_site_certificates(other, ["127.0.0.1"])
    await site.media.stop()
    site.media.certificate, site.media.private_key = other / "server.pem", other / "server.key"
    site.media.asked.clear()
    await site.media.start()
    recording_id = site.media.add().report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    await asyncio.sleep(1.5)
    (server,) = (await site.reconciliation())["media_servers"]
    assert "certificate" in server["fault"].lower()
    assert site.media.asked == []
    assert (await site.detail(recording_id))["state"] == "finishing"


async def test_an_unknown_media_server_fails_the_recording_until_it_is_configured(site: Site) -> None:
    assert site.recorder is not None
    file = site.media.add()
    site.media.misdeed.lists_nothing = True  # so that the census does not find it under another name
    recording_id = file.report["recording_id"]
    await site.ledger(whole_call(1, recording_id, media_server="elsewhere"))
    detail = await site.until(recording_id, lambda detail: detail["state"] == "failed")
    assert detail["reason"] == "unknown-media-server"
    settings = site.settings.model_copy(update={"media_servers": (link(site), link(site, "elsewhere"))})
    assert await site.recorder.reload(settings) == []
    await site.until_gone_from_source(recording_id)


async def test_a_recording_over_two_segments_is_stored_as_one_recording(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    site.media.add(recording_id, 1, reason="recovered")
    site.media.add(recording_id, 2)
    await site.ledger(
        [
            entry(1, "expected", recording_id, 1),
            entry(2, "started", recording_id, 1),
            entry(3, "ended", recording_id, 1, reason="media-server-lost"),
            entry(4, "expected", recording_id, 2),
            entry(5, "started", recording_id, 2),
            entry(6, "ended", recording_id, 2),
        ]
    )
    detail = await site.until_gone_from_source(recording_id)
    assert (detail["state"], detail["reason"]) == ("stored", "call-ended")
    assert [segment["number"] for segment in detail["segments"]] == [1, 2]
    assert len(site.stored_files()) == 2


async def test_drain_waits_for_the_fetch_under_way(site: Site) -> None:
    assert site.recorder is not None
    file = site.media.add(size=300_000)
    site.media.misdeed.slow_piece_s = 0.05
    await site.ledger(whole_call(1, file.report["recording_id"]))
    await until_true(lambda: site.media.count("GET", ".wav"))
    await site.recorder.drain()
    assert (await site.detail(file.report["recording_id"]))["state"] == "stored"
