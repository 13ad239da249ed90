"""Asks the controller and the media server of this host, over their control listeners (docs/wire.md 4). What is asked,
others say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from mediaserverd.config import Config
from mediaserverd.process.role import StartFault
from mediaserverd.process.tokens import read_token

TIMEOUT_S: Final = 10.0  # above what the controller gives itself for an answer


class ControlFault(ValueError):
    """There is no answer, or it is no; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Door:
    role: str
    url: str
    token_file: Path


def ask_controller(config: Config, path: str) -> Any:
    """The JSON under a path; None when the controller knows nothing of that. Raises ControlFault."""
    answer = _exchange(_controller(config), "GET", path)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.status_code != httpx.codes.OK:
        raise ControlFault(f"the controller answered {answer.status_code} to {path}")
    return answer.json()


def tell_controller(config: Config, path: str, wish: Mapping[str, object]) -> Any:
    """What came of it. Raises ControlFault with the controller's own words when it refuses."""
    return _told(_controller(config), "POST", path, wish)


def ask_media_server(config: Config, path: str) -> Any:
    """Of this host. Raises ControlFault."""
    return _told(_media_server(config), "GET", path)


def tell_media_server(config: Config, path: str) -> Any:
    return _told(_media_server(config), "POST", path)


def _controller(config: Config) -> _Door:
    settings = config.controller
    url = f"http://{settings.status_address}:{settings.status_port}"
    return _Door("controller", url, settings.control_token_file)


def _media_server(config: Config) -> _Door:
    settings = config.media
    url = f"http://{settings.status_address}:{settings.status_port}"
    return _Door("media server", url, settings.control_token_file)


def _told(door: _Door, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    answer = _exchange(door, method, path, body)
    if answer.status_code != httpx.codes.OK:
        raise ControlFault(_detail(door, answer))
    return answer.json()


def _exchange(door: _Door, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
    try:
        headers = {"Authorization": f"Bearer {read_token(door.token_file)}"}
        return httpx.request(method, door.url + path, headers=headers, json=body, timeout=TIMEOUT_S, trust_env=False)
    except (httpx.HTTPError, StartFault) as fault:
        raise ControlFault(f"the {door.role} at {door.url} does not answer: {fault}; is the daemon running?") from fault


def _detail(door: _Door, answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the {door.role} answered {answer.status_code}: {answer.text[:200]}"
