from __future__ import annotations

from bench.selection import LIMIT_MS, everything


def test_a_selection_among_a_thousand_servers_takes_less_than_a_millisecond() -> None:
    rows = everything(selections=50)
    assert [row.name for row in rows if row.middle_ms >= LIMIT_MS] == [], rows
