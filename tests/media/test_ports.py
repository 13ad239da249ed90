"""The pools of RTP ports."""

from __future__ import annotations

from mediaserverd.media.ports import Ports


def test_only_even_ports_with_an_odd_one_above_in_the_range_are_given() -> None:
    ports = Ports()
    taken = ports.take("16385-16400", 7)
    assert taken is not None
    assert sorted(taken) == list(range(16386, 16400, 2))
    assert ports.take("16385-16400", 1) is None


def test_a_freed_port_is_taken_again_last() -> None:
    ports = Ports()
    first = ports.take("20000-20009", 2)
    assert first is not None
    ports.give_back(first)
    assert ports.used == 0
    following = ports.take("20000-20009", 5)
    assert following is not None
    assert following[-2:] == first


def test_a_request_that_cannot_be_met_in_full_takes_nothing() -> None:
    ports = Ports()
    assert ports.take("20000-20003", 3) is None
    assert ports.free("20000-20003") == 2


def test_where_ranges_overlap_a_port_is_given_once() -> None:
    ports = Ports()
    wide = ports.take("20000-20007", 3)
    assert wide is not None
    assert ports.free("20000-20003") == sum(port not in wide for port in (20000, 20002))
    assert ports.take("20004-20007", 2) is None
    narrow = ports.take("20000-20007", 1)
    assert narrow is not None
    assert {*wide, *narrow} == {20000, 20002, 20004, 20006}
    ports.give_back(wide)
    assert ports.free("20000-20007") == 3
    assert ports.used == 1
