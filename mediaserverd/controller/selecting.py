"""Selection of media servers for a call: the rules, asked about the servers as they stand now.

Keeps ``policy.fleet`` true to the links, and what was chosen for a call as its explanation. Not responsible for the
rules (``policy.selection``), nor for what is asked of the servers (``call``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from mediaserverd.controller.ledger import utc_text
from mediaserverd.controller.media_link import LinkState, MediaState
from mediaserverd.policy.fleet import Fleet, MediaServer
from mediaserverd.policy.selection import NOBODY, Selection, SelectionRequest, SelectionRules

MAX_CHOICES: Final = 20  # kept of one call; each selects once, then at each loss of its media server
KEPT_CHOICES: Final = 3  # the latest, for the next process: each some 400 bytes of the call's record
KEPT_PASSED: Final = 5
ACCEPTED: Final = "took the call"


@dataclass(slots=True)
class Choice:
    """One selection for a call, and what the servers said that were tried."""

    at: datetime
    request: SelectionRequest
    selection: Selection
    outcomes: dict[str, str] = field(default_factory=dict)

    def tried(self, server: str, fault: str = "") -> None:
        """The first word of a server is what counts."""
        if server in self.selection.servers:
            self.outcomes.setdefault(server, fault or ACCEPTED)


def described(choice: Choice) -> dict[str, Any]:
    """As plain values."""
    request, selection = choice.request, choice.selection
    return {
        "at": utc_text(choice.at),
        "operation": request.facts.operation,
        "device": request.device_location,
        "other_parties": list(request.other_locations),
        "controller": request.controller_location,
        "rule": selection.rule,
        "steps": [step._asdict() for step in selection.steps],
        "steps_left_out": selection.left_out,
        "tried": [{"server": server, "outcome": outcome} for server, outcome in choice.outcomes.items()],
    }


def shortened(selection: Mapping[str, Any]) -> dict[str, Any]:
    """For the next process: every server that was taken, and the first that were passed."""
    steps = selection["steps"]
    passed = [step for step in steps if not step["taken"]][:KEPT_PASSED]
    kept = [step for step in steps if step["taken"] or step in passed]
    return {**selection, "steps": kept, "steps_left_out": selection["steps_left_out"] + len(steps) - len(kept)}


class Selecting:
    """``states`` tells how the media servers stand; a state that has not changed is the same object."""

    def __init__(self, states: Callable[[], Sequence[LinkState]]) -> None:
        self._states = states
        self._seen: dict[str, LinkState] = {}
        self._fleet = Fleet()

    def choose(
        self,
        rules: SelectionRules,
        request: SelectionRequest,
        excluded: Mapping[str, str] = NOBODY,
        *,
        relay_will_do: bool = False,
    ) -> Choice:
        """``excluded``: servers that this call has had enough of, and why. ``relay_will_do``: where none can record,
        the call needs one all the same."""
        self._look()
        full = {state.name: state.load.refuses_recordings for state in self._seen.values()}
        unfit = {name: why for name, why in full.items() if why}
        selection = rules.select(request, self._fleet, {**unfit, **excluded})
        if unfit and not selection.servers:  # a call is worth more than its recording
            selection = rules.select(request, self._fleet, excluded)
        if relay_will_do and not selection.servers:
            selection = rules.select(request, self._fleet, excluded, relay_will_do=True)
        for name in selection.servers[:1]:
            self._promise(name)
        return Choice(datetime.now(UTC), request, selection)

    def _look(self) -> None:
        states = self._states()
        for state in states:
            if self._seen.get(state.name) is not state:
                self._seen[state.name] = state
                self._fleet.put(as_candidate(state))
        if len(self._seen) != len(states):
            for name in self._seen.keys() - {state.name for state in states}:
                del self._seen[name]
                self._fleet.remove(name)

    def _promise(self, name: str) -> None:
        """Until the server says anew how it stands, it counts as having this session too: else all calls of that time
        would go to one server."""
        server = self._fleet.get(name)
        if server:
            self._fleet.put(replace(server, sessions=server.sessions + 1))


def for_operation(request: SelectionRequest, operation: str) -> SelectionRequest:
    """What the same call asks when it needs a server for something else, later."""
    return replace(request, facts=replace(request.facts, operation=operation, local_time=datetime.now()))


def as_candidate(state: LinkState) -> MediaServer:
    """How a media server looks to selection."""
    unavailable = "" if state.state is MediaState.ACTIVE else f"{state.state}: {state.reason}"
    unavailable = unavailable or state.load.refuses_sessions
    if not unavailable and 0 < state.load.max_sessions <= state.load.sessions:
        unavailable = f"all {state.load.max_sessions} sessions are in use"
    load = state.load
    return MediaServer(
        state.name, state.location, unavailable, load.cpu_permille, load.sessions, relays_only=state.relays_only
    )
