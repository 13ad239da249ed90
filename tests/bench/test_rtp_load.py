"""The RTP load generator, against a network that mistreats packets in known ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from bench.relay_floor import relay_floor
from bench.rtp_load import Address, LoadFailed, LoadSide, LoadTarget, phone_address, run_rtp_load

# What a mischievous network does with a packet, given how many came before on its way: what goes on instead of it.
Mischief = Callable[[int, bytes], list[bytes]]


class Wire(asyncio.DatagramProtocol):
    """One direction of a call: what comes in goes, after the mischief, from its twin's socket to the far phone."""

    def __init__(self, mischief: Mischief, phone: Address) -> None:
        self.mischief = mischief
        self.phone = phone  # whose packets come in here, and who is sent what the twin receives
        self.count = 0
        self.twin: Wire
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _: object) -> None:
        for packet in self.mischief(self.count, data):
            self.twin.transport.sendto(packet, self.twin.phone)
        self.count += 1


@contextlib.asynccontextmanager
async def network(mischief: Mischief, packets: int = 0) -> AsyncIterator[LoadTarget]:
    """One call over a network that does ``mischief`` to what the caller sends, and nothing to the other direction."""
    loop = asyncio.get_running_loop()
    caller, called = phone_address(0, "caller"), phone_address(0, "called")
    wires = [Wire(mischief, caller), Wire(lambda _, packet: [packet], called)]
    wires[0].twin, wires[1].twin = wires[1], wires[0]
    for wire in wires:
        await loop.create_datagram_endpoint(lambda wire=wire: wire, local_addr=("127.0.0.1", 0))  # type: ignore[misc]
    relays = [wire.transport.get_extra_info("sockname") for wire in wires]
    try:
        yield LoadTarget(LoadSide(caller, relays[0], packets), LoadSide(called, relays[1], packets))
    finally:
        for wire in wires:
            wire.transport.close()


async def test_a_perfect_network_is_found_perfect() -> None:
    async with network(lambda _, packet: [packet]) as target:
        result = await run_rtp_load([target], 1.0)
    assert result.faults() == []
    assert (result.sent, result.lost) == (100, 0)
    assert result.latency_us.count == 100
    assert 0 < result.latency_us.p50 <= result.latency_us.p99 <= result.latency_us.max


async def test_each_lost_packet_is_counted_on_the_stream_that_lost_it() -> None:
    async with network(lambda count, packet: [] if count % 10 == 3 else [packet]) as target:
        result = await run_rtp_load([target], 1.0)
    assert result.stream(0, "caller").received == 45
    assert result.stream(0, "called").is_perfect
    assert result.lost == 5


async def test_duplicates_count_as_such_and_never_make_up_for_a_loss() -> None:
    async with network(lambda count, packet: [[packet], [packet, packet], []][count % 3]) as target:
        heard = (await run_rtp_load([target], 0.6)).stream(0, "caller")
    assert (heard.sent, heard.received, heard.duplicates) == (30, 20, 10)


async def test_packets_that_overtake_each_other_are_counted() -> None:
    held: list[bytes] = []

    def swap(count: int, packet: bytes) -> list[bytes]:
        if count % 5 == 0:
            held.append(packet)
            return []
        return [packet, held.pop()] if held else [packet]

    async with network(swap) as target:
        heard = (await run_rtp_load([target], 1.0)).stream(0, "caller")
    assert (heard.received, heard.reordered, heard.header_breaks) == (50, 10, 0)


async def test_a_relay_may_number_packets_anew_but_not_in_the_middle_of_a_stream() -> None:
    def renumber(count: int, packet: bytes) -> list[bytes]:
        shift = 7 if count < 25 else 8
        sequence = (int.from_bytes(packet[2:4], "big") + shift) % 2**16
        return [packet[:2] + sequence.to_bytes(2, "big") + packet[4:]]

    async with network(renumber) as target:
        heard = (await run_rtp_load([target], 1.0)).stream(0, "caller")
    assert (heard.received, heard.header_breaks) == (50, 1)


async def test_what_reaches_the_wrong_phone_is_misdelivered_and_lost_to_the_right_one() -> None:
    async with relay_floor(2) as (_, targets):
        first, second = targets
        crossed = [
            LoadTarget(
                LoadSide(first.caller.local, first.caller.remote), LoadSide(second.called.local, second.called.remote)
            ),
            LoadTarget(
                LoadSide(second.caller.local, second.caller.remote), LoadSide(first.called.local, first.called.remote)
            ),
        ]
        result = await run_rtp_load(crossed, 0.4)
    assert [stream.misdelivered for stream in result.streams] == [20] * 4
    assert result.received == 0


async def test_packets_of_somebody_else_are_foreign() -> None:
    async with network(lambda _, packet: [packet, b"\x80" + bytes(171)]) as target:
        result = await run_rtp_load([target], 0.4)
    assert result.foreign == 20
    assert result.faults() == []


async def test_every_side_sends_exactly_as_many_packets_as_it_was_told() -> None:
    wanted = [(50 + call, 80 - call) for call in range(20)]
    async with relay_floor(len(wanted)) as (_, targets):
        counted = [
            LoadTarget(
                LoadSide(target.caller.local, target.caller.remote, caller),
                LoadSide(target.called.local, target.called.remote, called),
            )
            for target, (caller, called) in zip(targets, wanted, strict=True)
        ]
        result = await run_rtp_load(counted, 1.0)
    sent = [(result.stream(call, "caller").sent, result.stream(call, "called").sent) for call in range(20)]
    assert sent == wanted
    assert result.faults() == []


async def test_packets_leave_fifty_times_a_second() -> None:
    async with relay_floor(10) as (_, targets):
        result = await run_rtp_load(targets, 2.0, warm_up_s=1.0)
    assert 1.9 < result.seconds < 3.0
    assert result.sent == 2000
    assert result.latency_us.count == 1000  # the second half


async def test_an_address_in_use_is_told_in_a_sentence() -> None:
    async with relay_floor(1) as (_, targets):
        taken = LoadSide(targets[0].caller.remote, targets[0].caller.local)
        with pytest.raises(LoadFailed, match=r"bind to 127\.0\.0\.1:20000: Address already in use"):
            await run_rtp_load([LoadTarget(taken, targets[0].called)], 1.0)
