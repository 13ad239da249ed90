"""A site over four hosts, set up as the README says: two controllers, a media server, a recorder, each on its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediaserverd.config import load_config
from mediaserverd.daemon import prepare_host
from mediaserverd.process.tls import ensure_site_certificates
from tests.e2e.crowd import converse
from tests.kit.daemon import Daemon, write_config
from tests.kit.doors import Json
from tests.kit.hosts import HERE, Network
from tests.kit.judge import judge_stereo
from tests.kit.phone import Phone
from tests.kit.rtp import Voice
from tests.kit.wav import read_wav

ROLES = {"berlin": "controller", "m2": "media", "vault": "recorder", "paris": "controller"}
PATIENCE_S = 40


class Site:
    """Hosts by name. ``berlin`` is the first, with the site's authority."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.directory = directory
        self.daemons: dict[str, Daemon] = {}
        self.address: dict[str, str] = {}

    async def add_hosts(self) -> None:
        for name in ROLES:
            self.address[name] = (await self.network.add(name)).address
        for name, role in ROLES.items():
            write_config(self.directory / name, self._config(name, role))

    def _config(self, name: str, role: str) -> Json:
        mine: dict[str, Json] = {
            "controller": {
                "controller": {"name": name},
                "recorder": {"address": self.address["vault"]},
                "media_server_defaults": {"parameters": {"dscp": 34}, "properties": {"owner": name}},
            },
            "media": {"media": {"name": name, "ng_address": self.address[name], "disk_floor_mib": 16}},
            "recorder": {},
        }
        servers = [] if role == "media" else [{"name": "m2", "address": self.address["m2"]}]
        return {"address": self.address[name], "audio_path": "always-in", "media_servers": servers, **mine[role]}

    async def start(self, name: str) -> Daemon:
        config = self.directory / name / "config.yaml"
        host = next(host for host in self.network.hosts if host.name == name)
        daemon = await Daemon.run(config, role=ROLES[name], host=host)
        self.daemons[name] = daemon
        async with asyncio.timeout(PATIENCE_S):
            while (missing := await daemon.status.missing(ROLES[name])) and '"ready"' not in missing:
                await asyncio.sleep(0.1)  # nobody there yet; one that is there may wait for the others
        await daemon.open_doors()
        return daemon

    async def join(self, name: str) -> str:
        """As an administrator does it: an invitation from the first host, and its code by another way."""
        daemon = self.daemons["berlin"]
        file = self.directory / f"{name}.invitation"
        words = ("--role", ROLES[name], "--address", self.address[name], "--output", str(file))
        told = await daemon.command("site", "invite", name, *words)
        code = re.search(r"--code (\S+)", told)
        assert code, told
        return await _command("site", "join", file, "--code", code[1], "--directory", self.directory / name)

    async def server(self, controller: str = "berlin") -> Json:
        """What a controller says of the media server."""
        answer = await self.daemons[controller].status.get("controller", "/control/media-servers/m2")
        found: Json = answer.json()
        return found

    async def until(self, state: str, because: str = "", controller: str = "berlin") -> Json:
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.server(controller))["state"] != state or because not in found["reason"]:
                await asyncio.sleep(0.1)
        return found

    @contextlib.asynccontextmanager
    async def phones(self) -> AsyncIterator[tuple[Phone, Phone]]:
        pair = []
        for user in ("alice", "bob"):
            account = self.daemons["berlin"].account(user)
            phone = await Phone.open(account, lambda: Voice.open(HERE), local=(HERE, 0))
            await phone.register()
            pair.append(phone)
        try:
            yield pair[0], pair[1]
        finally:
            for phone in pair:
                await phone.close()


async def _command(*words: object) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mediaserverd", *map(str, words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@contextlib.asynccontextmanager
async def site_of_four(directory: Path) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        site = Site(await stack.enter_async_context(Network(directory / "network")), directory)
        await site.add_hosts()
        prepare_host(load_config(directory / "berlin" / "config.yaml"), ("controller",))
        await stack.enter_async_context(await site.start("berlin"))
        await site.until("connection-failure")  # nobody is there yet
        others = [name for name in ROLES if name != "berlin"]
        for name, told in zip(others, await asyncio.gather(*map(site.join, others)), strict=True):
            assert f"{name} ({ROLES[name]}) is part of the site" in told
        for daemon in await asyncio.gather(*map(site.start, others)):
            daemon.expect("media_server_unusable")  # they all start at once, and the media server goes first
            await stack.enter_async_context(daemon)
        yield site


@pytest.mark.timeout(300)  # four daemons, and a dozen commands, on hosts that share two processors with other tests
async def test_hosts_that_joined_record_a_call_of_one_controller_while_another_shares_the_media_server(
    tmp_path: Path,
) -> None:
    async with site_of_four(tmp_path) as site:
        await it_waits_until_it_is_approved(site)
        async with site.phones() as (alice, bob):
            await a_recorded_call_survives_a_drain_and_a_second_controller(site, alice, bob)
        await what_holds_is_shown_with_where_it_came_from(site)
        await a_wrong_token_and_a_wrong_certificate_are_told_apart(site)


async def it_waits_until_it_is_approved(site: Site) -> None:
    berlin = site.daemons["berlin"]
    waiting = await site.until("waiting", "not approved")
    assert waiting["unavailable"].startswith("waiting: not approved")
    listed = " ".join((await berlin.command("media-server", "list")).split())
    assert "waiting" in listed
    for command in ("approve", "drain"):
        body = {"fingerprint": "SHA256:of another"}
        refused = await berlin.status.post("controller", f"/control/media-servers/m2/{command}", body)
        assert refused.status_code == 409, refused.text
    told = await berlin.command("media-server", "approve", "m2", "--fingerprint", waiting["fingerprint"])
    assert f"m2 is approved with {waiting['fingerprint']}" in told
    assert (await site.until("active"))["approved"] is True


async def a_recorded_call_survives_a_drain_and_a_second_controller(site: Site, alice: Phone, bob: Phone) -> None:
    berlin, m2, vault = (site.daemons[name] for name in ("berlin", "m2", "vault"))
    call = await converse(alice, bob, "101", 950)
    await site.daemons["paris"].status.post("controller", "/control/media-servers/m2/approve")
    seen = await site.until("active", controller="paris")
    await asyncio.sleep(1)
    again = await berlin.status.post("controller", "/control/media-servers/m2/drain")
    assert again.json()["state"] == "draining"
    assert "m2 is draining, 1 calls run" in await berlin.command("media-server", "drain", "m2")
    assert (await site.until("draining", controller="paris"))["unavailable"]
    await asyncio.sleep(2)
    assert (seen["sessions"], seen["own_sessions"], seen["controllers"]) == (1, 0, {"berlin": 1}), "none of its own"
    await call.caller.hang_up()
    await site.until("deactivated")
    (recording,) = await vault.api.settled(1)
    assert recording["state"] == "stored", recording
    verdict = judge_stereo(*call.voices, read_wav(await vault.api.audio(recording["id"])))
    assert verdict.faults(seconds=3, skew_ms=None) == []
    await m2.retrieval.empty_of()
    assert "m2 is active" in await m2.command("media-server", "activate")
    await site.until("active")


async def what_holds_is_shown_with_where_it_came_from(site: Site) -> None:
    shown = await site.daemons["paris"].command("media-server", "show", "m2", "--effective")
    assert "active since" in shown
    effective = {each["name"]: each for each in (await site.server("paris"))["effective"]}
    paris, m2 = (site.daemons[name].config for name in ("paris", "m2"))
    assert effective["dscp"]["value"] == 34
    assert effective["dscp"]["origin"].startswith(f"controller, all media servers, {paris}:")
    assert effective["disk_floor_mib"]["origin"].startswith(f"media server, {m2}:")
    assert (effective["owner"]["value"], effective["session_limit"]["origin"]) == ("paris", "default")


async def a_wrong_token_and_a_wrong_certificate_are_told_apart(site: Site) -> None:
    paris, m2 = site.daemons["paris"], site.daemons["m2"]
    (paris.directory / "wrong.token").write_text("not the one of m2\n")
    _change(paris.config, media_servers=[{"name": "m2", "address": m2.address, "ng_token_file": "wrong.token"}])
    paris.reload()
    found = await site.until("authentication-failure", controller="paris")
    assert "refuses the token" in found["reason"]
    assert await m2.stop() == []
    strangers = m2.directory / "strangers"
    ensure_site_certificates(strangers, [m2.address, "localhost", "127.0.0.1", "::1"])
    for file in ("server.pem", "server.key"):
        shutil.copy(strangers / file, m2.data / "tls" / file)
    again = await site.start("m2")
    found = await site.until("authentication-failure")
    assert "certificate" in found["reason"]
    assert await again.stop() == []


def _change(config: Path, **keys: Any) -> None:
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **keys}, sort_keys=False))
