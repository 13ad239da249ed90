"""A running site for call tests: the controller, the real media server and a listening recorder in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from mediaserverd.controller.server import Controller
from mediaserverd.media.parameters import Level, Parameters
from mediaserverd.media.server import MediaServer
from mediaserverd.media.settings import MediaSettings
from mediaserverd.process.tls import client_context
from tests.controller.raw_phone import OutgoingCall, RawMessage, RawPhone
from tests.controller.site import Site, controller_settings
from tests.controller.test_ledger import ListeningRecorder
from tests.controller.waiting import until
from tests.media.calls import with_recipient


def media_settings(site: Site) -> MediaSettings:
    spool = site.directory / "spool"
    spool.mkdir(exist_ok=True)
    tls = site.server_tls
    parameters = Parameters(rtp_address="127.0.0.1", rtp_advertised="127.0.0.1", disk_floor_mib=0)
    return MediaSettings(
        name="m1", own=Level(parameters=parameters), spool_directory=spool,
        ng_token_file=site.token_file("ng"), retrieval_token_file=site.token_file("retrieval"),
        certificate=tls.certificate, private_key=tls.private_key, certificate_authority=site.authority,
        control_token_file=site.token_file("control"), identity_file=site.directory / "media-identity.pem",
        drain_file=site.directory / "drained.json", recipients_directory=with_recipient(site.directory / "recipients"),
    )  # fmt: skip


class Stage:
    """A running site."""

    def __init__(self, site: Site, controller: Controller, media: MediaServer, recorder: ListeningRecorder) -> None:
        self.site = site
        self.media = media
        self.controller = controller
        self.recorder = recorder
        self._client = httpx.AsyncClient(
            base_url="http://127.0.0.1:9501", trust_env=False,
            headers={"Authorization": f"Bearer {site.token('control')}"},
        )  # fmt: skip

    async def get(self, path: str) -> Any:
        return (await self._client.get(path)).json()

    async def post(self, path: str, body: object = None) -> tuple[int, Any]:
        answer = await self._client.post(path, json=body)
        return answer.status_code, answer.json()

    async def running(self) -> int:
        return len((await self.get("/control/calls"))["running"])

    def ledger(self, *keys: str) -> list[tuple[Any, ...]]:
        return [tuple(entry.get(key) for key in keys) for entry in self.recorder.entries]

    async def phone(self, name: str, transport: str = "udp") -> RawPhone:
        tls = client_context(self.site.authority) if transport == "tls" else None
        server = ("127.0.0.1", 5061 if transport == "tls" else 5060)
        phone = await RawPhone(name, transport=transport, server=server).open(tls)
        assert (await phone.register()).status == 200
        return phone

    async def close(self) -> None:
        await self._client.aclose()


async def talk(alice: RawPhone, bob: RawPhone, number: str = "102") -> tuple[OutgoingCall, RawMessage, RawMessage]:
    """A call that is up: the caller's dialog, the INVITE that bob got, and the 200 that alice got."""
    call = alice.start_call(number)
    await call.invite(alice.sdp(40000))
    invite = await bob.next("INVITE")
    bob.reply(invite, 180, "Ringing")
    await alice.next(180)
    bob.reply(invite, 200, "OK", bob.sdp(50000))
    answer = call.take(await alice.next(200))
    call.send("ACK")
    await bob.next("ACK")
    return call, invite, answer


@asynccontextmanager
async def stage_of(site: Site, **given: object) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        recorder = ListeningRecorder(site, 8443, controller="ctl")
        await recorder.server.start()
        stack.push_async_callback(recorder.server.stop)
        media = MediaServer(media_settings(site))
        await media.start()
        stack.push_async_callback(media.stop)
        controller = Controller(controller_settings(site, **given))
        await controller.start()
        stack.push_async_callback(controller.stop)
        stage = Stage(site, controller, media, recorder)
        stack.push_async_callback(stage.close)
        await until(lambda: not controller._not_ready())
        yield stage
