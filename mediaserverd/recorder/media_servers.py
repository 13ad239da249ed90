"""The media servers that this recorder may fetch from, and whether each can be used at present."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from mediaserverd.process.tokens import read_token
from mediaserverd.recorder.retrieval import RetrievalClient
from mediaserverd.recorder.settings import RetrievalLink

STARTING_S = 15.0  # all parts of a site may start at once, and a busy host takes its time

log = structlog.get_logger()


@dataclass(slots=True)
class MediaServer:
    """``fault``: why it cannot be used; empty when it can. Set by whoever meets the fault, cleared by a poll.

    One that has never answered is awaited for STARTING_S before it is an error.
    """

    client: RetrievalClient
    fault: str = "not asked yet"
    since: datetime | None = None
    files: int = 0
    _awaited_until: float = field(default_factory=lambda: time.monotonic() + STARTING_S)
    _told: str = ""

    @property
    def name(self) -> str:
        return self.client.name

    def failed(self, why: str) -> None:
        if not self.fault or self.since is None:
            self.since = datetime.now(UTC)
        self.fault = why
        if why != self._told and time.monotonic() >= self._awaited_until:
            self._told = why
            log.error("media_server_unusable", media_server=self.name, url=self.client.url, fault=why)

    def answered(self, files: int) -> bool:
        """Returns whether it could not be used before."""
        self.files = files
        self._awaited_until, self._told = 0.0, ""
        if not self.fault:
            return False
        log.info("media_server_usable", media_server=self.name, url=self.client.url, files=files)
        self.fault = ""
        self.since = datetime.now(UTC)
        return True


class MediaServers:
    def __init__(self) -> None:
        self._servers: dict[str, MediaServer] = {}

    def __iter__(self) -> Iterator[MediaServer]:
        return iter(tuple(self._servers.values()))

    def get(self, name: str) -> MediaServer | None:
        return self._servers.get(name)

    def names(self) -> frozenset[str]:
        return frozenset(self._servers)

    def unusable(self) -> frozenset[str]:
        return frozenset(server.name for server in self if server.fault)

    def prepare(self, links: Sequence[RetrievalLink], trust: ssl.SSLContext) -> Callable[[], list[RetrievalClient]]:
        """Verifies the configuration of media servers; the function returned puts it to use. Raises StartFault.

        That function returns the clients that are no longer used, for closing once their transfers have ended.
        """
        clients = [RetrievalClient(link.name, link.url, _token(link), trust) for link in links]

        def swap() -> list[RetrievalClient]:
            former = [server.client for server in self]
            self._servers = {client.name: MediaServer(client) for client in clients}
            return former

        return swap

    async def close(self) -> None:
        for server in self:
            await server.client.close()


def _token(link: RetrievalLink) -> str:
    return read_token(link.token_file) if link.token_file else ""
