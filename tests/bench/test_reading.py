"""``python -m bench.reading``, with a recording of one minute."""

from __future__ import annotations

import pytest

from bench.reading import SUITES, measure, recorded
from mediaserverd.protocol.sasf.header import Suite


@pytest.mark.parametrize("suite", SUITES)
def test_a_second_of_the_middle_costs_less_than_proving_all(suite: Suite) -> None:
    costs = measure(recorded(suite, 60), 60, tries=3)
    assert costs["one second of the middle"] < costs["verify"] < costs["verify and decode"]
