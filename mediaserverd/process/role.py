"""What a role is to the one that runs it. The roles themselves are packages of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol


class StartFault(Exception):
    """A role cannot start. The message is for the administrator: what is wrong, where, and what to do."""


class ReloadRefused(Exception):
    """The new configuration is not used, and the running one stays. ``faults``: each with file and line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


# Reads and verifies the configuration and puts it in force; what needs a restart is named. Raises ReloadRefused.
Reload = Callable[[], Awaitable[list[str]]]


class Role(Protocol):
    """One of controller, media server, recorder, running in this process."""

    async def start(self) -> None:
        """Returns when every listener is open. Raises StartFault."""

    async def reload(self, settings: Any) -> list[str]:
        """Verifies, then applies new settings; returns the names of those that need a restart to take effect."""

    async def drain(self) -> None:
        """Takes nothing new and returns when the running work has ended. The caller bounds it in time."""

    async def hand_over(self) -> None:
        """In place of ``drain``, when another process starts right after this one: running work that it can go on with
        is left to it."""

    async def stop(self) -> None:
        """Ends at once, in order; nothing durable is lost."""
