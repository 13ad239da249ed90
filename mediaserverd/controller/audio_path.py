"""Whether a call's audio always runs through a media server, and whether the call may do without one, as its devices,
their locations and the site say. Not responsible for which media server (``policy.selection``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mediaserverd.call.setup import AudioPathMode
from mediaserverd.controller.dialling import ContactWay, Way
from mediaserverd.controller.rules import Rules
from mediaserverd.controller.settings import Line
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.sip.flow import Flow, is_behind_nat
from mediaserverd.protocol.sip.message import Request


@dataclass(frozen=True, slots=True)
class AudioPathChoice:
    mode: AudioPathMode
    fail_open: bool
    may_go_direct: bool
    reason: str


def chosen(rules: Rules, parties: Iterable[Party], behind_nat: Iterable[str]) -> AudioPathChoice:
    """A call is always-in if either side is. ``behind_nat`` names phones that other phones cannot send to."""
    found = [*parties]
    lines = [device for device in map(rules.device, found) if isinstance(device, Line)]
    fail_open = any(line.fail_open for line in lines)
    unreachable = [f"{name} is behind a NAT" for name in behind_nat]
    reasons = [*unreachable, *_always_in(rules, found)]
    if reasons:
        return AudioPathChoice("always-in", fail_open, not unreachable, f"audio path: always-in: {reasons[0]}")
    return AudioPathChoice("dynamic", fail_open, True, "audio path: dynamic")


def behind_nat(calling: Party, request: Request, source: Flow, ways: Iterable[Way]) -> Iterator[str]:
    """The phones of a call whose descriptions tell an address that may not be reached from elsewhere."""
    if calling.station and is_behind_nat(request, source):
        yield calling.station
    for way in ways:
        if isinstance(way, ContactWay) and way.binding.hides_address:
            yield way.binding.station


def _always_in(rules: Rules, parties: Iterable[Party]) -> Iterator[str]:
    settings = rules.settings
    for party in parties:
        device = rules.device(party)
        of_location = settings.locations.get(device.location) if device else None
        levels = (
            (device.name if device else "", device.audio_path if device else None),
            (f"location {device.location}" if device else "", of_location.audio_path if of_location else None),
            ("the site", settings.audio_path),
        )
        where, mode = next((where, mode) for where, mode in levels if mode is not None)
        if mode == "always-in":
            yield f"{where} says so"
