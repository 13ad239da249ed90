"""What is measured, in which order: the floor, the daemon relaying, the daemon recording; each with the same calls.

The calls of one carrier pile up (50, then 150 more...), so that each is set up once. The rates come before: the
recordings of their short calls are stored by the time that the audio starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bench.processes import Usage, usage
from bench.relay_floor import relay_floor
from bench.results import Carrier, MediaRow, Results, SetUpRow
from bench.rtp_load import LoadTarget, run_rtp_load
from bench.sip_load import FAR_END_ADDRESS, SipLoad
from bench.site import Role, Site
from tests.kit.account import Account

Step = Callable[[str], None]  # told what begins now

_WARM_UP_S: Final = 1.0
_WARM_UP_CALLS: Final = 20  # the first ones of a process pay for what it loads late
_WARM_UP_RATE: Final = 10.0
_HOLD_S: Final = 1.0
_HANG_UP_RATE: Final = 100.0
_STORED_WITHIN_S: Final = 30.0
_TRIES: Final = 2  # of a row that other work on the machine disturbed


@dataclass(frozen=True, slots=True)
class Plan:
    calls: Sequence[int] = (50, 200, 500)
    seconds: float = 5.0  # of audio
    rates_per_s: Sequence[float] = (20.0, 50.0)
    rate_seconds: float = 6.0

    @property
    def steps(self) -> int:
        """How often ``Step`` will be called."""
        rates, sizes = len(self.rates_per_s), len(self.calls)
        return sizes + rates + 2 * (1 + rates + 2 * sizes + 1)


class Campaign:
    """``results`` fills while it runs, so that what was measured before a fault or Ctrl-C can be shown."""

    def __init__(self, plan: Plan, step: Step) -> None:
        self.plan = plan
        self.results = Results()
        self._step = step

    async def run(self) -> None:
        for calls in self.plan.calls:
            await self._floor(calls)
        async with SipLoad.open(Account("100", *FAR_END_ADDRESS)) as load:
            for rate in self.plan.rates_per_s:
                await self._rate("direct", load, rate)
        await self._daemon("relay", "none")
        await self._daemon("record", "all")

    async def _floor(self, calls: int) -> None:
        self._step(f"bare relay, {calls} calls")
        async with relay_floor(calls) as (pid, targets):
            await self._speak("floor", targets, lambda: {"media": usage(pid)})

    async def _speak(
        self,
        carrier: Carrier,
        targets: Sequence[LoadTarget],
        look: Callable[[], Mapping[Role, Usage]],
        idle: Mapping[Role, Usage] | None = None,
    ) -> None:
        """One row; measured once more if other work on this machine disturbed it."""
        for _ in range(_TRIES):
            before = look()
            load = await run_rtp_load(targets, self.plan.seconds, warm_up_s=_WARM_UP_S)
            after = look()
            memory = {role: after[role].rss_bytes - used.rss_bytes for role, used in (idle or {}).items()}
            row = MediaRow.of(carrier, load, _cpu(before, after), memory)
            if not row.is_disturbed:
                break
        self.results.media.append(row)

    async def _daemon(self, carrier: Carrier, record: Literal["all", "none"]) -> None:
        self._step(f"{carrier}: daemon starts")
        async with Site.running(record) as site, SipLoad.open(site.account) as load:
            await load.caller.place(_WARM_UP_CALLS, _WARM_UP_RATE, hold_s=_HOLD_S)
            for rate in self.plan.rates_per_s:
                await self._rate(carrier, load, rate, site)
            if record == "all":
                await site.recorded(_STORED_WITHIN_S)
            await self._audio(carrier, load, site)
            self._step(f"{carrier}: calls end")
            await load.hang_up(_HANG_UP_RATE)
            if record == "all":
                self.results.recorded = await site.recorded(_STORED_WITHIN_S)

    async def _rate(self, carrier: Carrier, load: SipLoad, rate: float, site: Site | None = None) -> None:
        self._step(f"{carrier}: {rate:g} calls/s")
        before = site.usage() if site else {}
        load.caller.dropped.clear()
        made = await load.caller.place(int(rate * self.plan.rate_seconds), rate, hold_s=_HOLD_S)
        await load.cleared()
        cpu = _cpu(before, site.usage() if site else {})
        self.results.set_ups.append(SetUpRow.of(carrier, rate, made, load.caller.dropped.total(), cpu))

    async def _audio(self, carrier: Carrier, load: SipLoad, site: Site) -> None:
        idle = site.usage()
        for calls in self.plan.calls:
            self._step(f"{carrier}: up to {calls} calls are set up")
            await load.caller.place(calls - len(load.up), self._holding_rate(carrier))
            self._step(f"{carrier}: {len(load.up)} calls speak")
            await self._speak(carrier, load.targets(), site.usage, idle)

    def _holding_rate(self, carrier: Carrier) -> float:
        """The highest rate that this carrier has sustained, else the lowest of the plan."""
        sustained = [row.rate_per_s for row in self.results.set_ups if row.carrier == carrier and row.is_sustained]
        return max(sustained, default=min(self.plan.rates_per_s))


def _cpu(before: Mapping[Role, Usage], after: Mapping[Role, Usage]) -> dict[Role, float]:
    return {role: max(0.0, used.cpu_seconds - before[role].cpu_seconds) for role, used in after.items()}
