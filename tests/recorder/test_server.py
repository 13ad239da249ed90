"""The role: what stops it from starting, what a reload does, what it says of its readiness."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserverd.process.role import StartFault
from mediaserverd.recorder.server import Recorder
from tests.recorder.media_server import whole_call
from tests.recorder.site import PATIENCE_S, Site, link, make_site, run_site


async def readiness(site: Site) -> dict[str, Any]:
    assert site.recorder is not None
    async with httpx.AsyncClient() as client:
        return dict((await client.get(f"http://127.0.0.1:{site.recorder.status_port}/health/ready")).json())


async def until_ready(site: Site, wanted: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (await readiness(site))["ready"] is not wanted:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"store_url": "file:///proc/nothing"}, "store"),
        ({"store_url": "nonsense://x"}, "store_url"),
        ({"database_url": "sqlite:////proc/nothing/x.sqlite"}, "database"),
        ({"ledger_token_file": Path("/nothing/ledger.token")}, "/nothing/ledger.token"),
        ({"certificate_authority": Path("/nothing/ca.pem")}, "/nothing/ca.pem"),
        ({"certificate": Path("/nothing/server.pem")}, "/nothing/server.pem"),
        ({"incoming_directory": Path("/proc/nothing")}, "incoming_directory"),
    ],
)
async def test_a_fault_at_start_is_a_sentence_that_names_the_place(
    tmp_path: Path, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(StartFault, match=told):
        await Recorder(make_site(tmp_path, **wrong).settings).start()


async def test_a_port_in_use_stops_the_start_and_nothing_lingers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site = make_site(tmp_path, api_port=taken.getsockname()[1])
        with pytest.raises(StartFault, match="free the port"):
            await Recorder(site.settings).start()
    await site.start()  # the same in good order: no metric, database or listener is left over from before
    await site.stop()


async def test_a_reload_tells_what_needs_a_restart_and_applies_the_rest(site: Site) -> None:
    assert site.recorder is not None
    changed = {"store_url": "file:///elsewhere", "api_port": 1, "missing_after_s": 99.0}
    assert await site.recorder.reload(site.settings.model_copy(update=changed)) == ["store_url", "api_port"]


async def test_a_reload_with_a_fault_changes_nothing(site: Site) -> None:
    assert site.recorder is not None
    broken = link(site).model_copy(update={"token_file": Path("/nothing/retrieval.token")})
    with pytest.raises(StartFault, match=r"retrieval\.token"):
        await site.recorder.reload(site.settings.model_copy(update={"media_servers": (broken,)}))
    recording_id = site.media.add().report["recording_id"]
    await site.ledger(whole_call(1, recording_id))
    await site.until_gone_from_source(recording_id)


async def test_a_transfer_that_runs_while_media_servers_are_reloaded_is_finished(site: Site) -> None:
    assert site.recorder is not None
    file = site.media.add(size=500_000)
    site.media.misdeed.slow_piece_s = 0.03
    await site.ledger(whole_call(1, file.report["recording_id"]))
    await asyncio.sleep(0.5)
    await site.recorder.reload(site.settings)
    await site.until_gone_from_source(file.report["recording_id"])
    assert site.media.count("GET", ".wav") == 1


async def test_it_is_ready_once_a_media_server_has_answered_and_not_while_none_does(tmp_path: Path) -> None:
    site = await run_site(tmp_path)
    await until_ready(site, True)
    await site.media.stop()
    await until_ready(site, False)
    assert list((await readiness(site))["missing"]) == ["media servers"]
    await site.stop()


async def test_it_stops_within_a_moment_in_the_middle_of_a_transfer(tmp_path: Path) -> None:
    site = await run_site(tmp_path)
    file = site.media.add(size=2_000_000)
    site.media.misdeed.slow_piece_s = 0.1
    await site.ledger(whole_call(1, file.report["recording_id"]))
    await asyncio.sleep(0.5)
    async with asyncio.timeout(6):
        await site.stop()
    assert file.report["file"] in site.media.files
    site.media.misdeed.slow_piece_s = 0
    await site.start()
    await site.until_gone_from_source(file.report["recording_id"])
    await site.stop()
    await site.media.stop()
