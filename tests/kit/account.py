"""Who a softphone is and where it registers; and what every softphone of the kit can do, whoever wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from tests.kit.speech import Samples

Transport: TypeAlias = Literal["udp", "tcp", "tls"]
LOOPBACK: Final = "127.0.0.1"  # where a phone is unless a test says otherwise


@dataclass(frozen=True, slots=True)
class Account:
    """``password`` empty: the phone does not register, it only calls and is called. ``authority`` is needed for TLS.

    ``codecs``: what the phone offers, best first, by the names of RFC 3551; with rate and channels where one name has
    several (``L16/16000/1``).
    """

    user: str
    host: str
    port: int
    password: str = ""
    transport: Transport = "udp"
    authority: Path | None = None
    codecs: tuple[str, ...] = ("PCMU", "PCMA")

    @property
    def uri(self) -> str:
        return self.target(self.user)

    def target(self, user: str) -> str:
        return f"sip:{user}@{self.host}:{self.port};transport={self.transport}"


class Softphone(Protocol):
    """The steps of a call. Each returns when the step is done, and fails if it does not come in time."""

    @property
    def SETTLING_S(self) -> float: ...  # noqa: N802 - a constant of each phone: for ``judge.ear_faults``
    async def register(self) -> None: ...
    async def dial(self, uri: str) -> None: ...
    async def rings(self) -> None: ...
    async def answer(self) -> None: ...
    async def established(self) -> None: ...
    async def hold(self) -> None: ...
    async def resume(self) -> None: ...
    async def hang_up(self) -> None: ...
    async def cleared(self) -> None: ...
    async def close(self) -> None: ...
    def heard(self) -> Samples: ...
