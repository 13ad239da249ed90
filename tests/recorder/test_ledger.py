"""What controllers announce becomes rows: once, in any order of arrival, whatever the media server has said before."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from tests.recorder.media_server import entry, whole_call
from tests.recorder.site import Site


async def test_the_row_is_there_from_expected_on(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    assert await site.ledger([entry(1, "expected", recording_id)]) == {"accepted": 1}
    detail = await site.detail(recording_id)
    assert (detail["state"], detail["segments"][0]["state"]) == ("recording", "expected")
    assert detail["calling"] == {"number": "+431234567", "name": "Änne Maier", "station": "", "line": "carrier"}
    assert detail["called"]["station"] == "bob"
    assert (detail["policy"], detail["direction"], detail["controller"]) == ("record all", "inbound", "controller")


async def test_a_repeated_batch_is_accepted_and_changes_nothing(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    batch = [entry(1, "expected", recording_id), entry(2, "started", recording_id)]
    await site.ledger(batch)
    once = await site.detail(recording_id)
    assert await site.ledger(batch) == {"accepted": 2}
    assert await site.detail(recording_id) == once


async def test_entries_of_two_controllers_do_not_hide_each_other(site: Site) -> None:
    one, other = secrets.token_hex(16), secrets.token_hex(16)
    await site.ledger([entry(1, "expected", one)], controller="east")
    await site.ledger([entry(1, "expected", other)], controller="west")
    assert (await site.detail(one))["controller"] == "east"
    assert (await site.detail(other))["controller"] == "west"


async def test_a_controller_that_lost_its_disk_and_counts_from_one_again_is_heard(site: Site) -> None:
    before, after = secrets.token_hex(16), secrets.token_hex(16)
    await site.ledger([entry(1, "expected", before), entry(2, "failed", before)])
    await site.ledger([entry(1, "expected", after)])
    assert (await site.detail(after))["state"] == "recording"


async def test_a_recording_that_the_media_server_refused_is_failed_with_its_reason(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    await site.ledger([entry(1, "expected", recording_id), entry(2, "failed", recording_id, reason="disk-full")])
    detail = await site.detail(recording_id)
    assert (detail["state"], detail["reason"]) == ("failed", "disk-full")


async def test_an_entry_that_cannot_be_understood_does_not_stop_those_behind_it(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    answer = await site.ledger([entry(1, "expected", "../../etc/passwd"), entry(2, "expected", recording_id)])
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["sequence"] == 1
    assert "recording_id" in answer["rejected"][0]["why"]
    assert (await site.detail(recording_id))["state"] == "recording"


async def test_text_that_no_database_takes_is_kept_without_its_nul(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    calling = {"number": "1\x002", "name": "\U0001f4de", "station": None}
    await site.ledger([entry(1, "expected", recording_id, calling=calling)])
    assert (await site.detail(recording_id))["calling"] == {
        "number": "12",
        "name": "\U0001f4de",
        "station": "",
        "line": "",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not JSON", 400),
        (b"[" * 100_000, 400),
        (b'{"controller": "c"}', 400),
        (b'{"controller": "", "entries": []}', 400),
        (b'{"controller": "c", "entries": [1]}', 400),
        (b"\xff\xfe", 400),
        (b" " * (5 << 20), 413),
        (b'{"controller": "c", "entries": [{"sequence": 1, "call_id": "\\ud800"}]}', 200),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_with_a_sentence(site: Site, body: bytes, status: int) -> None:
    async with site.client(site.settings.ledger_token_file.read_text().strip()) as client:
        response = await client.post("/internal/ledger", content=body)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    assert answer["detail"] if status != 200 else answer["rejected"]


async def test_an_end_without_a_beginning_still_makes_a_row(site: Site) -> None:
    file = site.media.add()
    await site.ledger([entry(7, "ended", file.report["recording_id"])])
    detail = await site.until_gone_from_source(file.report["recording_id"])
    assert detail["announced"] is True


async def test_a_hundred_entries_are_taken_in_one_request(site: Site) -> None:
    entries = [
        each
        for number in range(40)
        for each in whole_call(3 * number + 1, secrets.token_hex(16), media_server="not configured")
    ]
    assert await site.ledger(entries) == {"accepted": 120}
    assert (await site.reconciliation())["expected"] == 40


async def test_ledgers_of_many_controllers_at_once_are_all_taken(site: Site) -> None:
    ids = [secrets.token_hex(16) for _ in range(20)]
    await asyncio.gather(
        *(site.ledger([entry(1, "expected", one)], controller=f"c{number}") for number, one in enumerate(ids))
    )
    assert (await site.reconciliation())["expected"] == 20
