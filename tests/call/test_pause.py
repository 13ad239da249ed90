"""How long a pause lasts: default, given and unlimited time, and wishes that are repeated. Virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserverd.call.events import ControlRequest, PauseRequested
from mediaserverd.call.pause import Pause
from mediaserverd.call.setup import PauseRules

RULES = PauseRules(seconds=60, maximum_seconds=300)


def asked(secure: bool = True, **changes: Any) -> PauseRequested:
    return PauseRequested(ControlRequest(1), "alice", secure, **changes)


def secure(seconds: float | None = None, rules: PauseRules = RULES) -> Pause:
    return Pause.begun(asked(seconds=seconds), rules, now=1000.0)


@pytest.mark.parametrize(
    ("seconds", "rules", "until"),
    [
        (None, RULES, 1060.0),
        (20, RULES, 1020.0),
        (9999, RULES, 1300.0),
        (0, RULES, 1300.0),
        (0, PauseRules(60, 0), None),
        (None, PauseRules(0, 0), None),
    ],
)
def test_a_secure_pause_has_the_default_the_given_or_no_end_and_never_more_than_the_maximum(
    seconds: float | None, rules: PauseRules, until: float | None
) -> None:
    assert secure(seconds, rules).until == until


def test_a_plain_pause_lasts_until_somebody_resumes_or_as_long_as_was_asked() -> None:
    assert Pause.begun(asked(secure=False), RULES, 0.0).until is None
    assert Pause.begun(asked(secure=False, seconds=999), RULES, 0.0).until == 999.0


def test_a_repeated_pause_goes_on_longer_but_never_beyond_the_maximum_from_its_beginning() -> None:
    pause = secure()
    pause.repeated(asked(), RULES, 1050.0)
    assert pause.until == 1110.0
    for now in range(1100, 1300, 50):
        pause.repeated(asked(), RULES, float(now))
    assert pause.until == 1300.0


def test_a_repeated_pause_never_ends_earlier() -> None:
    pause = secure(200)
    pause.repeated(asked(seconds=5), RULES, 1001.0)
    pause.repeated(asked(secure=False, seconds=5), RULES, 1002.0)
    assert (pause.until, pause.secure) == (1200.0, True)


def test_a_plain_pause_that_becomes_secure_has_the_maximum_from_then_on() -> None:
    pause = Pause.begun(asked(secure=False), RULES, 0.0)
    pause.repeated(asked(), RULES, 1000.0)
    assert (pause.until, pause.secure) == (1300.0, True)


def test_the_countdown_goes_to_zero_and_no_further() -> None:
    pause = secure(10)
    assert [pause.remaining_s(now) for now in (1000.0, 1004.0, 1010.0, 1011.0)] == [10.0, 6.0, 0.0, 0.0]


def test_the_mode_is_the_rules_unless_asked_for_and_stays() -> None:
    pause = Pause.begun(asked(mode="omit"), RULES, 0.0)
    pause.repeated(asked(mode="mask"), RULES, 1.0)
    assert (secure().mode, pause.mode) == ("mask", "omit")


SECONDS = st.one_of(st.none(), st.floats(0, 10_000))


@given(
    st.lists(st.tuples(st.booleans(), SECONDS, st.floats(0, 100)), max_size=20),
    st.floats(1, 1000),
    st.floats(0, 1000),
)
def test_no_sequence_of_wishes_makes_a_secure_pause_longer_than_the_maximum(
    wishes: list[tuple[bool, float | None, float]], maximum: float, default: float
) -> None:
    rules, now = PauseRules(min(default, maximum), maximum), 0.0
    pause = Pause.begun(asked(), rules, now)
    for is_secure, seconds, after in wishes:
        now += after
        pause.repeated(asked(is_secure, seconds=seconds), rules, now)
        assert pause.until is not None
        assert pause.until <= maximum
