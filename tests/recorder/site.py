"""A recorder with everything it needs, on loopback, and the ways to ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mediaserverd.process.tls import client_context, ensure_site_certificates
from mediaserverd.process.tokens import ensure_token
from mediaserverd.recorder.server import Recorder
from mediaserverd.recorder.settings import RecorderSettings, RetrievalLink
from mediaserverd.recorder.tokens import create_token
from tests.recorder.media_server import MediaServerDouble

ALL_SCOPES = ("recordings:read", "recordings:audio", "recordings:delete")
PATIENCE_S = 20.0


async def until_true(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass
class Site:
    directory: Path
    media: MediaServerDouble
    settings: RecorderSettings
    recorder: Recorder | None = None
    api: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    @property
    def store(self) -> Path:
        return self.directory / "recordings"

    async def start(self) -> None:
        self.recorder = Recorder(self.settings)
        await self.recorder.start()
        self.api = self.client(create_token(self.settings.database_url, "tester", ALL_SCOPES))

    def client(self, token: str) -> httpx.AsyncClient:
        assert self.recorder is not None
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.recorder.api_port}",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            verify=client_context(self.settings.certificate_authority),
            trust_env=False,
        )

    async def stop(self) -> None:
        await self.api.aclose()
        if self.recorder is not None:
            await self.recorder.stop()
            self.recorder = None

    async def ledger(self, entries: Sequence[dict[str, Any]], controller: str = "controller") -> dict[str, Any]:
        async with self.client(self.settings.ledger_token_file.read_text().strip()) as client:
            response = await client.post("/internal/ledger", json={"controller": controller, "entries": list(entries)})
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def detail(self, recording_id: str) -> dict[str, Any]:
        response = await self.api.get(f"/api/v1/recordings/{recording_id}")
        return dict(response.json()) if response.status_code == 200 else {"state": None, "reason": None}

    async def until(self, recording_id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The detail of a recording as soon as it is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(detail := await self.detail(recording_id)):
            assert time.monotonic() < deadline, f"still {detail}"
            await asyncio.sleep(0.05)
        return detail

    async def until_gone_from_source(self, recording_id: str) -> dict[str, Any]:
        def gone(detail: dict[str, Any]) -> bool:
            return detail["state"] == "stored" and all(s["deleted_at_source"] for s in detail["segments"])

        return await self.until(recording_id, gone)

    async def reconciliation(self) -> dict[str, Any]:
        return dict((await self.api.get("/api/v1/reconciliation")).json())

    async def metrics(self) -> dict[str, float]:
        """Samples of /metrics that are of recordings, by name and labels as written."""
        assert self.recorder is not None
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{self.recorder.status_port}/metrics")).text
        lines = [line.rsplit(" ", 1) for line in text.splitlines()]
        return {name: float(value) for name, value in lines if name.startswith(("recordings", "mediaserverd_recorder"))}

    def stored_files(self) -> list[Path]:
        return [path for path in self.store.rglob("*") if path.is_file()]


def make_site(directory: Path, **settings: Any) -> Site:
    tls = directory / "tls"
    ensure_site_certificates(tls, ["127.0.0.1", "localhost"])
    secrets = directory / "secrets"
    media = MediaServerDouble(tls / "server.pem", tls / "server.key", ensure_token(secrets / "retrieval.token"))
    ensure_token(secrets / "ledger.token")
    values: dict[str, Any] = {
        "database_url": f"sqlite:///{directory / 'recorder' / 'catalogue.sqlite'}",
        "store_url": f"file://{directory / 'recordings'}",
        "api_address": "127.0.0.1",
        "api_port": 0,
        "status_port": 0,
        "certificate": tls / "server.pem",
        "private_key": tls / "server.key",
        "certificate_authority": tls / "ca.pem",
        "ledger_token_file": secrets / "ledger.token",
        "keys_directory": directory / "keys",
        "media_servers": (),
        "missing_after_s": 1.5,
        "ledger_grace_s": 0.5,
        "poll_interval_s": 0.2,
    }
    return Site(directory, media, RecorderSettings(**{**values, **settings}))


def link(site: Site, name: str = "media", url: str = "") -> RetrievalLink:
    return RetrievalLink(
        name=name, url=url or site.media.url, token_file=site.directory / "secrets" / "retrieval.token"
    )


async def run_site(directory: Path, **settings: Any) -> Site:
    """A recorder and one media server, both running; the caller stops them."""
    site = make_site(directory, **settings)
    await site.media.start()
    site.settings = site.settings.model_copy(update={"media_servers": (link(site),)})
    await site.start()
    return site
