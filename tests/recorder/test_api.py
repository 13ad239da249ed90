"""The REST API as its users see it: over HTTPS, with a token."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

import httpx
import pytest

from mediaserverd.recorder.tokens import create_token, list_tokens, revoke_token
from tests.recorder.media_server import entry, whole_call
from tests.recorder.site import Site, until_true

PROBLEM = "application/problem+json"


async def stored(site: Site, *, size: int = 100_000, sequence: int = 1) -> tuple[str, bytes]:
    file = site.media.add(size=size)
    recording_id: str = file.report["recording_id"]
    await site.ledger(whole_call(sequence, recording_id))
    await site.until_gone_from_source(recording_id)
    return recording_id, file.content


def a_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == PROBLEM
    problem = dict(response.json())
    assert problem["status"] == status
    assert len(problem["detail"]) > 15
    return problem


# -- who may -----------------------------------------------------------------------------------------------------------


async def test_without_a_valid_token_nothing_is_shown(site: Site) -> None:
    for token in ("", "wrong", "msd_" + "x" * 43, "x" * 5000):
        async with site.client(token) as client:
            response = await client.get("/api/v1/recordings")
        a_problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


SCOPES = [
    ("GET", "/api/v1/recordings", "recordings:read"),
    ("GET", f"/api/v1/recordings/{'0' * 32}", "recordings:read"),
    ("GET", "/api/v1/reconciliation", "recordings:read"),
    ("GET", f"/api/v1/recordings/{'0' * 32}/audio", "recordings:audio"),
    ("HEAD", f"/api/v1/recordings/{'0' * 32}/segments/1/audio", "recordings:audio"),
    ("DELETE", f"/api/v1/recordings/{'0' * 32}", "recordings:delete"),
    ("POST", "/internal/ledger", "ledger:write"),
]


async def test_each_request_needs_its_own_scope(site: Site) -> None:
    for method, path, scope in SCOPES:
        others = [each for each in ("recordings:read", "recordings:audio", "recordings:delete") if each != scope]
        async with site.client(create_token(site.settings.database_url, "other", others)) as client:
            refused = await client.request(method, path)
        assert refused.status_code == 403
        assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]
        async with site.client(create_token(site.settings.database_url, "right", [scope])) as client:
            assert (await client.request(method, path)).status_code not in (401, 403)


async def test_an_administrator_may_all_but_write_the_ledger(site: Site) -> None:
    async with site.client(create_token(site.settings.database_url, "admin", ["admin"])) as client:
        assert (await client.get("/api/v1/recordings")).status_code == 200
        a_problem(await client.post("/internal/ledger", json={}), 403)


async def test_the_token_of_the_ledger_opens_nothing_else(site: Site) -> None:
    async with site.client(site.settings.ledger_token_file.read_text().strip()) as client:
        a_problem(await client.get("/api/v1/recordings"), 403)


async def test_a_revoked_token_is_useless_at_once(site: Site) -> None:
    url = site.settings.database_url
    secret = create_token(url, "leaver", ["recordings:read"])
    (token,) = [token for token in list_tokens(url) if token.name == "leaver"]
    async with site.client(secret) as client:
        assert (await client.get("/api/v1/recordings")).status_code == 200
        assert revoke_token(url, token.id)
        a_problem(await client.get("/api/v1/recordings"), 401)
    assert not revoke_token(url, token.id)


async def test_bad_tokens_are_logged_once_an_interval(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.client("wrong") as client:
        for _ in range(30):
            await client.get("/api/v1/recordings")
    assert capsys.readouterr().out.count("requests_refused") == 1


# -- lists -------------------------------------------------------------------------------------------------------------


async def test_pages_give_each_recording_once_newest_first(site: Site) -> None:
    ids = [secrets.token_hex(16) for _ in range(25)]
    moments = [f"2026-01-02T03:04:{number // 3:02d}.000Z" for number in range(25)]  # three share each moment
    await site.ledger([entry(number + 1, "expected", one, at=moments[number]) for number, one in enumerate(ids)])
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await site.api.get("/api/v1/recordings", params={"limit": 10, "cursor": cursor})).json()
        seen += page["recordings"]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert sorted(one["id"] for one in seen) == sorted(ids)
    assert [one["started_at"] for one in seen] == sorted((one["started_at"] for one in seen), reverse=True)


FILTERS: list[tuple[dict[str, str], str]] = [
    ({}, "abc"),
    ({"number": "202"}, "a"),
    ({"number": "+4315*"}, "b"),
    ({"number": "%"}, ""),
    ({"station": "alice"}, "b"),
    ({"call_id": "call-c"}, "c"),
    ({"text": "maIER"}, "a"),
    ({"text": "%"}, "c"),
    ({"text": "_"}, ""),
    ({"state": "failed"}, "c"),
    ({"state": "recording"}, "ab"),
    ({"state": "deleted"}, ""),
    ({"from": "2026-01-02T03:04:06Z"}, "bc"),
    ({"to": "2026-01-02T03:04:06Z"}, "a"),
    ({"from": "2026-01-02T04:04:06+01:00", "to": "2026-01-02T04:04:07+01:00"}, "b"),
    ({"text": "' OR 1=1 --"}, ""),
]


async def test_filters_find_what_they_say(site: Site) -> None:
    names = {letter: letter * 32 for letter in "abc"}
    second = {letter: f"2026-01-02T03:04:0{5 + number}.000Z" for number, letter in enumerate("abc")}
    alice = {"number": "+4315151", "name": "Alice", "station": "alice"}
    nobody = {"number": "", "name": "100 %"}
    await site.ledger(
        [
            entry(1, "expected", names["a"], at=second["a"]),
            entry(2, "expected", names["b"], at=second["b"], calling=alice, called=nobody | {"name": ""}),
            entry(3, "expected", names["c"], at=second["c"], calling=nobody, called=nobody, call_id="call-c"),
            entry(4, "failed", names["c"]),
        ]
    )
    for wanted, expected in FILTERS:
        answer = (await site.api.get("/api/v1/recordings", params=wanted)).json()
        assert {one["id"][0] for one in answer["recordings"]} == set(expected), wanted


NONSENSE = [
    {"limit": "0"},
    {"limit": "501"},
    {"limit": "x"},
    {"from": "yesterday"},
    {"from": "2026-01-02T03:04:05"},  # without a time zone
    {"state": "lost"},
    {"cursor": "AAAA"},
    {"cursor": "é"},
    {"cursor": "WzEsMl0="},
    {"text": "x" * 201},
]


async def test_a_query_that_makes_no_sense_is_answered_with_what_is_wrong(site: Site) -> None:
    for wanted in NONSENSE:
        response = await site.api.get("/api/v1/recordings", params=wanted)
        a_problem(response, 400 if "cursor" in wanted else 422)


async def test_what_is_not_there_is_answered_with_where_to_look(site: Site) -> None:
    a_problem(await site.api.get(f"/api/v1/recordings/{'0' * 32}"), 404)
    a_problem(await site.api.get("/api/v1/recordings/..%2f..%2fetc%2fpasswd"), 404)
    a_problem(await site.api.get("/api/v1/recordings/NOT-HEX"), 422)
    a_problem(await site.api.get("/api/v2/recordings"), 404)
    a_problem(await site.api.put("/api/v1/recordings"), 405)


async def test_the_openapi_document_names_every_path_and_needs_no_token(site: Site) -> None:
    async with site.client("") as client:
        document = (await client.get("/openapi.json")).json()
        page = (await client.get("/docs")).text
        scripts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert scripts
        for path in scripts:  # from this host: a site without internet has a page too
            assert path.startswith("/")
            assert (await client.get(path)).status_code == 200
    assert set(document["paths"]) == {
        "/api/v1/recordings",
        "/api/v1/recordings/{recording_id}",
        "/api/v1/recordings/{recording_id}/audio",
        "/api/v1/recordings/{recording_id}/quality",
        "/api/v1/recordings/{recording_id}/segments/{number}/audio",
        "/api/v1/reconciliation",
    }


# -- audio -------------------------------------------------------------------------------------------------------------


async def test_audio_comes_whole_with_its_digest_and_a_name_for_the_disk(site: Site) -> None:
    recording_id, content = await stored(site, size=1_500_000)
    response = await site.api.get(f"/api/v1/recordings/{recording_id}/audio")
    assert response.status_code == 200
    assert response.content == content
    assert response.headers["Content-Type"] == "audio/wav"
    assert response.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert response.headers["Repr-Digest"].startswith("sha-256=:")
    name = f"20260102T030405Z_431234567_202_{recording_id[:8]}_1.wav"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'


RANGES = [
    ("bytes=0-0", 206, 0, 0),
    ("bytes=10-19", 206, 10, 19),
    ("bytes=999-5000", 206, 999, 999),
    ("bytes=-100", 206, 900, 999),
    ("bytes=-5000", 206, 0, 999),
    ("bytes=500-", 206, 500, 999),
    ("bytes=5-2", 200, 0, 999),
    ("bytes=0-1,5-9", 200, 0, 999),
    ("lines=0-1", 200, 0, 999),
    ("bytes=-", 200, 0, 999),
    ("bytes=1000-", 416, 0, 0),
    ("bytes=-0", 416, 0, 0),
    (f"bytes={'9' * 30}-", 200, 0, 999),
]


async def test_a_range_gives_exactly_those_bytes(site: Site) -> None:
    recording_id, content = await stored(site, size=1000)
    for field, status, first, last in RANGES:
        response = await site.api.get(f"/api/v1/recordings/{recording_id}/audio", headers={"Range": field})
        assert response.status_code == status, field
        content_range = response.headers.get("Content-Range")
        if status == 416:
            assert content_range == "bytes */1000"
            continue
        assert response.content == content[first : last + 1], field
        assert content_range == (f"bytes {first}-{last}/1000" if status == 206 else None)


async def test_conditions_spare_what_the_client_has(site: Site) -> None:
    recording_id, content = await stored(site, size=1000)
    path = f"/api/v1/recordings/{recording_id}/audio"
    etag = (await site.api.head(path)).headers["ETag"]
    unchanged = await site.api.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    resumed = await site.api.get(path, headers={"Range": "bytes=900-", "If-Range": etag})
    assert (resumed.status_code, resumed.content) == (206, content[900:])
    changed = await site.api.get(path, headers={"Range": "bytes=900-", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, content)


async def test_head_tells_the_size_and_is_no_access_to_audio(site: Site) -> None:
    recording_id, _ = await stored(site, size=1000)
    response = await site.api.head(f"/api/v1/recordings/{recording_id}/audio")
    assert (response.status_code, response.headers["Content-Length"], response.content) == (200, "1000", b"")
    assert "audio" not in [event["kind"] for event in (await site.detail(recording_id))["events"]]


async def test_each_access_to_audio_is_audited_with_who_and_what(site: Site) -> None:
    recording_id, _ = await stored(site, size=1000)
    await site.api.get(f"/api/v1/recordings/{recording_id}/audio", headers={"Range": "bytes=10-19"})
    event = (await site.detail(recording_id))["events"][-1]
    assert (event["kind"], event["actor"], event["segment"]) == ("audio", "tester", 1)
    assert (event["detail"]["first_byte"], event["detail"]["last_byte"]) == (10, 19)
    assert event["detail"]["client"] == "127.0.0.1"


async def test_of_several_segments_each_has_its_own_audio(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    contents = [site.media.add(recording_id, number, size=500).content for number in (1, 2)]
    await site.ledger(whole_call(1, recording_id))
    await site.ledger([entry(4, "expected", recording_id, 2), entry(5, "ended", recording_id, 2)])
    await site.until(recording_id, lambda d: d["state"] == "stored" and len(d["segments"]) == 2)
    urls = [f"/api/v1/recordings/{recording_id}/segments/{number}/audio" for number in (1, 2)]
    answers = [(await site.api.get(url)).content for url in urls]
    assert answers == contents
    a_problem(await site.api.get(f"/api/v1/recordings/{recording_id}/segments/3/audio"), 404)


async def test_audio_that_is_not_there_yet_or_never_is_answered_with_the_reason(site: Site) -> None:
    running, failed = secrets.token_hex(16), secrets.token_hex(16)
    await site.ledger([entry(1, "expected", running), entry(2, "expected", failed), entry(3, "failed", failed)])
    early = await site.api.get(f"/api/v1/recordings/{running}/audio")
    a_problem(early, 409)
    assert early.headers["Retry-After"] == "5"
    assert a_problem(await site.api.get(f"/api/v1/recordings/{failed}/audio"), 404)["reason"] == "disk-full"


async def test_an_object_that_the_store_lost_is_told_and_not_a_crash(site: Site) -> None:
    recording_id, _ = await stored(site)
    site.stored_files()[0].unlink()
    a_problem(await site.api.get(f"/api/v1/recordings/{recording_id}/audio"), 500)


# -- deletion ----------------------------------------------------------------------------------------------------------


async def test_deletion_removes_the_audio_and_keeps_a_tombstone(site: Site) -> None:
    recording_id, _ = await stored(site)
    assert (await site.api.delete(f"/api/v1/recordings/{recording_id}")).status_code == 204
    a_problem(await site.api.get(f"/api/v1/recordings/{recording_id}/audio"), 410)
    detail = await site.until(recording_id, lambda detail: detail["segments"][0]["purged_at"] is not None)
    assert detail["state"] == "deleted"
    assert [(event["kind"], event["actor"]) for event in detail["events"]][-2:] == [
        ("deleted", "tester"),
        ("purged", ""),
    ]
    assert site.stored_files() == []
    assert (await site.api.get("/api/v1/recordings")).json()["recordings"] == []
    counts = await site.reconciliation()
    assert (counts["expected"], counts["stored"]) == (1, 1)


async def test_deletion_twice_is_one_deletion(site: Site) -> None:
    recording_id, _ = await stored(site)
    for _ in range(2):
        assert (await site.api.delete(f"/api/v1/recordings/{recording_id}")).status_code == 204
    events = (await site.detail(recording_id))["events"]
    assert [event["kind"] for event in events].count("deleted") == 1


async def test_what_still_runs_cannot_be_deleted(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    await site.ledger([entry(1, "expected", recording_id)])
    a_problem(await site.api.delete(f"/api/v1/recordings/{recording_id}"), 409)
    a_problem(await site.api.delete(f"/api/v1/recordings/{'0' * 32}"), 404)


async def test_a_deleted_recording_that_turns_up_later_is_deleted_at_its_source_unfetched(site: Site) -> None:
    recording_id = secrets.token_hex(16)
    await site.ledger([entry(1, "expected", recording_id), entry(2, "failed", recording_id)])
    assert (await site.api.delete(f"/api/v1/recordings/{recording_id}")).status_code == 204
    site.media.add(recording_id)
    await until_true(lambda: not site.media.files)
    assert site.stored_files() == []
    assert site.media.count("GET", ".wav") == 0
