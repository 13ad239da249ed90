"""Asks the controller of this host, over its control listener (docs/wire.md 4). What is asked, others say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from mediaserverd.config import Config
from mediaserverd.process.role import StartFault
from mediaserverd.process.tokens import read_token

TIMEOUT_S: Final = 10.0  # above what the controller gives itself for an answer


class ControlFault(ValueError):
    """There is no answer, or it is no; the message says why and what to do."""


def ask_controller(config: Config, path: str) -> Any:
    """The JSON under a path; None when the controller knows nothing of that. Raises ControlFault."""
    answer = _exchange(config, "GET", path)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.status_code != httpx.codes.OK:
        raise ControlFault(f"the controller answered {answer.status_code} to {path}")
    return answer.json()


def tell_controller(config: Config, path: str, wish: Mapping[str, object]) -> Any:
    """What came of it. Raises ControlFault with the controller's own words when it refuses."""
    answer = _exchange(config, "POST", path, wish)
    if answer.status_code != httpx.codes.OK:
        raise ControlFault(_detail(answer))
    return answer.json()


def _exchange(config: Config, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
    controller = config.controller
    base = f"http://{controller.status_address}:{controller.status_port}"
    try:
        headers = {"Authorization": f"Bearer {read_token(controller.control_token_file)}"}
        return httpx.request(method, base + path, headers=headers, json=body, timeout=TIMEOUT_S, trust_env=False)
    except (httpx.HTTPError, StartFault) as fault:
        raise ControlFault(f"the controller at {base} does not answer: {fault}; is the daemon running?") from fault


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the controller answered {answer.status_code}: {answer.text[:200]}"
