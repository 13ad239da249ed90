"""A site spread over hosts: one controller, several media servers, one recorder, each on a host of its own.

They know each other as an administrator would have it: certificates of one authority, the same tokens, the recorder's
public keys on the media servers, the media servers' public keys on the recorder. The phones are in the test's own
namespace, at ``hosts.HERE``.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import yaml

from mediaserverd.config import load_config
from mediaserverd.daemon import prepare_host
from tests.kit.account import Transport
from tests.kit.daemon import Daemon, write_config
from tests.kit.doors import Json
from tests.kit.hosts import HERE, Host, Network
from tests.kit.phone import Phone
from tests.kit.rtp import Voice

MEDIA: Final = ("media1", "media2", "media3")
_PATIENCE_S: Final = 30.0


class Cluster:
    """Use as ``async with Cluster.open(tmp_path) as cluster``. ``media`` and ``hosts`` are by name."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.hosts: dict[str, Host] = {}
        self.media: dict[str, Daemon] = {}
        self.controller: Daemon
        self.recorder: Daemon

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        directory: Path,
        changes: Mapping[str, Any] | None = None,
        *,
        media: tuple[str, ...] = MEDIA,
        in_order: bool = False,
        of: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> AsyncIterator[Self]:
        """``changes`` to the configuration of all hosts, ``of`` to those of single ones. ``in_order``: each call is on
        the first media server that there is; else on the least loaded one."""
        if in_order:
            changes = {**(changes or {}), "selection_rules": str(_rules_in_order(directory, media))}
        async with contextlib.AsyncExitStack() as stack:
            cluster = cls(await stack.enter_async_context(Network(directory / "network")))
            names = (*media, "recorder", "controller")  # they stop in the opposite order
            for name in names:
                cluster.hosts[name] = await cluster.network.add(name)
            configs = {
                name: write_config(
                    directory / name, cluster._config(name, media, changes or {}, (of or {}).get(name, {}))
                )
                for name in names
            }
            _make_acquainted(configs, media)
            for name in names:
                await stack.enter_async_context(await cluster._start(name, configs[name]))
            cluster.recorder.expect("media_server_unusable")  # they all start at once, and later servers are lost
            cluster.controller.expect("call_unrecorded")  # while all that could record are lost
            cluster.controller.expect("ledger_slow")  # the disk of a machine that does much else
            await cluster.approve_all()
            for daemon in (*cluster.media.values(), cluster.recorder, cluster.controller):
                await daemon.ready()
                await daemon.open_doors()
            await cluster.all_active()
            yield cluster

    def daemon(self, name: str) -> Daemon:
        return self.media.get(name) or {"recorder": self.recorder, "controller": self.controller}[name]

    async def phone(self, user: str, transport: Transport = "udp", *, frames: int = 1) -> Phone:
        """Registered, and to be closed by the caller. ``frames`` of 20 ms in a packet: more of them for crowds."""
        account = self.controller.account(user, transport)
        phone = await Phone.open(account, lambda: Voice.open(HERE, frames=frames), local=(HERE, 0))
        await phone.register()
        return phone

    async def servers(self) -> dict[str, Json]:
        """What the controller says of each media server."""
        answer = await self.controller.status.get("controller", "/control/media-servers")
        answer.raise_for_status()
        return {one["name"]: one for one in answer.json()["media_servers"]}

    async def approve_all(self) -> None:
        """As an administrator does once for each new media server, when it is connected."""
        door = self.controller.control_door()
        async with asyncio.timeout(_PATIENCE_S):
            for name in self.media:
                while not await door.taken("controller", f"/control/media-servers/{name}/approve"):
                    await asyncio.sleep(0.1)
        await door.close()

    async def all_active(self) -> None:
        await self.until_state("active", *self.media)

    async def until_state(self, state: str, *names: str) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while any(one["state"] != state for name, one in (await self.servers()).items() if name in names):
                await asyncio.sleep(0.05)

    async def _start(self, name: str, config: Path) -> Daemon:
        role = name if name in ("controller", "recorder") else "media"
        daemon = await Daemon.run(config, role=role, host=self.hosts[name])
        if role == "media":
            self.media[name] = daemon
        else:
            setattr(self, role, daemon)
        return daemon

    def _config(self, name: str, media: tuple[str, ...], common: Mapping[str, Any], own: Mapping[str, Any]) -> Json:
        address, recorder = self.hosts[name].address, self.hosts["recorder"].address
        own_media = {"name": name, "ng_address": address, "location": name} if name in media else {}
        return {
            **common,
            **own,
            "address": address,
            "media": {"disk_floor_mib": 16, **common.get("media", {}), **own.get("media", {}), **own_media},
            "media_servers": [{"name": one, "address": self.hosts[one].address, "location": one} for one in media],
            "recorder": {**common.get("recorder", {}), **own.get("recorder", {}), "address": recorder},
        }


def _rules_in_order(directory: Path, media: tuple[str, ...]) -> Path:
    """Each media server is in a location of its own name."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "rules.yaml"
    file.write_text(yaml.safe_dump({"rules": {"default": [*media]}}))
    return file


def _make_acquainted(configs: Mapping[str, Path], media: tuple[str, ...]) -> None:
    """What an administrator copies between hosts before their first start."""
    site = load_config(configs["recorder"])
    prepare_host(site, ("recorder",))
    for name, file in configs.items():
        if name == "recorder":
            continue
        config = load_config(file)
        for kept in (
            site.data_directory / "tls" / "ca.pem",
            site.data_directory / "tls" / "ca.key",
            *site.token_files(),
        ):
            to = config.data_directory / kept.relative_to(site.data_directory)
            to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(kept, to)
        if name in media:
            shutil.copytree(site.data_directory / "keys" / "recipients", config.data_directory / "keys" / "recipients")
            prepare_host(config, ("media",))
            shutil.copytree(config.signers_directory, site.signers_directory, dirs_exist_ok=True)
