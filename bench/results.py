"""What a campaign has found. Plain values: ``report`` prints them, and they are written out as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from bench.rtp_load import RtpLoadResult
from bench.sip_load import SetUps
from bench.site import Recorded, Role

# Who carries the calls: nobody (phone to phone), the bare relay, the daemon, the daemon recording every call.
Carrier: TypeAlias = Literal["direct", "floor", "relay", "record"]

PACKET_INTERVAL_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class MediaRow:
    """Some calls with audio at once. CPU and memory by role; the floor has the role ``media`` alone."""

    carrier: Carrier
    calls: int
    packets_per_s: float
    lost: int
    faults: int  # streams with a packet lost, twice, out of order, at the wrong phone, or with a break in its header
    latency_p50_us: float
    latency_p99_us: float
    late_p99_ms: float
    generator_cores: float
    cores_per_call: Mapping[Role, float]
    memory_per_call_bytes: Mapping[Role, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        carrier: Carrier,
        load: RtpLoadResult,
        cpu_seconds: Mapping[Role, float],
        memory_bytes: Mapping[Role, int] | None = None,
    ) -> MediaRow:
        return cls(
            carrier=carrier,
            calls=load.calls,
            packets_per_s=load.packets_per_s,
            lost=load.lost,
            faults=len(load.faults()),
            latency_p50_us=load.latency_us.p50,
            latency_p99_us=load.latency_us.p99,
            late_p99_ms=load.late_us.p99 / 1000,
            generator_cores=load.cpu_seconds / load.seconds,
            cores_per_call={role: used / load.seconds / load.calls for role, used in cpu_seconds.items()},
            memory_per_call_bytes={role: grown / load.calls for role, grown in (memory_bytes or {}).items()},
        )

    @property
    def is_disturbed(self) -> bool:
        """Packets left late by more than their interval: the generator then sends bursts, as no phone does."""
        return self.late_p99_ms > PACKET_INTERVAL_MS


@dataclass(frozen=True, slots=True)
class SetUpRow:
    """Calls placed at a rate. ``credentialed``: from the INVITE that has the credentials, the challenge left out."""

    carrier: Carrier
    rate_per_s: float
    calls: int
    failures: Mapping[str, int]
    dropped: int
    setup_p50_ms: float
    setup_p99_ms: float
    credentialed_p50_ms: float
    credentialed_p99_ms: float
    behind_s: float  # how long after its time the last call was up
    late_ms: float
    generator_cores: float
    cpu_ms_per_call: Mapping[Role, float]

    @classmethod
    def of(
        cls, carrier: Carrier, rate_per_s: float, made: SetUps, dropped: int, cpu_seconds: Mapping[Role, float]
    ) -> SetUpRow:
        return cls(
            carrier=carrier,
            rate_per_s=rate_per_s,
            calls=made.calls,
            failures=made.failures,
            dropped=dropped,
            setup_p50_ms=percentile(made.setup_ms, 0.5),
            setup_p99_ms=percentile(made.setup_ms, 0.99),
            credentialed_p50_ms=percentile(made.credentialed_ms, 0.5),
            credentialed_p99_ms=percentile(made.credentialed_ms, 0.99),
            behind_s=max(0.0, made.seconds - (made.calls - 1) / rate_per_s),
            late_ms=made.late_ms,
            generator_cores=made.generator_cpu_seconds / max(made.seconds, 0.001),
            cpu_ms_per_call={role: used * 1000 / made.calls for role, used in cpu_seconds.items()},
        )

    @property
    def is_sustained(self) -> bool:
        """None failed, and the queue did not grow: the last call was up within a second of its time."""
        return not self.failures and self.dropped == 0 and self.behind_s < 1.0


@dataclass(slots=True)
class Results:
    media: list[MediaRow] = field(default_factory=list)
    set_ups: list[SetUpRow] = field(default_factory=list)
    recorded: Recorded | None = None

    def floor_ratio(self, row: MediaRow) -> float | None:
        """The media server's CPU time to the bare relay's, for as many calls in this run."""
        floors = [one.cores_per_call["media"] for one in self.media if (one.carrier, one.calls) == ("floor", row.calls)]
        return row.cores_per_call["media"] / floors[0] if floors and floors[0] else None


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values; 0 if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0
