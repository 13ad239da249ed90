"""The stations that the command line keeps: ``stations.yaml`` in the data directory, password hashes only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import yaml

from mediaserverd.config.document import ConfigError, read_document
from mediaserverd.config.load import STATION_FILE, load_config
from mediaserverd.protocol.sip.digest import a1

PASSWORD_BYTES = 12  # 96 bits: typed by hand into a phone once, guessed never


def new_password() -> str:
    """A password that can be typed on a phone."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def add_station(config_file: Path, name: str, extension: str, password: str, realm: str, data_directory: Path) -> None:
    """Adds a station or gives it a new password. Raises ConfigError, having changed nothing, if that is not valid."""
    file = data_directory / STATION_FILE
    entry = {
        "name": name,
        "extension": extension,
        "ha1_md5": a1("MD5", name, realm, password),
        "ha1_sha256": a1("SHA-256", name, realm, password),
    }
    others = [station for station in _read(file) if station.get("name") != name]
    _write_checked(config_file, file, [*others, entry])


def remove_station(config_file: Path, name: str, data_directory: Path) -> bool:
    """False when the command line keeps no station of this name."""
    file = data_directory / STATION_FILE
    stations = _read(file)
    others = [station for station in stations if station.get("name") != name]
    if len(others) == len(stations):
        return False
    _write_checked(config_file, file, others)
    return True


def _read(file: Path) -> list[dict[str, Any]]:
    return list(read_document(file).value.get("stations", [])) if file.exists() else []


def _write_checked(config_file: Path, file: Path, stations: list[dict[str, Any]]) -> None:
    before = file.read_bytes() if file.exists() else None
    _write(file, yaml.safe_dump({"stations": stations}, sort_keys=False).encode())
    try:
        load_config(config_file)
    except ConfigError:
        if before is None:
            file.unlink()
        else:
            _write(file, before)
        raise


def _write(file: Path, content: bytes) -> None:
    """Atomically: a reload never sees half a file."""
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    scratch = file.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(file)
