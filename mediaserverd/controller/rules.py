"""What the administrator decided: the table of stations and lines, and the policies, read. A reload swaps it.

Not responsible for reading files (``config``), nor for what policies mean (``policy``).
"""

from __future__ import annotations

from dataclasses import dataclass

from mediaserverd.controller.settings import ControllerSettings, Line, Station
from mediaserverd.policy import initiation, selection_document
from mediaserverd.policy.document import PolicyError
from mediaserverd.policy.facts import Party
from mediaserverd.policy.initiation import InitiationPolicies
from mediaserverd.policy.routing import Routing
from mediaserverd.policy.selection import SelectionRules
from mediaserverd.process.role import StartFault


@dataclass(frozen=True, slots=True)
class Rules:
    settings: ControllerSettings
    routing: Routing
    initiation: InitiationPolicies
    selection: SelectionRules

    @classmethod
    def of(cls, settings: ControllerSettings) -> Rules:
        """Raises StartFault with every fault."""
        places = {settings.location, *(server.location for server in settings.media_servers)}
        places |= {station.location for station in settings.stations} | {line.location for line in settings.lines}
        known = {
            "location": places,
            "station": {station.name for station in settings.stations},
            "line": {line.name for line in settings.lines},
            "workgroup": {group.name for group in settings.workgroups},
        }
        try:
            return cls(
                settings,
                Routing(settings.stations, settings.lines, settings.workgroups, "configuration"),
                initiation.from_document(settings.initiation, "initiation policies"),
                selection_document.from_document(settings.selection, "selection rules", known),
            )
        except PolicyError as error:
            raise StartFault(f"the policies cannot be used: {error}; correct them in the configuration") from error

    def device(self, party: Party) -> Station | Line | None:
        """What the party is reached by."""
        if party.line:
            return self.line(party.line)
        return next((station for station in self.settings.stations if station.name == party.station), None)

    def line(self, name: str) -> Line | None:
        return next((line for line in self.settings.lines if line.name == name), None)
