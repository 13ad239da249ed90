"""A short, seeded run of every fuzz target; ``make fuzz`` runs them for long."""

from __future__ import annotations

import pytest

from tests.fuzz import TARGETS
from tests.fuzz.mutation import broken_by, fuzz, mutations
from tests.fuzz.registry import CORPUS


@pytest.mark.parametrize("name", TARGETS)
def test_the_oracle_holds_for_half_a_second(name: str) -> None:
    tried, failure = fuzz(name, 0.5, seed=4475)
    assert failure is None, str(failure)
    assert tried > len(CORPUS[name])


def test_the_same_seed_makes_the_same_inputs() -> None:
    corpus = CORPUS["sip-message"]
    one, other = mutations(corpus, 1), mutations(corpus, 1)
    assert [next(one) for _ in range(50)] == [next(other) for _ in range(50)]


def test_a_broken_oracle_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_bang(data: bytes) -> None:
        assert b"!" not in data

    monkeypatch.setitem(TARGETS, "broken", no_bang)
    monkeypatch.setitem(CORPUS, "broken", (b"quiet", b"loud!" * 30))
    tried, failure = fuzz("broken", 1.0, seed=1)
    assert failure is not None
    assert (tried, failure.data) == (2, b"!")
    assert broken_by("broken", b"quiet") is None
