"""A call with sessions on both sides, as a controller writes it down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mediaserverd.call.events import CALLER
from mediaserverd.controller.call_record import CallRecord, LegRecord, Moment, Told
from mediaserverd.controller.selecting import Choice, described
from mediaserverd.controller.trace import Line, Trace
from mediaserverd.policy.facts import CallDirection, CallFacts
from mediaserverd.policy.selection import Selection, SelectionRequest, Step
from tests.call.script import ORDER
from tests.call.script import talking as talking_call
from tests.protocol.sip.network import talking as talking_sessions


def some_record() -> CallRecord:
    kept = talking_call(recording=ORDER).call.snapshot()
    _, _, _, calling, called = talking_sessions()
    sessions = called.snapshot(), calling.snapshot()
    assert kept is not None
    assert sessions[0] is not None
    assert sessions[1] is not None
    legs = LegRecord(CALLER, sessions[0], "alice", ""), LegRecord(kept.winner, sessions[1], "", "carrier")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    facts = CallFacts(CallDirection.INTERNAL, kept.setup.calling, kept.called, datetime(2026, 1, 1))
    selection = SelectionRequest("default", ("branch",), "default", facts)
    made = CallRecord(kept, legs, ("m1", "m2"), ("m1",), selection, ("because",), at, Moment(1000.25, 1.7e9))
    return replace(made, told=_told(selection))


def _told(selection: SelectionRequest) -> Told:
    """A usual call: two phones, a challenge, a media server that is selected and asked."""
    trace = Trace({"controller": "controller", "caller": "alice 192.0.2.7:5062 udp", "media m1": "m1"})
    for number in range(25):
        trace.add(Line(1.7e9 + number, "caller", "controller", "200 OK", "102 INVITE", sdp=True))
    step = Step("default", "$device", "m1", taken=True, reason="CPU 4.2 %, 17 sessions")
    chosen = Selection("default", ("m1",), (step, step._replace(entry="any", server="", taken=False)))
    choice = Choice(datetime(2026, 1, 1, tzinfo=UTC), selection, chosen, {"m1": "took the call"})
    return Told(trace.record(), (described(choice),))
