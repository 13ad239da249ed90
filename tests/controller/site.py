"""Files that a controller under test needs: certificates and tokens in a temporary directory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mediaserverd.controller.settings import ControllerSettings
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


def station(name: str, extension: str, password: str = "secret", realm: str = "mediaserverd") -> dict[str, str]:
    secret = f"{name}:{realm}:{password}".encode()
    hashes = {"ha1_md5": hashlib.md5(secret).hexdigest(), "ha1_sha256": hashlib.sha256(secret).hexdigest()}
    return {"name": name, "extension": extension, "display_name": name.title(), **hashes}


def controller_settings(site: Site, **given: object) -> ControllerSettings:
    """Stations alice (101), bob (102), carol (103), a media server on 2223, everything recorded."""
    tls = site.server_tls
    files = {"certificate": tls.certificate, "private_key": tls.private_key, "certificate_authority": site.authority}
    document = {
        "name": "ctl",
        "state_directory": site.directory / "state",
        "sip": {"address": "127.0.0.1", **files},
        "stations": [station("alice", "101"), station("bob", "102"), station("carol", "103")],
        "workgroups": [{"name": "sales", "extension": "200", "members": ["bob", "carol"]}],
        "media_servers": [{"name": "m1", "url": "wss://localhost:2223/", "token_file": site.token_file("ng")}],
        "initiation": {"policies": [{"name": "record-all", "then": {"record": True}}]},
        "selection": {"rules": {}},
        "audio_path": "always-in",  # hand-written phones answer what they are told to; those of a dynamic call say so
        "discard_calls_shorter_than_s": 0,  # tests have little time; those of short calls say so
        "ledger": {"url": "https://localhost:8443", "token_file": site.token_file("ledger")},
        "certificate_authority": site.authority,
        "control_token_file": site.token_file("control"),
    }
    return ControllerSettings.model_validate({**document, **given})
