"""An INVITE becomes a call, or a refusal: who calls, whom, whether it is recorded, and by which media servers.

Asks ``policy`` for every decision. Not responsible for carrying the call out (``live_call``).
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from mediaserverd.call.setup import CallSetup, OwnOrigin, RecordingOrder, Target
from mediaserverd.controller import audio_path
from mediaserverd.controller.authentication import Authentication, Unproven
from mediaserverd.controller.dialling import ContactWay, LineWay, Way
from mediaserverd.controller.locations import Locations
from mediaserverd.controller.rules import Rules
from mediaserverd.controller.selecting import Choice, Selecting
from mediaserverd.controller.settings import Station
from mediaserverd.policy.facts import CallFacts, Party
from mediaserverd.policy.fleet import DEFAULT_LOCATION
from mediaserverd.policy.initiation import InitiationVerdict
from mediaserverd.policy.routing import FromLine, FromStation, Route, RouteRefusal
from mediaserverd.policy.selection import SelectionRequest
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.grammar import SipError, legible
from mediaserverd.protocol.sip.message import Request
from mediaserverd.protocol.sip.uri import NameAddress


@dataclass(frozen=True, slots=True)
class Admitted:
    """``ways`` tells for each target's ``address`` how to get there; ``reasons`` is the first part of the story,
    ``choice`` is of the media servers in ``setup``, and ``selection`` what to ask for when others are needed."""

    setup: CallSetup
    ways: dict[str, Way]
    reasons: tuple[str, ...]
    choice: Choice | None
    selection: SelectionRequest


@dataclass(frozen=True, slots=True)
class Declined:
    """No call came of it, but it is one line in the log."""

    status: int
    reason: str
    caller: str
    dialled: str
    why: str


class Admission:
    """``advertised`` is our address in SDP and From."""

    def __init__(
        self, authentication: Authentication, locations: Locations, selecting: Selecting, advertised: str
    ) -> None:
        self._authentication = authentication
        self._locations = locations
        self._selecting = selecting
        self._advertised = advertised

    def admit(self, rules: Rules, request: Request, source: Flow) -> Admitted | Declined | Unproven:
        """Raises SipError when a header that is needed is malformed."""
        caller = self._caller(request, source)
        if isinstance(caller, Unproven):
            return caller
        dialled = legible(request.uri.user_text)
        route = rules.routing.route(caller, dialled)
        if isinstance(route, RouteRefusal):
            return Declined(route.status, route.reason, caller.name, dialled, route.rule)
        targets, ways = self._targets(rules, route)
        if not targets:
            return Declined(480, "Temporarily Unavailable", caller.name, dialled, f"{route.rule}: not registered")
        hidden = audio_path.behind_nat(route.calling, request, source, ways.values())
        return self._admitted(rules, route, targets, ways, hidden)

    def _caller(self, request: Request, source: Flow) -> FromStation | FromLine | Unproven:
        """A trusted line needs no digest; a phone that happens to share its address does."""
        line = self._authentication.line_of(source)
        if line is not None and not request.credentials and not self._locations.is_from(source):
            says = _asserted(request)
            return FromLine(line.name, legible(says.uri.user_text), legible(says.display_name))
        proven: Station | Unproven = self._authentication.station_of(request, source)
        return proven if isinstance(proven, Unproven) else FromStation(proven.name)

    def _targets(self, rules: Rules, route: Route) -> tuple[tuple[Target, ...], dict[str, Way]]:
        targets: list[Target] = []
        ways: dict[str, Way] = {}
        for each in route.targets:
            line = rules.line(each.party.line) if each.party.line else None
            found: list[Way] = [LineWay(line, each.number)] if line else []
            found += [ContactWay(binding, each.number) for binding in self._locations.of(each.party.station)]
            for way in found:
                address = f"{len(targets)} {way}"
                targets.append(Target(address, each.party))
                ways[address] = way
        return tuple(targets), ways

    def _admitted(
        self,
        rules: Rules,
        route: Route,
        targets: tuple[Target, ...],
        ways: dict[str, Way],
        behind_nat: Iterable[str],
    ) -> Admitted:
        settings = rules.settings
        call_id = f"{settings.name}-{secrets.token_hex(8)}"
        sample = zlib.crc32(call_id.encode()) % 10_000 / 100
        facts = CallFacts(route.direction, route.calling, route.called, datetime.now(), route.workgroup, sample=sample)
        verdict = rules.initiation.verdict(facts)
        parties = (route.calling, *(each.party for each in targets))
        path = audio_path.chosen(rules, parties, behind_nat)
        look_back_ms = _look_back_ms(rules, parties)
        selection = _request(rules, facts, targets, verdict)
        choice = None
        if verdict.record or look_back_ms or path.mode == "always-in":
            needs_one = path.mode == "always-in"
            choice = self._selecting.choose(rules.selection, selection, relay_will_do=needs_one)
        setup = CallSetup(
            call_id=call_id,
            direction=route.direction,
            calling=route.calling,
            called=route.called,
            targets=targets,
            media_servers=choice.selection.servers if choice else (),
            origin=OwnOrigin(self._advertised, secrets.randbits(40)),
            ring_timeout_s=settings.ring_timeout_s,
            audio_path=path.mode,
            dice=secrets.randbelow(1000) / 1000,
            fail_open=path.fail_open,
            may_go_direct=path.may_go_direct,
            recording=_order(verdict),
            barred_by="" if verdict.record else verdict.policy,
            pause=settings.secure_pause,
            look_back_ms=look_back_ms,
            shortest_ms=round(settings.discard_calls_shorter_than_s * 1000),
            codes=settings.feature_codes,
            encrypt_snippets=settings.encrypt_snippets,
            hang_up_on_broken_rtp_s=settings.hang_up_on_broken_rtp_s,
        )
        reasons = (f"route: {route.rule}", *_why_recorded(verdict), path.reason)
        return Admitted(setup, ways, reasons, choice, selection)


def _request(
    rules: Rules, facts: CallFacts, targets: tuple[Target, ...], verdict: InitiationVerdict
) -> SelectionRequest:
    others = tuple(dict.fromkeys(each.party.location for each in targets if each.party.location))
    wanted = replace(facts, operation="record" if verdict.record else "call")
    return SelectionRequest(facts.calling.location or DEFAULT_LOCATION, others, rules.settings.location, wanted)


def _order(verdict: InitiationVerdict) -> RecordingOrder | None:
    if not verdict.record:
        return None
    return RecordingOrder(secrets.token_hex(16), verdict.policy, verdict.form, verdict.required, verdict.tags)


def _why_recorded(verdict: InitiationVerdict) -> tuple[str, ...]:
    by = f" by policy {verdict.policy}" if verdict.policy else ": no policy asks for it"
    passed = (f"policy {name}: passed: {reason}" for name, reason in verdict.passed)
    return (*passed, f"{'recorded' if verdict.record else 'not recorded'}{by}")


def _look_back_ms(rules: Rules, parties: Iterable[Party]) -> int:
    """As much as any of the devices wants that the call may have to do with."""
    devices = [rules.device(each) for each in parties]
    site = rules.settings.pre_record_seconds
    wanted = [site if each is None or each.pre_record_seconds is None else each.pre_record_seconds for each in devices]
    return round(max(wanted, default=site) * 1000)


def _asserted(request: Request) -> NameAddress:
    """What a trusted line says of the caller: P-Asserted-Identity (RFC 3325) before From."""
    for text in request.headers.elements("P-Asserted-Identity"):
        try:
            return NameAddress.parse(text)
        except SipError:
            continue
    return request.from_
