"""The HTTPS doors of the recorder and the media server: wrong tokens, tricks in paths, nonsense, and too much."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.e2e.undisturbed import Site
from tests.e2e.wrong_input.slow_peers import SlowPeers
from tests.kit.daemon import HOST
from tests.kit.doors import STATUS_PORTS, Json
from tests.kit.sip_socket import trusting

pytestmark = pytest.mark.asyncio(loop_scope="package")

API, RETRIEVAL = 8443, 8102
LEDGER_URL = f"https://{HOST}:{API}/internal/ledger"
RECORDER_REFUSED = "mediaserverd_recorder_refused_requests_total"
MEDIA_REFUSED = "mediaserverd_media_retrieval_refused_total"
HTTP_FAULTS = 'mediaserverd_http_faulty_connections_total{fault="%s"}'
PER_SOURCE = 200
TRICKS = [
    "../../secrets/ng.token",
    "..%2f..%2fsecrets%2fng.token",
    "%2e%2e/%2e%2e/secrets/ng.token",
    "%252e%252e%252fsecrets%252fng.token",
    "....//....//secrets/ng.token",
    "..%5c..%5csecrets%5cng.token",
    "%00",
    "0" * 32 + "-1.wav%00.json",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "a" * 3000,
    "0" * 32 + "-1.wav/../../../secrets/ng.token",
    "0" * 32 + "-1.spool",
    "%ff%fe",
    "\u0660" * 32,  # digits, but not ours
]


@contextlib.asynccontextmanager
async def client(site: Site, source: str, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(verify=trusting(site.daemon.authority), local_address=source, trust_env=False)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(transport=transport, headers=headers, timeout=10) as made:
        yield made


async def raw(site: Site, port: int, request: bytes, source: str) -> bytes:
    """What is answered to bytes that no client library has tidied."""
    reader, writer = await asyncio.open_connection(
        HOST, port, ssl=trusting(site.daemon.authority), local_addr=(source, 0)
    )
    found = b""
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    found += piece
    finally:
        writer.close()
    return found


async def test_wrong_tokens_are_refused_at_every_door_counted_and_told_once(site: Site) -> None:
    urls = [
        f"https://{HOST}:{API}/api/v1/recordings",
        f"https://{HOST}:{API}/api/v1/recordings/{'0' * 32}/audio",
        f"https://{HOST}:{RETRIEVAL}/recordings",
        f"https://{HOST}:{RETRIEVAL}/recordings/{'0' * 32}-1.wav",
    ]
    before = [await site.count("recorder", RECORDER_REFUSED), await site.count("media", MEDIA_REFUSED)]
    tokens = ["", "wrong", site.daemon.secret("ng"), "x" * 5000]
    for token in tokens:
        async with client(site, "127.0.0.51", token) as stranger:
            for url in urls:
                response = await stranger.get(url)
                assert response.status_code == 401
                assert "bearer" in response.json()["detail"].lower()
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert (await stranger.post(LEDGER_URL, json={})).status_code == 401
            assert (await stranger.delete(urls[3])).status_code == 401
    assert await site.count("recorder", RECORDER_REFUSED) == before[0] + 3 * len(tokens)
    assert await site.count("media", MEDIA_REFUSED) == before[1] + 3 * len(tokens)
    assert len(site.told("retrieval_refused", source="127.0.0.51")) == 1
    assert len(site.told("requests_refused", client="127.0.0.51")) == 1


async def test_a_revoked_token_and_a_scope_too_few_are_refused_with_what_to_do(site: Site) -> None:
    async with site.call():
        pass
    identity = (await site.daemon.api.recordings())[0]["id"]
    token = await site.daemon.token("recordings:read")
    async with client(site, "127.0.0.52", token) as reader:
        url = f"https://{HOST}:{API}/api/v1/recordings"
        assert (await reader.get(url)).status_code == 200
        for refused in (await reader.get(f"{url}/{identity}/audio"), await reader.delete(f"{url}/{identity}")):
            assert refused.status_code == 403
            assert "lacks the scope recordings:" in refused.json()["detail"]
        listed = await site.daemon.command("token", "list")
        newest = [line.split("│")[1].strip() for line in listed.splitlines() if "recordings:read" in line][-1]
        await site.daemon.command("token", "revoke", newest)
        gone = await reader.get(url)
        assert gone.status_code == 401
        assert "unknown, revoked or expired" in gone.json()["detail"]


@pytest.mark.parametrize("port", [API, RETRIEVAL], ids=["recorder", "media"])
async def test_tricks_in_paths_read_nothing(site: Site, port: int) -> None:
    token = site.daemon.secret("retrieval")
    prefix = "/recordings/"
    if port == API:
        token, prefix = await site.daemon.token("recordings:read", "recordings:audio"), "/api/v1/recordings/"
    for trick in TRICKS:
        for method in ("GET", "DELETE") if port == RETRIEVAL else ("GET",):
            head = f"{method} {prefix}{trick} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            answer = await raw(site, port, f"{head}Connection: close\r\n\r\n".encode(), "127.0.0.53")
            absent = method == "DELETE" and trick == "0" * 32 + "-1.spool"  # could be a file's name; none has it
            assert answer.startswith(b"HTTP/1.1 204" if absent else b"HTTP/1.1 4"), (trick, answer[:100])
            assert site.daemon.secret("ng").encode() not in answer
            assert b"root:" not in answer
    if port == RETRIEVAL:
        assert await site.count("media", MEDIA_REFUSED + '{kind="path"}') >= len(TRICKS)


async def test_ranges_that_make_no_sense_are_refused_or_ignored(site: Site) -> None:
    async with site.call():
        pass
    recording = (await site.daemon.api.recordings())[0]
    path = f"/api/v1/recordings/{recording['id']}/audio"
    whole = await site.daemon.api.audio(recording["id"])
    for header, status in (
        ("bytes=999999999-", 416),
        ("bytes=-0", 416),
        ("bytes=5-2", 200),
        ("bytes=a-b", 200),
        ("bytes=" + "9" * 5000 + "-", 200),
        ("bytes=0-0,2-3," + ",".join(f"{n}-{n}" for n in range(1000)), 200),
        ("lines=1-2", 200),
        ("bytes=-1", 206),
    ):
        response = await site.daemon.api.http.get(path, headers={"Range": header})
        assert response.status_code == status, header[:40]
        if status == 200:
            assert response.content == whole
        if status == 416:
            assert response.headers["Content-Range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize(("port", "role"), [(API, "recorder"), (RETRIEVAL, "media")], ids=["recorder", "media"])
async def test_what_is_not_http_or_too_long_is_answered_400_counted_and_told_once(
    site: Site, port: int, role: str
) -> None:
    source = f"127.0.0.{port % 100 + 100}"
    before = await site.count(role, HTTP_FAULTS % "malformed")
    wrong = [
        secrets.token_bytes(200) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
        b"INVITE sip:101@127.0.0.1 SIP/2.0\r\n\r\n",
        b"POST /internal/ledger HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ]
    for request in wrong:
        answer = await raw(site, port, request, source)
        assert answer[:12] in (b"HTTP/1.1 400", b""), answer[:100]
    assert await site.count(role, HTTP_FAULTS % "malformed") == before + len(wrong)
    (told,) = site.told("http_connection_closed", source=source)
    assert "not HTTP" in told["reason"]


async def test_nonsense_in_the_ledger_is_refused_or_rejected_and_the_rest_is_taken(site: Site) -> None:
    rejected = 'mediaserverd_recorder_ledger_entries_total{outcome="rejected"}'
    before = await site.count("recorder", rejected)
    site.daemon.expect("ledger_entry_rejected")
    good: Json = {
        "sequence": 3,
        "at": "2026-01-01T00:00:00Z",
        "event": "failed",
        "recording_id": "ab" * 16,
        "segment": 1,
        "reason": "no-media-server",
    }
    wrong = [{}, {**good, "recording_id": "../../x"}, {**good, "at": "soon"}, {**good, "file": "../../etc/passwd"}]
    async with client(site, "127.0.0.54", site.daemon.secret("ledger")) as controller:
        answer = await controller.post(LEDGER_URL, json={"controller": "stranger", "entries": [*wrong, good]})
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
        assert len(answer.json()["rejected"]) == len(wrong)
        for body in (b"", b"[" * 100_000, b"{}", b'"text"', b"\xff", json.dumps({"controller": 1}).encode()):
            refused = await controller.post(LEDGER_URL, content=body)
            assert refused.status_code == 400
            assert "the body must be" in refused.json()["detail"]
        assert (await controller.post(LEDGER_URL, content=b" " * (5 << 20))).status_code == 413
    assert await site.count("recorder", rejected) == before + len(wrong)
    assert (await site.daemon.api.recording("ab" * 16))["state"] == "failed"


async def test_a_control_body_that_is_too_long_or_nonsense_is_refused_with_what_it_must_be(site: Site) -> None:
    (server,) = (await site.daemon.status.get("controller", "/control/media-servers")).json()["media_servers"]
    approve = f"http://{HOST}:{STATUS_PORTS['controller']}/control/media-servers/{server['name']}/approve"
    async with client(site, HOST, site.daemon.secret("control")) as administrator:
        for body in (b" " * 5000, b'"' + b"x" * 5000 + b'"', b"[" * 4000, b"[]", b"not JSON", b"\xff"):
            refused = await administrator.post(approve, content=body)
            assert (refused.status_code, "JSON object" in refused.json()["detail"]) == (400, True), body[:20]
        for nothing in (b"", b"{}"):
            assert (await administrator.post(approve, content=nothing)).json()["name"] == server["name"]


async def test_hundreds_of_connections_from_one_address_leave_room_for_everybody_else(site: Site) -> None:
    before = await site.count("recorder", HTTP_FAULTS % "source-limit")
    more, writers = 20, []
    try:
        for _ in range(PER_SOURCE + more):
            _, writer = await asyncio.open_connection(
                HOST, API, ssl=trusting(site.daemon.authority), local_addr=("127.0.0.55", 0)
            )
            writers.append(writer)
        await site.counted("recorder", HTTP_FAULTS % "source-limit", before + more)
        assert await site.daemon.api.recordings()
    finally:
        for writer in writers:
            writer.close()
    assert len(site.told("http_connection_closed", source="127.0.0.55")) == 1


@pytest.mark.parametrize(
    ("name", "source", "role"),
    [
        ("HTTP head, recorder", "127.0.0.36", "recorder"),
        ("HTTP head, media", "127.0.0.37", "media"),
        ("HTTP silence", "127.0.0.39", "recorder"),
        ("HTTP body", "127.0.0.40", "recorder"),
    ],
    ids=["head-recorder", "head-media", "silence", "body"],
)
async def test_a_request_that_never_ends_is_cut_off_and_told(
    site: Site, slow_peers: SlowPeers, name: str, source: str, role: str
) -> None:
    assert 14 <= await slow_peers.closed_after_s(name) <= 19
    await asyncio.sleep(0.1)
    (told,) = site.told("http_connection_closed", source=source)
    assert told["reason"] == "a request was not complete within 15 s"
    assert await site.count(role, HTTP_FAULTS % "slow") >= 1
