"""How often the log is told of peers that misbehave."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from mediaserverd.process.complaints import INTERVAL_S, LINE_LIMIT, SOURCE_LIMIT, Complaints


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def test_one_source_has_one_line_in_an_interval_and_the_next_tells_how_many_there_were(clock: _Clock) -> None:
    complaints = Complaints("bad", clock)
    with capture_logs() as lines:
        for _ in range(1000):
            complaints.note("192.0.2.1", "why", transport="udp")
        clock.now = INTERVAL_S
        complaints.note("192.0.2.1", "why", transport="udp")
    assert [(line["event"], line["not_logged_before"]) for line in lines] == [("bad", 0), ("bad", 999)]


def test_a_flood_from_forged_addresses_has_a_limit_of_lines_and_of_memory(clock: _Clock) -> None:
    complaints = Complaints("bad", clock)
    sources = SOURCE_LIMIT + 500
    with capture_logs() as lines:
        for number in range(sources):
            complaints.note(f"10.0.{number // 256}.{number % 256}", "why", transport="udp")
        assert len(lines) == LINE_LIMIT
        clock.now = INTERVAL_S
        complaints.note("192.0.2.1", "why", transport="udp")
    assert lines[LINE_LIMIT]["event"] == "bad_by_many"
    assert lines[LINE_LIMIT]["sources_without_a_line"] == sources - LINE_LIMIT
    assert len(complaints._sources) == SOURCE_LIMIT
