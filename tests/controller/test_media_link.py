"""The link to a media server, against a real WebSocket server with TLS that can hang, refuse and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from mediaserverd.controller.approvals import Approvals
from mediaserverd.controller.media_link import MediaFault, MediaState, Ourselves
from mediaserverd.controller.media_servers import MediaServers
from mediaserverd.controller.selecting import as_candidate
from mediaserverd.controller.settings import MediaServerLink
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import server_context
from tests.controller.site import Site, make_site
from tests.controller.waiting import until

pytestmark = pytest.mark.timeout(30)


class NgPeer:
    """Answers ping, list and delete; ``silent`` makes it hang without closing."""

    def __init__(self, site: Site) -> None:
        self.token = site.token("ng")
        self.silent = False
        self.draining = False
        self.sessions = 0
        self.calls: list[str] = []
        self.missed: list[dict[str, str]] = []
        self.configured: list[dict[str, Any]] = []
        self.terms: dict[str, Any] = {"result": "ok"}
        self.deleted: list[str] = []
        self.connections: set[ServerConnection] = set()
        self.port = 0

    async def serve_one(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        async for message in connection:
            assert isinstance(message, str)
            cookie, _, document = message.partition(" ")
            reply = self.reply(json.loads(document))
            if reply is not None and not self.silent:
                await connection.send(f"{cookie} {json.dumps(reply)}")

    def reply(self, command: dict[str, Any]) -> dict[str, Any] | None:
        match command["command"]:
            case "ping":
                load = {"sessions": self.sessions, "max-sessions": 10, "draining": self.draining, "cpu-permille": 7}
                return {"result": "pong", "load": load}
            case "configure":
                self.configured.append(command)
                return self.terms
            case "list":
                return {"result": "ok", "calls": self.calls, "notifications": self.missed}
            case "delete":
                self.deleted.append(command["call-id"])
                return {"result": "ok"}
            case other:
                return {"result": "error", "error-reason": f"Unrecognized command {other}"}

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {self.token}":
            return None
        return connection.respond(401, "no\n")


class Heard:
    """What the link told its owner."""

    def __init__(self, ours: Mapping[str, bool] | None = None) -> None:
        self.lost: list[tuple[str, str]] = []
        self.usable: list[str] = []
        self.notifications: list[Mapping[str, Any]] = []
        self.ours = ours or {}

    def media_listed(self, server: str, call_ids: Collection[str] | None) -> None:
        self.listed = call_ids

    def media_lost(self, server: str, reason: str) -> None:
        self.lost.append((server, reason))

    def media_usable(self, server: str) -> None:
        self.usable.append(server)

    def media_notified(self, server: str, notification: Mapping[str, Any]) -> None:
        self.notifications.append(notification)

    def owns_media_call(self, server: str, call_id: str) -> bool | None:
        return self.ours.get(call_id)


@asynccontextmanager
async def listening(peer: NgPeer, site: Site) -> AsyncIterator[None]:
    context = server_context(site.server_tls)
    async with serve(
        peer.serve_one, "127.0.0.1", peer.port, ssl=context, process_request=peer.admit,
        subprotocols=["ng.rtpengine.com"],  # type: ignore[list-item]
    ) as server:  # fmt: skip
        peer.port = next(iter(server.sockets)).getsockname()[1]
        yield


def _servers(site: Site, port: int, heard: Heard, **given: Any) -> MediaServers:
    link = _link(site, port, **given)
    return MediaServers([link], Ourselves("ctl", "one", site.authority), Approvals(site.directory), heard)


def _link(site: Site, port: int, **given: Any) -> MediaServerLink:
    values = {"name": "m1", "url": f"wss://localhost:{port}/", "token_file": site.token_file("ng")}
    return MediaServerLink.model_validate({**values, **given})


async def test_a_server_is_active_once_it_has_told_its_load(site: Site) -> None:
    peer, heard = NgPeer(site), Heard()
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard)
        assert servers.states()[0].state is MediaState.NOT_CONNECTED
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        load = servers.states()[0].load
        assert (load.max_sessions, load.cpu_permille, load.draining) == (10, 7, False)
        assert not servers.relays_only("m1")
        peer.draining, peer.sessions = True, 2
        await until(lambda: servers.states()[0].state is MediaState.DRAINING)
        peer.sessions = 0
        await until(lambda: servers.states()[0].state is MediaState.DEACTIVATED)
        assert (await servers.request("m1", {"command": "nonsense"}))["result"] == "error"
        await servers.stop()
    assert heard.lost == [("m1", "this controller let it go")]


async def test_a_server_that_takes_no_terms_is_an_rtpengine_and_used_as_a_relay(site: Site) -> None:
    peer, heard = NgPeer(site), Heard()
    peer.terms = {"result": "error", "error-reason": "Unrecognized command"}
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard)
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        assert servers.relays_only("m1")
        await servers.stop()


async def test_a_silent_server_is_lost_within_about_a_second_and_used_again_when_it_is_back(site: Site) -> None:
    peer, heard = NgPeer(site), Heard()
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard)
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        peer.silent = True
        began = asyncio.get_running_loop().time()
        await until(lambda: bool(heard.lost))
        assert asyncio.get_running_loop().time() - began < 1.6
        assert heard.lost[0][0] == "m1"
        assert "silent" in heard.lost[0][1]
        assert heard.usable == ["m1"]
        with pytest.raises(MediaFault):
            await servers.request("m1", {"command": "ping"})
        peer.silent, peer.missed = False, [{"notification": "recording-failed", "call-id": "call-1"}]
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        assert heard.usable == ["m1", "m1"]
        assert heard.notifications == peer.missed, "what it would have said meanwhile"
        await servers.stop()


async def test_a_broken_connection_is_lost_at_once_and_its_requests_fail(site: Site) -> None:
    peer, heard = NgPeer(site), Heard()
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard)
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        peer.silent = True
        request = asyncio.create_task(servers.request("m1", {"command": "offer"}))
        await asyncio.sleep(0.05)
        for connection in peer.connections:
            connection.transport.abort()
        with pytest.raises(MediaFault, match="m1"):
            await request
        await until(lambda: bool(heard.lost))
        await servers.stop()


async def test_a_refused_token_is_an_authentication_failure_with_the_file_named(site: Site) -> None:
    peer = NgPeer(site)
    peer.token = "another"
    async with listening(peer, site):
        servers = _servers(site, peer.port, Heard())
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.AUTHENTICATION_FAILURE)
        assert "ng.token" in servers.states()[0].reason
        await servers.stop()


async def test_an_untrusted_certificate_is_an_authentication_failure(site: Site, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    peer = NgPeer(site)
    async with listening(peer, other):
        servers = _servers(site, peer.port, Heard())
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.AUTHENTICATION_FAILURE)
        assert "certificate" in servers.states()[0].reason
        await servers.stop()


async def test_orphans_of_ours_are_ended_at_connect_and_other_peoples_calls_are_left_alone(site: Site) -> None:
    peer = NgPeer(site)
    peer.calls = ["ours-live", "ours-gone", "theirs"]
    async with listening(peer, site):
        servers = _servers(site, peer.port, Heard({"ours-live": True, "ours-gone": False}))
        servers.start()
        await until(lambda: bool(peer.deleted))
        await asyncio.sleep(0.1)
        assert peer.deleted == ["ours-gone"]
        await servers.stop()


async def test_a_notification_reaches_the_owner(site: Site) -> None:
    peer, heard = NgPeer(site), Heard()
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard)
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        for connection in peer.connections:
            await connection.send('* {"notification": "media-timeout", "call-id": "c"}')
            await connection.send("* not json")
        await until(lambda: bool(heard.notifications))
        assert heard.notifications == [{"notification": "media-timeout", "call-id": "c"}]
        await servers.stop()


async def test_a_new_server_waits_until_its_certificate_is_approved_and_a_changed_one_waits_again(
    site: Site, tmp_path: Path
) -> None:
    peer, heard = NgPeer(site), Heard()
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard, trusted=False)
        servers.start()
        link = servers.find("m1")
        assert link is not None
        await until(lambda: "not approved" in link.state().reason)
        assert link.state().state is MediaState.WAITING
        assert link.fingerprint in link.state().reason
        assert peer.configured == [], "a stranger is told nothing of us"
        assert as_candidate(link.state()).unavailable.startswith("waiting: not approved")
        servers.approve(link)
        await until(lambda: link.state().state is MediaState.ACTIVE)
        await servers.stop()
        again = _servers(site, peer.port, heard, trusted=False)
        again.start()
        await until(lambda: again.states()[0].state is MediaState.ACTIVE)
        await again.stop()
    (site.directory / "tls" / "server.pem").unlink()
    make_site(site.directory)
    async with listening(peer, site):
        changed = _servers(site, peer.port, heard, trusted=False)
        changed.start()
        await until(lambda: "was approved of" in changed.states()[0].reason)
        assert changed.states()[0].state is MediaState.WAITING
        await changed.stop()


async def test_terms_are_told_first_and_again_when_they_change_on_the_same_connection(site: Site) -> None:
    peer, heard = NgPeer(site), Heard()
    peer.terms = {"result": "ok", "effective": [{"name": "dscp", "value": 34, "origin": "here"}]}
    async with listening(peer, site):
        servers = _servers(site, peer.port, heard, parameters={"dscp": 34})
        servers.start()
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        link = servers.find("m1")
        assert link is not None
        assert [each["value"] for each in link.effective] == [34]
        us = Ourselves("ctl", "one", site.authority)
        await servers.reconfigure([_link(site, peer.port, parameters={"dscp": 0})], us)
        await until(lambda: len(peer.configured) == 2)
        assert [each["parameters"] for each in peer.configured] == [{"dscp": 34}, {"dscp": 0}]
        assert (peer.configured[0]["controller"], peer.configured[0]["instance"]) == ("ctl", "one")
        peer.terms = {"result": "error", "error-reason": "parameters.dscp: too much"}
        await servers.reconfigure([_link(site, peer.port, parameters={"dscp": 63})], us)
        await until(lambda: "too much" in servers.states()[0].reason)
        assert servers.states()[0].state is MediaState.ACTIVE, "the former terms hold"
        assert heard.lost == []
        await servers.stop()


async def test_a_server_that_refuses_our_terms_waits_with_its_reason_and_is_used_once_it_takes_them(site: Site) -> None:
    peer = NgPeer(site)
    peer.terms = {"result": "error", "error-reason": "another controller is called ctl"}
    async with listening(peer, site):
        servers = _servers(site, peer.port, Heard())
        servers.start()
        await until(lambda: "another controller is called ctl" in servers.states()[0].reason)
        assert servers.states()[0].state is MediaState.WAITING
        peer.terms = {"result": "ok"}
        await until(lambda: servers.states()[0].state is MediaState.ACTIVE)
        await servers.stop()


async def test_approvals_that_cannot_be_read_stop_the_start_with_a_sentence(tmp_path: Path) -> None:
    Approvals(tmp_path).approve("m1", "SHA256:00")
    assert Approvals(tmp_path).approved("m1", "SHA256:00")
    assert not Approvals(tmp_path).approved("m1", "")
    (tmp_path / "approved-media-servers.json").write_text("[1]")
    with pytest.raises(StartFault, match="approve them again"):
        Approvals(tmp_path)
