"""What the controller knows and has decided before a call begins: the arguments of ``b2bua.Call``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mediaserverd.policy.facts import CallDirection, Party


@dataclass(frozen=True, slots=True)
class Target:
    """Something to dial: one contact of a station, or a line. ``address`` is the controller's own key for it (a contact
    URI, say) and comes back unread in ``commands.Dial``."""

    address: str
    party: Party


@dataclass(frozen=True, slots=True)
class RecordingOrder:
    """The verdict of the initiation policies: record, and how. ``recording_id`` is random, 32 hex digits, made by the
    controller; with ``required`` there is no call without the recording."""

    recording_id: str
    policy: str
    encoding: str = ""
    required: bool = False
    tags: tuple[str, ...] = ()
    initiation: str = "policy"


@dataclass(frozen=True, slots=True)
class OwnOrigin:
    """What our o= lines say. The caller sees ``session_id``, the called side ``session_id + 1``."""

    address: str
    session_id: int
    username: str = "-"


@dataclass(frozen=True, slots=True)
class CallSetup:
    """``media_servers`` are names in the order in which selection wants them tried; ``fail_open``: without any of them
    the phones talk directly, unrecorded, instead of 503."""

    call_id: str
    direction: CallDirection
    calling: Party
    called: Party
    targets: tuple[Target, ...]
    media_servers: tuple[str, ...]
    origin: OwnOrigin
    ring_timeout_s: float = 120.0
    fail_open: bool = False
    recording: RecordingOrder | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
