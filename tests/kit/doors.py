"""The daemon's HTTP doors as a client sees them: the recorder's API, the media server's files, the roles' status."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from tests.kit.sip_socket import trusting

Json: TypeAlias = dict[str, Any]
ROLES: Final = ("controller", "media", "recorder")
STATUS_PORTS: Final = {"controller": 9501, "media": 9502, "recorder": 9503}
SETTLED: Final = frozenset({"stored", "partial", "failed"})


class DigestMismatch(Exception):
    pass


class Door:
    """HTTPS with the site's own authority and a bearer token."""

    def __init__(self, url: str, authority: Path, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # The network of a test is loopback: proxies of the environment have no place there.
        self.http = httpx.AsyncClient(
            base_url=url, verify=trusting(authority), headers=headers, timeout=10, trust_env=False
        )

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(path, params={key: value for key, value in query.items() if value is not None})

    async def json(self, path: str, **query: Any) -> Json:
        response = await self.get(path, **query)
        response.raise_for_status()
        found: Json = response.json()
        return found

    async def file(self, path: str) -> bytes:
        """The body, whose digest has been compared with the one that the server states."""
        response = await self.http.get(path, headers={"Want-Repr-Digest": "sha-256=1"})
        response.raise_for_status()
        stated = response.headers.get("Repr-Digest", "")
        digest = base64.b64encode(hashlib.sha256(response.content).digest()).decode()
        if stated != f"sha-256=:{digest}:":
            raise DigestMismatch(f"{path}: the server states {stated!r}, the file has sha-256=:{digest}:")
        return response.content

    async def close(self) -> None:
        await self.http.aclose()


class RecorderApi(Door):
    async def recordings(self, **query: Any) -> list[Json]:
        """All that match, newest first, however many pages it takes."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = await self.json("/api/v1/recordings", limit=500, cursor=cursor, **query)
            found += page["recordings"]
            cursor = page["next"]
            if not cursor:
                return found

    async def recording(self, identity: str) -> Json:
        return await self.json(f"/api/v1/recordings/{identity}")

    async def audio(self, identity: str) -> bytes:
        return await self.file(f"/api/v1/recordings/{identity}/audio")

    async def quality(self, identity: str) -> Json:
        """The quality report of a recording's first segment."""
        segments = (await self.json(f"/api/v1/recordings/{identity}/quality"))["segments"]
        found: Json = segments[0]["quality"]
        return found

    async def reconciliation(self) -> Json:
        return await self.json("/api/v1/reconciliation")

    async def settled(self, count: int, timeout_s: float = 30.0) -> list[Json]:
        """Wait until there are so many recordings and each of them is stored or failed."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = await self.recordings()
            if len(found) >= count and all(one["state"] in SETTLED for one in found):
                return found
            if time.monotonic() > deadline:
                states = [(one["id"][:8], one["state"], one["reason"]) for one in found]
                raise TimeoutError(f"{len(found)} of {count} recordings after {timeout_s} s: {states}")
            await asyncio.sleep(0.2)


class Retrieval(Door):
    async def recordings(self) -> list[Json]:
        listed: list[Json] = (await self.json("/recordings"))["recordings"]
        return listed

    async def empty_of(self, identity: str = "", timeout_s: float = 20.0) -> None:
        """Wait until nothing of this recording, or nothing at all, is left on the media server."""
        deadline = time.monotonic() + timeout_s
        while found := [one for one in await self.recordings() if identity in ("", one["recording_id"])]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"still on the media server: {[(one['file'], one['state']) for one in found]}")
            await asyncio.sleep(0.1)


class Status:
    """/metrics, /health and /control of each role, plain HTTP on loopback."""

    def __init__(self, ports: Mapping[str, int] = STATUS_PORTS, control_token: str = "") -> None:
        headers = {"Authorization": f"Bearer {control_token}"} if control_token else {}
        self._ports = dict(ports)
        self._http = httpx.AsyncClient(timeout=5, trust_env=False, headers=headers)

    async def get(self, role: str, path: str) -> httpx.Response:
        return await self._http.get(f"http://127.0.0.1:{self._ports[role]}{path}")

    async def post(self, role: str, path: str, body: Json | None = None) -> httpx.Response:
        return await self._http.post(f"http://127.0.0.1:{self._ports[role]}{path}", json=body or {}, timeout=10)

    async def taken(self, role: str, path: str) -> bool:
        """Whether a wish was carried out; not, while nobody is there."""
        try:
            return (await self.post(role, path)).status_code == 200
        except httpx.HTTPError:
            return False

    async def missing(self, role: str) -> str:
        """Why the role is not ready; empty when it is."""
        try:
            response = await self.get(role, "/health/ready")
        except httpx.HTTPError as fault:
            return f"{role}: {type(fault).__name__}"
        return "" if response.status_code == 200 else f"{role}: {response.text}"

    async def until(self, role: str, word: str) -> None:
        """Wait until the reason why the role is not ready has that word."""
        while word not in await self.missing(role):
            await asyncio.sleep(0.1)

    async def metrics(self, role: str) -> dict[str, float]:
        """``name{label="value"}`` -> value."""
        text = (await self.get(role, "/metrics")).text
        lines = re.findall(r"^([a-zA-Z_:][^ #]*(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in lines}

    async def metric(self, role: str, name: str) -> float:
        """The sum over all labels of one metric."""
        found = await self.metrics(role)
        return sum(value for key, value in found.items() if key == name or key.startswith(name + "{"))

    async def calls(self) -> list[Json]:
        """Those that run now."""
        response = await self.get("controller", "/control/calls")
        response.raise_for_status()
        found: list[Json] = response.json()["running"]
        return found

    async def close(self) -> None:
        await self._http.aclose()
