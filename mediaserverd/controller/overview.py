"""The whole controller at a glance, for those who look again every second: counts, and the newest calls."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from mediaserverd.call.recording import RecordingState
from mediaserverd.controller.ledger import utc_text
from mediaserverd.controller.live_call import LiveCall
from mediaserverd.controller.story import live_row
from mediaserverd.controller.switchboard import Switchboard

NEWEST: Final = 100  # calls that are told one by one: more than a screen has lines


def overview_of(switchboard: Switchboard) -> dict[str, Any]:
    calls = switchboard.calls.values()
    bindings = switchboard.locations.everything()
    return {
        "controller": switchboard.rules.settings.name,
        "at": utc_text(datetime.now(UTC)),
        "calls": {
            "running": len(calls),
            "by_state": Counter(live.call.phase.value for live in calls),
            "recorded": sum(_is_recorded(live) for live in calls),
            "paused": sum(live.call.control.pause is not None for live in calls),
        },
        "newest": [live_row(live) for live in itertools.islice(reversed(calls), NEWEST)],
        "registrations": {"contacts": len(bindings), "stations": len({each.station for each in bindings})},
    }


def _is_recorded(live: LiveCall) -> bool:
    return any(each.state is RecordingState.RUNNING for each in live.call.recordings.all)
