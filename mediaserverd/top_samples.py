"""What ``mediaserverd top`` looks at: the controller's overview, and the counters of the roles that run on this host.

Only asks and reads. Not responsible for how it is shown (``top``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from mediaserverd.config import Config
from mediaserverd.control_client import ControlFault, ask_controller

Role = Literal["controller", "media", "recorder"]

TIMEOUT_S: Final = 2.0  # of a role's metrics: it is on this host


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. ``overview`` as in docs/wire.md 4, None if the controller does not answer; ``counters`` of each role
    that was seen, summed over their labels; ``faults``: role -> why it was not."""

    at_s: float
    overview: Mapping[str, Any] | None
    counters: Mapping[Role, Mapping[str, float]]
    faults: Mapping[Role, str] = field(default_factory=dict)

    def count(self, role: Role, name: str) -> float | None:
        """None: that role was not seen. One that has counted nothing yet may leave the name out."""
        return self.counters[role].get(name, 0.0) if role in self.counters else None

    def rate(self, role: Role, name: str, before: Sample) -> float | None:
        """Of a counter, per second. None: it is not known, or the role was started again in between."""
        new, old = self.count(role, name), before.count(role, name)
        if new is None or old is None or new < old or self.at_s <= before.at_s:
            return None
        return (new - old) / (self.at_s - before.at_s)


def look(config: Config) -> Sample:
    counters: dict[Role, dict[str, float]] = {}
    faults: dict[Role, str] = {}
    overview: Mapping[str, Any] | None = None
    try:
        overview = ask_controller(config, "/control/overview")
    except ControlFault as fault:
        faults["controller"] = str(fault)
    places: tuple[tuple[Role, str, int], ...] = (
        ("controller", config.controller.status_address, config.controller.status_port),
        ("media", config.media.status_address, config.media.status_port),
        ("recorder", config.recorder.status_address, config.recorder.status_port),
    )
    for role, address, port in places:
        if role not in faults:
            try:
                counters[role] = _counted(_metrics(address, port))
            except (httpx.HTTPError, ValueError) as fault:
                faults[role] = f"not seen at {address}:{port}: {fault}"
    return Sample(time.monotonic(), overview, counters, faults)


def _metrics(address: str, port: int) -> str:
    answer = httpx.get(f"http://{address}:{port}/metrics", timeout=TIMEOUT_S, trust_env=False)
    return answer.raise_for_status().text


def _counted(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.type in ("counter", "gauge"):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
