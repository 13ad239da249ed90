from __future__ import annotations

import errno
import socket
import struct

import pytest

from mediaserverd.media.engine import Engine, Latched
from tests.engine.call import Call, open_somewhere, until
from tests.engine.phone import Phone, receiver_report, rtp

GARBAGE = (b"", b"\x80", b"hello", bytes(20), b"\x16\xfe\xfd" + bytes(40), b"\xff" * 172, bytes(4000))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_packets_pass_both_ways_unchanged_from_the_other_sides_port(engine: Engine, address: str) -> None:
    with Call(engine, address=address) as call:
        for sequence in (0, 1, 65535):
            sent = rtp(sequence, ssrc=0xFFFFFFFF, payload_type=127 | 0x80, payload=b"any codec")
            call.a.send(sent, call.a_relay)
            assert call.b.receive() == (sent, call.b_relay)
            call.b.send(sent, call.b_relay)
            assert call.a.receive() == (sent, call.a_relay)


def test_a_call_can_join_ipv4_and_ipv6(engine: Engine) -> None:
    with Phone("127.0.0.1") as four, Phone("::1") as six:
        engine.open_session(1, ("127.0.0.1", 32000), ("::1", 32000))
        engine.set_remote(1, 0, four.endpoint)
        engine.set_remote(1, 1, six.endpoint)
        four.send(rtp(1), ("127.0.0.1", 32000))
        assert six.receive()[0] == rtp(1)
        six.send(rtp(2), ("::1", 32000))
        assert four.receive()[0] == rtp(2)


def test_a_phone_behind_nat_is_answered_where_it_sends_from_and_that_is_told(call: Call) -> None:
    with Phone() as nat:
        call.engine.set_remote(call.session, 0, ("192.0.2.1", 4000))
        nat.send(rtp(1), call.a_relay)
        call.b.receive()
        call.b.send(rtp(2), call.b_relay)
        assert nat.receive()[0] == rtp(2)
        leg = call.engine.statistics(call.session).legs[0]
        assert (leg.announced, leg.seen_from) == (("192.0.2.1", 4000), nat.endpoint)
        assert Latched(call.session, 0, *nat.endpoint) in call.engine.poll_events()


def test_strict_takes_packets_from_the_announced_address_only(call: Call) -> None:
    call.engine.set_remote(call.session, 0, call.a.endpoint, latching="strict")
    with Phone() as stranger:
        stranger.send(rtp(1), call.a_relay)
        call.a.send(rtp(2), call.a_relay)
        assert call.b.receive()[0] == rtp(2)
        assert call.b.hears_nothing()
    assert call.engine.statistics(call.session).legs[0].foreign == 1


def test_asymmetric_sends_where_sdp_said_although_packets_come_from_elsewhere(call: Call) -> None:
    call.engine.set_remote(call.session, 0, call.a.endpoint, latching="asymmetric")
    with Phone() as sender:
        sender.send(rtp(1), call.a_relay)
        call.b.receive()
        call.b.send(rtp(2), call.b_relay)
        assert call.a.receive()[0] == rtp(2)


def test_rtcp_passes_on_its_own_ports(call: Call) -> None:
    with Phone() as a_rtcp, Phone() as b_rtcp:
        call.engine.set_remote(call.session, 0, call.a.endpoint, a_rtcp.endpoint)
        call.engine.set_remote(call.session, 1, call.b.endpoint, b_rtcp.endpoint)
        a_rtcp.send(receiver_report(), (call.a_relay[0], call.a_relay[1] + 1))
        assert b_rtcp.receive() == (receiver_report(), (call.b_relay[0], call.b_relay[1] + 1))


def test_rtcp_leaves_on_the_rtp_port_towards_a_side_that_multiplexes(call: Call) -> None:
    call.engine.set_remote(call.session, 1, call.b.endpoint, rtcp_mux=True)
    with Phone() as a_rtcp:
        a_rtcp.send(receiver_report(), (call.a_relay[0], call.a_relay[1] + 1))
    assert call.b.receive() == (receiver_report(), call.b_relay)


def test_garbage_is_dropped_and_counted_and_the_call_goes_on(call: Call) -> None:
    for _ in range(200):
        for datagram in GARBAGE:
            call.a.send(datagram, call.a_relay)
        call.talk([1])
    leg = call.engine.statistics(call.session).legs[0]
    assert leg.malformed == 200 * len(GARBAGE)
    assert leg.packets == 200
    assert call.engine.totals().dropped == 200 * len(GARBAGE)


def test_what_comes_before_the_other_side_is_known_is_counted_as_undeliverable(engine: Engine) -> None:
    a_relay, _ = open_somewhere(engine, 1)
    with Phone() as phone:
        engine.set_remote(1, 0, phone.endpoint)
        phone.send(rtp(1), a_relay)
        until(lambda: engine.statistics(1).legs[1].undeliverable == 1)
    assert engine.statistics(1).legs[0].packets == 1


def test_hold_by_address_0_0_0_0_sends_nothing_until_the_phone_speaks_again(call: Call) -> None:
    call.talk([1])
    call.engine.set_remote(call.session, 1, ("0.0.0.0", 9))
    call.a.send(rtp(2), call.a_relay)
    until(lambda: call.engine.statistics(call.session).legs[1].undeliverable == 1)
    call.b.send(rtp(2), call.b_relay)
    assert call.a.receive()[0] == rtp(2)
    call.a.send(rtp(3), call.a_relay)
    assert call.b.receive()[0] == rtp(3)


def test_statistics_count_loss_duplicates_reordering_and_ssrc_changes(call: Call) -> None:
    for sequence in (10, 11, 11, 15, 14):
        call.a.send(rtp(sequence), call.a_relay)
    call.a.send(rtp(500, ssrc=7, payload_type=8), call.a_relay)
    until(lambda: call.engine.statistics(call.session).legs[0].packets == 6)
    leg, other = call.engine.statistics(call.session).legs
    assert (leg.lost, leg.duplicates, leg.reordered, leg.ssrc_changes) == (2, 1, 1, 1)
    assert [(stream.ssrc, stream.payload_type, stream.packets) for stream in leg.streams] == [(0x1234, 0, 5), (7, 8, 1)]
    assert (other.packets, other.sent) == (0, 6)
    assert leg.last_packet_age_s is not None
    assert 0 <= leg.last_packet_age_s < 1
    assert other.last_packet_age_s is None


def test_packets_carry_the_dscp(engine: Engine) -> None:
    with Phone() as a, Phone() as b:
        b.socket.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        engine.open_session(1, ("127.0.0.1", 32000), ("127.0.0.1", 32002), dscp=46)
        engine.set_remote(1, 1, b.endpoint)
        a.send(rtp(1), ("127.0.0.1", 32000))
        _, ancillary, _, _ = b.socket.recvmsg(2048, 64)
        assert [struct.unpack("B", data)[0] >> 2 for _, kind, data in ancillary if kind == socket.IP_TOS] == [46]


@pytest.mark.parametrize("taken", [32000, 32001, 32002, 32003])
def test_a_taken_port_is_an_error_that_leaves_nothing_open(engine: Engine, taken: int) -> None:
    with Phone(port=taken), pytest.raises(OSError, match=f"port {taken}") as refused:
        engine.open_session(1, ("127.0.0.1", 32000), ("127.0.0.1", 32002))
    assert refused.value.errno == errno.EADDRINUSE
    engine.open_session(1, ("127.0.0.1", 32000), ("127.0.0.1", 32002))


def test_closing_a_session_gives_its_totals_and_frees_its_ports(call: Call) -> None:
    call.talk(range(5))
    final = call.engine.close_session(call.session)
    assert [leg.packets for leg in final.legs] == [5, 5]
    assert [leg.sent for leg in final.legs] == [5, 5]
    for port in range(call.a_relay[1], call.a_relay[1] + 4):
        Phone(port=port).socket.close()
    with pytest.raises(KeyError):
        call.engine.statistics(call.session)


def test_silent_sessions_are_those_without_packets(engine: Engine) -> None:
    with Call(engine, 1) as talking, Call(engine, 2):
        until(lambda: engine.silent_sessions(0.1) == [1, 2] or engine.silent_sessions(0.1) == [2, 1])
        talking.talk([1])
        assert engine.silent_sessions(0.1) == [2]
        assert engine.silent_sessions(60) == []


def test_sessions_spread_over_the_workers_and_all_relay() -> None:
    with Engine(workers=3) as engine:
        calls = [Call(engine, session) for session in range(1, 10)]
        for call in calls:
            call.talk(range(3))
        assert engine.totals().packets == 9 * 6
        assert engine.totals().sessions == 9
        for call in calls:
            call.__exit__(None, None, None)


def test_misuse_is_refused_with_a_reason(engine: Engine) -> None:
    open_somewhere(engine, 1)
    with pytest.raises(ValueError, match="in use"):
        engine.open_session(1, ("127.0.0.1", 32000), ("127.0.0.1", 32002))
    with pytest.raises(ValueError, match="not an IP address"):
        engine.set_remote(1, 0, ("phone.example", 4000))
    with pytest.raises(ValueError, match="port"):
        engine.set_remote(1, 0, ("127.0.0.1", 70000))
    with pytest.raises(ValueError, match="clock rates"):
        engine.set_remote(1, 0, ("127.0.0.1", 4000), clock_rates={200: 8000})
    with pytest.raises(KeyError, match="no such session"):
        engine.set_remote(2, 0, ("127.0.0.1", 4000))
    with pytest.raises(ValueError, match="power of two"):
        Engine(tap_ring_bytes=100_000)
    with pytest.raises(ValueError, match="workers"):
        Engine(workers=0)


def test_a_closed_engine_says_so_and_closing_twice_is_fine() -> None:
    engine = Engine()
    open_somewhere(engine, 1)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.statistics(1)
    assert engine.poll_events() == []
