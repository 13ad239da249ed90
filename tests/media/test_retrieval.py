"""Retrieval over real HTTPS: what a recorder, a curl and a stranger get."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mediaserverd.media.recipients import Recipients
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report, media_type_of, stem_of
from mediaserverd.media.retrieval import application
from mediaserverd.media.sealing import Sealer
from mediaserverd.process.http import HttpServer
from mediaserverd.process.tls import ServerTls, client_context, ensure_site_certificates
from mediaserverd.protocol.sasf.keys import key_id
from tests.kit.g711 import PCMU
from tests.kit.speech import speech
from tests.media.spools import RECIPIENT, RunningFile, identity_file, padded, stream, write

STEM = stem_of("ab" * 16, 1)
FILE = STEM + ".sasf"
RUNNING = stem_of("cd" * 16, 1) + ".sasf"
IDENTITY = Ed25519PrivateKey.generate()
TOKEN = "a-token"
CONTENT = RunningFile(stream(0, PCMU.encode(padded(speech(1, 3)))), 3000, recipients=[RECIPIENT.public_key()]).encode()


@dataclass(frozen=True, slots=True)
class Site:
    client: httpx.AsyncClient
    stranger: httpx.AsyncClient
    recordings: Recordings
    audio: bytes
    url: str
    tls: Path


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    tls, shelf = tmp_path / "tls", tmp_path / "spool"
    shelf.mkdir()
    ensure_site_certificates(tls, ["127.0.0.1"])
    write(shelf / f"{STEM}.spool", CONTENT)
    sealer = Sealer(identity_file(tmp_path))
    await sealer.seal(shelf, STEM)
    recordings = Recordings(shelf, sealer)
    await recordings.open()
    recordings.begin(
        Report(
            RUNNING,
            "cd" * 16,
            1,
            "c2",
            "running",
            "",
            media_type_of(RUNNING),
            "audio/opus",
            True,
            "2026-01-02T00:00:00.000Z",
            None,
        )
    )
    recipients = Recipients(tmp_path / "recipients")
    recipients.load()
    server = HttpServer(
        application(recordings, TOKEN, "media-1", IDENTITY.public_key(), recipients),
        "127.0.0.1",
        0,
        ServerTls(tls / "server.pem", tls / "server.key", tls / "ca.pem"),
    )
    await server.start()
    url = f"https://127.0.0.1:{server.port}"
    context = client_context(tls / "ca.pem")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx.AsyncClient(base_url=url, verify=context, headers=headers) as client,
        httpx.AsyncClient(base_url=url, verify=context) as stranger,
    ):
        audio = await asyncio.to_thread((shelf / FILE).read_bytes)
        yield Site(client, stranger, recordings, audio, url, tls)
    await server.stop()
    await recordings.close()
    await sealer.close()


async def test_everything_is_listed_oldest_first(site: Site) -> None:
    answer = (await site.client.get("/recordings")).json()
    assert answer["server"] == "media-1"
    assert [(each["file"], each["state"]) for each in answer["recordings"]] == [
        (FILE, "finished"),
        (RUNNING, "running"),
    ]


async def test_a_report_is_given_while_the_recording_runs_too(site: Site) -> None:
    finished = (await site.client.get(f"/recordings/{FILE}/report")).json()
    running = (await site.client.get(f"/recordings/{RUNNING}/report")).json()
    assert finished["sha256"] == hashlib.sha256(site.audio).hexdigest()
    assert (running["state"], running["sha256"], running["ended_at"]) == ("running", None, None)


async def test_a_file_comes_whole_with_digest_etag_and_name(site: Site) -> None:
    answer = await site.client.get(f"/recordings/{FILE}")
    digest = hashlib.sha256(site.audio)
    assert (answer.status_code, answer.content) == (200, site.audio)
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["content-disposition"] == f'attachment; filename="{FILE}"'
    assert answer.headers["content-type"] == "application/vnd.mediaserverd.sasf"
    assert site.audio == CONTENT
    assert answer.headers["accept-ranges"] == "bytes"


async def test_head_is_get_without_body(site: Site) -> None:
    head, get = await site.client.head(f"/recordings/{FILE}"), await site.client.get(f"/recordings/{FILE}")
    assert head.status_code == 200
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-43", 0, 43), ("bytes=1000-", 1000, None), ("bytes=-500", -500, None), ("bytes=40-99999999", 40, None)],
)
async def test_a_range_is_answered_with_that_part(site: Site, asked: str, first: int, last: int | None) -> None:
    answer = await site.client.get(f"/recordings/{FILE}", headers={"Range": asked})
    size = len(site.audio)
    start, end = first % size, size - 1 if last is None else last
    assert (answer.status_code, answer.content) == (206, site.audio[start : end + 1])
    assert answer.headers["content-range"] == f"bytes {start}-{end}/{size}"
    assert answer.headers["repr-digest"].startswith("sha-256=:")


async def test_a_range_behind_the_end_is_416(site: Site) -> None:
    answer = await site.client.get(f"/recordings/{FILE}", headers={"Range": "bytes=99999999-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(site.audio)}")


async def test_if_range_resumes_the_same_file_and_restarts_another(site: Site) -> None:
    etag = (await site.client.head(f"/recordings/{FILE}")).headers["etag"]
    same = await site.client.get(f"/recordings/{FILE}", headers={"Range": "bytes=100-", "If-Range": etag})
    other = await site.client.get(f"/recordings/{FILE}", headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (same.status_code, same.content) == (206, site.audio[100:])
    assert (other.status_code, other.content) == (200, site.audio)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_running_recording_is_409_with_retry_after(site: Site, method: str) -> None:
    answer = await site.client.request(method, f"/recordings/{RUNNING}")
    assert answer.status_code == 409
    assert int(answer.headers["retry-after"]) > 0


async def test_delete_is_for_good_and_can_be_repeated(site: Site) -> None:
    answers = [(await site.client.delete(f"/recordings/{FILE}")).status_code for _ in range(3)]
    assert answers == [204, 204, 204]
    assert (await site.client.get(f"/recordings/{FILE}")).status_code == 404
    assert (await site.client.delete(f"/recordings/{stem_of('00' * 16, 9)}.sasf")).status_code == 204
    assert [path.name for path in await asyncio.to_thread(lambda: list(site.recordings.directory.iterdir()))] == []


@pytest.mark.parametrize("path", ["/recordings", f"/recordings/{FILE}", "/", "/nothing"])
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic YTpi", f"Bearer {TOKEN}x", "Bearer é"])
async def test_a_stranger_gets_401_and_learns_nothing(site: Site, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = await site.stranger.get(path, headers=headers)  # type: ignore[arg-type]  # bytes keep the odd letter
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert FILE not in answer.text


async def test_a_client_certificate_of_the_site_opens_too(site: Site) -> None:
    context = client_context(site.tls / "ca.pem")
    context.load_cert_chain(site.tls / "server.pem", site.tls / "server.key")
    async with httpx.AsyncClient(base_url=site.url, verify=context) as recorder:
        assert (await recorder.get(f"/recordings/{FILE}")).content == site.audio


async def test_a_certificate_of_another_site_does_not(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    ensure_site_certificates(other, ["127.0.0.1"])
    context = client_context(site.tls / "ca.pem")
    context.load_cert_chain(other / "server.pem", other / "server.key")
    async with httpx.AsyncClient(base_url=site.url, verify=context) as recorder:
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            await recorder.get(f"/recordings/{FILE}")


async def raw_status(site: Site, method: str, path: str) -> int:
    """The status of a request whose path is on the wire as it is here: an HTTP client would tidy it first."""
    url = httpx.URL(site.url)
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=client_context(site.tls / "ca.pem"))
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    status = int((await reader.read()).split(b" ", 2)[1])
    writer.close()
    return status


TRICKS = [
    "/recordings/..%2f..%2fetc%2fpasswd",
    "/recordings/%2e%2e/secrets",
    "/recordings/..",
    f"/recordings/{STEM}.sasf%00",
    f"/recordings/{STEM}.sasf/../{STEM}.json",
    f"/recordings/{STEM.upper()}.wav",
    f"/recordings/.{STEM}.sasf.part",
    "/recordings/" + "a" * 5000,
    f"/recordings/{STEM}",
    "/recordings/%ff%fe",
    "/recordings//" + FILE,
]


@pytest.mark.parametrize("path", TRICKS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_tricks_with_paths_are_404_and_touch_nothing(site: Site, path: str, method: str) -> None:
    assert await raw_status(site, method, path) == 404
    assert (await site.client.get(f"/recordings/{FILE}")).status_code == 200


async def test_other_files_of_a_recording_are_not_served(site: Site) -> None:
    for ending in ("json", "spool", "unreadable"):
        assert (await site.client.get(f"/recordings/{STEM}.{ending}")).status_code == 404
        await site.client.delete(f"/recordings/{STEM}.{ending}")
    assert (await site.client.get(f"/recordings/{FILE}")).status_code == 200


async def test_a_recorder_with_its_certificate_says_for_whom_to_encrypt_and_a_token_is_not_enough(
    site: Site, tmp_path: Path
) -> None:
    directory = tmp_path / "recipients"
    directory.mkdir()
    first, second, escrow = (X25519PrivateKey.generate().public_key() for _ in range(3))
    first_pem, second_pem, escrow_pem = (
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in (first, second, escrow)
    )
    (directory / "escrow.pem").write_bytes(escrow_pem)
    refused = await site.client.put("/recipients", json={"recipients": [first_pem.decode()]})
    assert refused.status_code == 403
    assert (await site.client.get("/recordings")).json()["recipients"] is None
    trust = client_context(site.tls / "ca.pem", ServerTls(site.tls / "server.pem", site.tls / "server.key"))
    async with httpx.AsyncClient(base_url=site.url, verify=trust) as recorder:
        for given, kept in ((first, first_pem), (second, second_pem)):
            assert (await recorder.put("/recipients", json={"recipients": [kept.decode()]})).status_code == 204
            listing = (await recorder.get("/recordings")).json()
            assert listing["recipients"] == [key_id(given)]
        for broken in ([], ["no key"], ["x" * 300_000], None):
            assert (await recorder.put("/recipients", json={"recipients": broken})).status_code == 400
        listing = (await recorder.get("/recordings")).json()
    assert load_pem_public_key(listing["signing_key"].encode()) == IDENTITY.public_key()
    assert listing["recipients"] == [key_id(second)]
    assert {file.name for file in directory.iterdir()} == {"escrow.pem", f"{key_id(second)}.pem"}
