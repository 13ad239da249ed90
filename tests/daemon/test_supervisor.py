"""`mediaserverd run`: three supervised children that come up, come back, reload and end in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.kit.daemon import Daemon
from tests.kit.doors import ROLES


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with await Daemon.start(tmp_path / "site") as running:
        yield running


async def test_all_roles_become_ready_and_end_cleanly(daemon: Daemon) -> None:
    """The kit's own end of a daemon fails the test on errors in the log and on processes left behind."""
    for role in ROLES:
        assert (await daemon.status.get(role, "/health/live")).status_code == 200
    assert await daemon.stop() == []


async def test_every_killed_role_comes_back_by_itself(daemon: Daemon) -> None:
    for role in ROLES:
        daemon.expect("media_server_unusable", "ledger_undelivered")  # what the others say of it meanwhile
        await daemon.came_back(role, daemon.kill(role))


async def test_a_good_configuration_is_taken_over_and_a_bad_one_changes_nothing(daemon: Daemon) -> None:
    daemon.expect("reload_refused")
    good = daemon.config.read_text()
    daemon.config.write_text(good + "nonsense: true\n")
    daemon.reload()
    refused = await daemon.logged("reload_refused")
    assert f"{daemon.config}:{len(good.splitlines()) + 1}: nonsense: unknown key" in refused["faults"][0]
    daemon.config.write_text(good)
    daemon.reload()
    async with asyncio.timeout(10):
        while {line["role"] for line in daemon.log() if line.get("event") == "reloaded"} != set(ROLES):
            await asyncio.sleep(0.1)


async def test_children_do_not_outlive_a_killed_supervisor(daemon: Daemon) -> None:
    children = [daemon.pid(role) for role in ROLES]
    daemon.kill_supervisor()
    async with asyncio.timeout(20):
        while any(Path(f"/proc/{pid}/exe").exists() for pid in children):
            await asyncio.sleep(0.1)


async def test_a_second_daemon_is_told_that_its_ports_are_taken(daemon: Daemon, tmp_path: Path) -> None:
    second = await Daemon.start(tmp_path / "second", ready=False)
    second.expect("start_failed", "role_cannot_start", "role_died")
    assert await second.ended() == 78  # EX_CONFIG: the administrator must change something
    faults = " ".join(str(line.get("fault")) for line in second.log())
    assert "in use" in faults
    assert "free the port or set another one" in faults
    await second.stop()
    assert Path(f"/proc/{daemon.pid('controller')}").exists(), "the first daemon goes on"


async def test_a_media_server_alone_says_whose_public_key_it_lacks_and_is_ready_once_it_has_it(tmp_path: Path) -> None:
    async with await Daemon.start(tmp_path, role="media", ready=False) as media:
        await media.logged("started")
        answer = await media.status.get("media", "/health/ready")
        assert answer.status_code == 503
        assert "put the recorder's there" in answer.json()["missing"]["keys"]
        recipients = media.data / "keys" / "recipients"
        recipients.mkdir(parents=True, exist_ok=True)
        (recipients / "recorder.pem").write_bytes(_public_key())
        await media.ready()
        assert (await media.status.get("media", "/health/ready")).status_code == 200


def _public_key() -> bytes:
    return X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
