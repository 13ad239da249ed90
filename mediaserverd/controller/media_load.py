"""What a media server says of its load in a ``pong`` (docs/wire.md 1); others than ours say less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MediaLoad:
    """What the server said of itself at the last ping; zero where it did not say."""

    sessions: int = 0
    max_sessions: int = 0
    own_sessions: int = 0  # of this controller
    controllers: Mapping[str, int] = field(default_factory=dict)
    cpu_permille: int = 0
    draining: bool = False
    drained: str = ""  # by whom and when, if somebody said so
    disk_free_bytes: int = 0
    refuses_sessions: str = ""  # why it would take no new call now
    refuses_recordings: str = ""


def load_of(given: object) -> MediaLoad:
    if not isinstance(given, Mapping):
        return MediaLoad()
    return MediaLoad(
        sessions=_count(given, "sessions"),
        max_sessions=_count(given, "max-sessions"),
        own_sessions=_count(given, "own-sessions"),
        controllers=_counts(given.get("controllers")),
        cpu_permille=_count(given, "cpu-permille"),
        draining=bool(given.get("draining")),
        drained=str(given.get("drained", "")),
        disk_free_bytes=_count(given, "disk-free-bytes"),
        refuses_sessions=str(given.get("refuses-sessions", "")),
        refuses_recordings=str(given.get("refuses-recordings", "")),
    )


def _counts(given: object) -> dict[str, int]:
    found = given.items() if isinstance(given, Mapping) else ()
    return {str(name): count for name, count in found if isinstance(count, int)}


def _count(given: Mapping[str, object], key: str) -> int:
    value = given.get(key, 0)
    return value if isinstance(value, int) else 0
