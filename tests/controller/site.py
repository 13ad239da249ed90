"""Files that a controller under test needs: certificates and tokens in a temporary directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mediaserverd.process.tls import ServerTls, ensure_site_certificates
from mediaserverd.process.tokens import ensure_token


@dataclass(frozen=True, slots=True)
class Site:
    directory: Path

    @property
    def authority(self) -> Path:
        return self.directory / "tls" / "ca.pem"

    @property
    def server_tls(self) -> ServerTls:
        return ServerTls(self.directory / "tls" / "server.pem", self.directory / "tls" / "server.key")

    def token_file(self, name: str) -> Path:
        return self.directory / "secrets" / f"{name}.token"

    def token(self, name: str) -> str:
        return ensure_token(self.token_file(name))


def make_site(directory: Path) -> Site:
    ensure_site_certificates(directory / "tls", ["localhost", "127.0.0.1"])
    site = Site(directory)
    for name in ("ng", "ledger", "control", "retrieval"):
        site.token(name)
    return site
