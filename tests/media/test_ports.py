"""The pool of RTP ports."""

from __future__ import annotations

from mediaserverd.media.ports import PortPool


def test_only_even_ports_with_an_odd_one_above_in_the_range_are_given() -> None:
    pool = PortPool(16385, 16400)
    taken = pool.take(7)
    assert taken is not None
    assert sorted(taken) == list(range(16386, 16400, 2))
    assert pool.take(1) is None


def test_a_freed_port_is_taken_again_last() -> None:
    pool = PortPool(20000, 20009)
    first = pool.take(2)
    assert first is not None
    pool.give_back(first)
    assert pool.used == 0
    following = pool.take(5)
    assert following is not None
    assert following[-2:] == first


def test_a_request_that_cannot_be_met_in_full_takes_nothing() -> None:
    pool = PortPool(20000, 20003)
    assert pool.take(3) is None
    assert pool.free == 2
