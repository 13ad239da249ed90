"""kill -9 at any point of a fetch: afterwards one verified copy is in the store, and the source is deleted."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from mediaserverd.process.tls import client_context
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.recorder.tokens import create_token
from mediaserverd.recorder.vault import Vault
from tests.recorder.child import POINTS, Child
from tests.recorder.media_server import File, whole_call
from tests.recorder.sasf_files import Pen
from tests.recorder.site import ALL_SCOPES, PATIENCE_S, Site, link, make_site, until_true


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A media server here; the recorder is a child of each test."""
    site = make_site(tmp_path)
    await site.media.start()
    site.settings = site.settings.model_copy(update={"media_servers": (link(site),)})
    yield site
    await site.media.stop()


async def start_child(site: Site, point: str = "") -> tuple[Child, str]:
    """The process, and the URL of its API."""
    child = Child(site.settings, point)
    return child, await child.url()


async def announce(site: Site, url: str, files: Sequence[File], first_sequence: int = 1) -> None:
    entries = [
        each
        for number, file in enumerate(files)
        for each in whole_call(first_sequence + 3 * number, file.report["recording_id"], file.report["file"])
    ]
    token = site.settings.ledger_token_file.read_text().strip()
    async with httpx.AsyncClient(verify=client_context(site.settings.certificate_authority)) as client:
        body = {"controller": "controller", "entries": entries}
        response = await client.post(f"{url}/internal/ledger", json=body, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200


async def everything_is_stored_once(site: Site, url: str, files: Sequence[File]) -> None:
    token = create_token(site.settings.database_url, "tester", ALL_SCOPES)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        asyncio.timeout(PATIENCE_S),
        httpx.AsyncClient(verify=client_context(site.settings.certificate_authority), headers=headers) as client,
    ):
        counts: dict[str, int] = {}
        while counts.get("stored") != len(files) or counts.get("undeleted_segments"):
            counts = (await client.get(f"{url}/api/v1/reconciliation")).json()
            await asyncio.sleep(0.1)
        assert (counts["expected"], counts["failed"], counts["pending"]) == (len(files), 0, 0)
    assert sorted(path.read_bytes() for path in site.stored_files()) == sorted(file.content for file in files)
    assert site.media.files == {}
    assert list((site.directory / "recorder" / "incoming").iterdir()) == []


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point_it_ends_with_one_copy_and_a_deleted_source(site: Site, point: str) -> None:
    file = site.media.add(size=300_000)
    child, url = await start_child(site, point)
    await announce(site, url, [file])
    assert await child.end() == -signal.SIGKILL
    if file.report["file"] not in site.media.files:
        assert len(site.stored_files()) == 1, "the source was deleted before the store had it"
    child, url = await start_child(site)
    try:
        await everything_is_stored_once(site, url, [file])
    finally:
        await child.kill()


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point_an_encrypted_recording_is_stored_without_its_keys_and_can_be_heard(
    site: Site, point: str
) -> None:
    Vault.open(site.settings.keys_directory, None)
    file = Pen(site).add()
    child, url = await start_child(site, point)
    await announce(site, url, [file])
    assert await child.end() == -signal.SIGKILL
    child, url = await start_child(site)
    try:
        await until_true(lambda: not site.media.files)
        headers = {"Authorization": f"Bearer {create_token(site.settings.database_url, 'tester', ALL_SCOPES)}"}
        trust = client_context(site.settings.certificate_authority)
        async with httpx.AsyncClient(verify=trust, headers=headers, timeout=PATIENCE_S) as client:
            answer = await client.get(f"{url}/api/v1/recordings/{file.report['recording_id']}/audio")
        assert (answer.status_code, answer.content[:4]) == (200, b"RIFF")
        (path,) = site.stored_files()
        assert SasfReader(path.read_bytes()).keybox.keys == ()
        incoming = site.directory / "recorder" / "incoming"
        await until_true(lambda: not list(incoming.iterdir()))
    finally:
        await child.kill()


async def test_killed_in_the_middle_of_a_transfer_it_goes_on_where_it_was(site: Site) -> None:
    file = site.media.add(size=6_000_000)
    site.media.misdeed.slow_piece_s = 0.002
    child, url = await start_child(site)
    await announce(site, url, [file])
    incoming = site.directory / "recorder" / "incoming"
    await until_true(lambda: sum(path.stat().st_size for path in incoming.iterdir()) >= 2_000_000)
    await child.kill()
    child, url = await start_child(site)
    try:
        await everything_is_stored_once(site, url, [file])
    finally:
        await child.kill()
    first, second = [asked.range for asked in site.media.asked if asked.path.endswith(".wav") and asked.method == "GET"]
    assert first is None
    assert int((second or "bytes=0-").removeprefix("bytes=").rstrip("-")) >= 2_000_000


async def test_killed_again_and_again_it_ends_with_one_copy_of_each(site: Site) -> None:
    dice = random.Random(5)
    files = [site.media.add(size=dice.randrange(1000, 800_000)) for _ in range(25)]
    site.media.misdeed.slow_piece_s = 0.003
    child, url = await start_child(site)
    await announce(site, url, files)
    for _ in range(5):
        await asyncio.sleep(dice.uniform(0.05, 0.5))
        await child.kill()
        child, url = await start_child(site)
    try:
        await everything_is_stored_once(site, url, files)
    finally:
        await child.kill()


async def test_leftovers_of_a_killed_write_are_swept_from_the_store(site: Site) -> None:
    leftover = site.store / "2026" / "01" / "02" / "x-1.wav#1"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    os.utime(leftover, (1, 1))
    child, _ = await start_child(site)
    try:
        await until_true(lambda: not leftover.exists())
    finally:
        await child.kill()


async def test_a_full_store_delays_recordings_and_loses_none(site: Site) -> None:
    """The store is a small tmpfs in a mount namespace of the child's own."""
    files = [site.media.add(size=400_000) for _ in range(3)]
    site.store.mkdir()
    mount = f"mount -t tmpfs -o size=2m none {site.store}"
    ballast = f"head -c 1500000 /dev/zero >{site.store}/ballast"
    child = Child(site.settings, commands=[mount, ballast])
    try:
        url = await child.url()
        await announce(site, url, files)
        token = create_token(site.settings.database_url, "tester", ALL_SCOPES)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            verify=client_context(site.settings.certificate_authority), headers=headers
        ) as client:

            async def is_told() -> bool:
                page = (await client.get(f"{url}/api/v1/recordings")).json()
                return any(recording["reason"] == "store-full" for recording in page["recordings"])

            deadline = time.monotonic() + PATIENCE_S
            while not await is_told():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        assert len(site.media.files) >= 2
        inside = Path(f"/proc/{child.pid}/root{site.store}")
        (inside / "ballast").unlink()
        await until_true(lambda: not site.media.files)
        assert contents(inside) == sorted(file.content for file in files)
    finally:
        await child.kill()


def contents(store: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in store.rglob("*.wav"))
