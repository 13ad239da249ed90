"""``python -m bench.selection`` from end to end."""

from __future__ import annotations

from typing import Final

from bench.selection import everything

_MOST_SORTS: Final = 8.0  # the dearest, behind 200 conditions that do not hold, takes about three


def test_a_selection_among_a_thousand_servers_costs_no_more_than_sorting_them_a_few_times() -> None:
    rows = everything(selections=50)
    assert [row.name for row in rows if not 0 < row.ratio < _MOST_SORTS] == [], rows
