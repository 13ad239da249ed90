"""Every number the controller shows on /metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

calls_active = Gauge("mediaserverd_calls_active", "Calls that are being set up, run or are being ended")
calls_ended = Counter("mediaserverd_calls_ended", "Calls that ended, by the final outcome", ["outcome"])
call_setup_seconds = Histogram(
    "mediaserverd_call_setup_seconds",
    "From the INVITE's arrival to the first provisional answer of the called side (ring), or to its final answer",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
calls_failed_over = Counter(
    "mediaserverd_calls_failed_over", "Calls whose media server died, by where their audio runs since", ["to"]
)
failover_seconds = Histogram(
    "mediaserverd_failover_seconds",
    "From the news that a media server is dead until both phones of a call have answered",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 32),
)
call_faults = Counter("mediaserverd_call_faults", "Faults of the daemon that ended one call")
sip_received = Counter("mediaserverd_sip_received", "SIP messages received", ["kind"])
sip_sent = Counter("mediaserverd_sip_sent", "SIP messages sent", ["kind"])
sip_malformed = Counter("mediaserverd_sip_malformed", "Datagrams and stream messages that are not SIP", ["transport"])
sip_refused_connections = Counter("mediaserverd_sip_refused_connections", "Connections over a limit", ["limit"])
sip_faulty_connections = Counter(
    "mediaserverd_sip_faulty_connections",
    "Connections that were closed for what the peer did or failed to do",
    ["fault"],
)
sip_connections = Gauge("mediaserverd_sip_connections", "Open SIP connections", ["transport"])
sip_dropped = Counter("mediaserverd_sip_dropped", "Messages that could not be sent", ["reason"])
registrations = Gauge("mediaserverd_registrations", "Contacts that are registered")
authentication_failures = Counter("mediaserverd_authentication_failures", "Wrong digests, by SIP method", ["method"])
recordings_expected = Counter("recordings_expected", "Recordings announced to the ledger")
media_server_state = Gauge(
    "mediaserverd_media_server_state", "1 for the state that the media server is in", ["media_server", "state"]
)
sides_silent = Counter(
    "mediaserverd_sides_silent", "Sides of calls that a media server heard nothing from", ["kind", "side"]
)
calls_unheard = Gauge("mediaserverd_calls_unheard", "Running calls that do not hear both sides", ["kind"])
calls_unrecorded = Gauge(
    "mediaserverd_calls_unrecorded", "Running calls that are to be recorded while no media server can"
)
unrecorded_seconds = Counter(
    "mediaserverd_unrecorded_seconds", "Time in which calls were to be recorded while no media server could"
)
ledger_faults = Counter("mediaserverd_ledger_faults", "Writes of ledger entries that the disk did not take", ["fault"])
ledger_unsent = Gauge("mediaserverd_ledger_unsent", "Ledger entries that the recorder has not accepted yet")
recording_control = Counter(
    "mediaserverd_recording_control", "Requests to start, stop, pause or resume a recording", ["action", "status"]
)
call_state_write_seconds = Histogram(
    "mediaserverd_call_state_write_seconds",
    "One transaction with the states of calls that are up, until it is on disk; an answer waits for it",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
call_state_faults = Counter(
    "mediaserverd_call_state_faults",
    "States of calls that the disk did not take (not-written, retried) or not in time (slow, not-waited), and those of "
    "an earlier process that could not be gone on with (not-restored)",
    ["fault"],
)
calls_restored = Counter("mediaserverd_calls_restored", "Calls of an earlier process that went on in this one")
