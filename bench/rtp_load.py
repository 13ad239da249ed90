"""RTP load in real time: the Python face of ``rtpload.cpp``. Not its part: who sets the calls up, what carries them.

A test that wants to know of every single packet gives each side a number of packets of its own; the result then says
for each side what it sent and what arrived of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from bench.native import program

Address: TypeAlias = tuple[str, int]
Side: TypeAlias = Literal["caller", "called"]

# Below the daemon's RTP range, and below the ports that the system gives to clients: nobody else binds them.
_FIRST_PORT: Final = 10_000
_CALLS_PER_ADDRESS: Final = 3_000
_NETWORKS: Final[dict[Side, int]] = {"caller": 1, "called": 2}
_ENDS_WITHIN_S: Final = 30.0  # beyond the seconds of the load: start, lingering, a busy machine


class LoadFailed(Exception):
    """The generator could not run; its own words."""


@dataclass(frozen=True, slots=True)
class LoadSide:
    """A phone: where it listens and sends from, where it sends to, and how many packets (0: for the whole time)."""

    local: Address
    remote: Address
    packets: int = 0


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """One call."""

    caller: LoadSide
    called: LoadSide
    payload_type: int = 0


class Spread(BaseModel):
    """Of ``count`` values: median, 99th percentile, maximum."""

    model_config = ConfigDict(frozen=True)

    count: int
    p50: float
    p99: float
    max: float


class StreamResult(BaseModel):
    """One direction of one call. ``received`` counts different packets; ``header_breaks`` jumps in the RTP header."""

    model_config = ConfigDict(frozen=True)

    sent: int
    received: int
    duplicates: int
    reordered: int
    misdelivered: int
    header_breaks: int

    @property
    def is_perfect(self) -> bool:
        faults = self.duplicates + self.reordered + self.misdelivered + self.header_breaks
        return self.received == self.sent and faults == 0


class RtpLoadResult(BaseModel):
    """``late_us``: how late packets left; high when the generator itself, or a busy machine, is the limit."""

    model_config = ConfigDict(frozen=True)

    calls: int
    seconds: float
    cpu_seconds: float
    foreign: int  # datagrams that nobody of this run sent
    unsent: int
    refused: int
    latency_us: Spread
    late_us: Spread
    streams: tuple[StreamResult, ...]  # of call i: 2i what the caller sent, 2i + 1 what the called side sent

    @property
    def sent(self) -> int:
        return sum(stream.sent for stream in self.streams)

    @property
    def received(self) -> int:
        return sum(stream.received for stream in self.streams)

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def packets_per_s(self) -> float:
        """Received, both directions."""
        return self.received / self.seconds

    def stream(self, call: int, side: Side) -> StreamResult:
        """What that side of that call sent."""
        return self.streams[2 * call + (side == "called")]

    def faults(self) -> list[str]:
        """A sentence for each stream that did not arrive as it was sent."""
        return [
            f"call {index // 2}, sent by the {'called' if index % 2 else 'caller'}: {stream!r}"
            for index, stream in enumerate(self.streams)
            if not stream.is_perfect
        ]


def phone_address(call: int, side: Side) -> Address:
    """Where the phone of that side of call number ``call`` has its audio: to be written into its SDP."""
    host, place = divmod(call, _CALLS_PER_ADDRESS)
    return f"127.0.{_NETWORKS[side]}.{1 + host % 250}", _FIRST_PORT + 2 * place


async def run_rtp_load(targets: Sequence[LoadTarget], seconds: float, *, warm_up_s: float = 0.0) -> RtpLoadResult:
    """Send and receive on all calls at once. Packets of the first ``warm_up_s`` count, but not for latency."""
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(program, "rtpload"),
        *(str(seconds), str(warm_up_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        longest_s = max([seconds, *(side.packets / 50 for one in targets for side in (one.caller, one.called))])
        async with asyncio.timeout(longest_s + _ENDS_WITHIN_S):
            out, err = await process.communicate("".join(map(_line, targets)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise LoadFailed(err.decode().strip() or f"rtpload ended with {process.returncode}")
    return RtpLoadResult.model_validate_json(out)


def _line(target: LoadTarget) -> str:
    sides = (f"{_text(side.local)} {_text(side.remote)} {side.packets}" for side in (target.caller, target.called))
    return f"{' '.join(sides)} {target.payload_type}\n"


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
