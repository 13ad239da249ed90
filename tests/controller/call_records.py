"""A call with sessions on both sides, as a controller writes it down."""

from __future__ import annotations

from datetime import UTC, datetime

from mediaserverd.call.events import CALLER
from mediaserverd.controller.call_record import CallRecord, LegRecord, Moment
from mediaserverd.policy.facts import CallDirection, CallFacts
from mediaserverd.policy.selection import SelectionRequest
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
    return CallRecord(kept, legs, ("m1", "m2"), ("m1",), selection, ("because",), at, Moment(1000.25, 1.7e9))
