"""How fast calls may go on to the next media server."""

from __future__ import annotations

from mediaserverd.controller.turnstile import AT_ONCE, CALLS_PER_S, Turnstile


def test_some_pass_at_once_and_the_others_one_after_the_other() -> None:
    turnstile = Turnstile(per_s=10, at_once=3)
    assert [round(turnstile.wait_s(100.0), 3) for _ in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]
    assert round(turnstile.wait_s(100.35), 3) == 0.05
    assert [turnstile.wait_s(200.0) for _ in range(3)] == [0, 0, 0]


def test_a_hundred_calls_pass_within_half_a_second_and_a_thousand_do_not() -> None:
    turnstile = Turnstile()
    waits = [turnstile.wait_s(0.0) for _ in range(1000)]
    assert waits[AT_ONCE - 1] < 1e-6 < waits[AT_ONCE]
    assert waits[99] < 0.5
    assert waits[-1] > 0.9 * (1000 - AT_ONCE) / CALLS_PER_S
