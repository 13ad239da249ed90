"""What the media server counts. Names and help texts only; the counting is where things happen."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SESSIONS = Gauge("mediaserverd_media_sessions", "Calls with media on this server")
CONTROLLER_SESSIONS = Gauge(
    "mediaserverd_media_controller_sessions",
    "Calls with media on this server, by the controller whose they are",
    ["controller"],
)
SESSIONS_OPENED = Counter("mediaserverd_media_sessions_opened", "Calls whose media was taken")
SESSIONS_REFUSED = Counter("mediaserverd_media_sessions_refused", "Calls whose media was refused", ["reason"])
SESSIONS_ENDED = Counter("mediaserverd_media_sessions_ended", "Calls whose media ended", ["reason"])

RTP_PACKETS = Counter("mediaserverd_media_rtp_packets", "RTP packets taken from either side")
RTP_BYTES = Counter("mediaserverd_media_rtp_bytes", "Bytes of these packets")
RTP_DROPPED = Counter("mediaserverd_media_rtp_dropped", "Datagrams that were not relayed")

PORTS_USED = Gauge("mediaserverd_media_ports_used", "RTP ports in use")
PORTS_TOTAL = Gauge("mediaserverd_media_ports_total", "RTP ports in the configured range")
PORTS_TAKEN = Counter("mediaserverd_media_ports_taken", "RTP ports that another program was found to hold")

RECORDINGS_STARTED = Counter("mediaserverd_media_recordings_started", "Recordings begun")
RECORDINGS_RUNNING = Gauge("mediaserverd_media_recordings_running", "Recordings that run now")
RECORDINGS_WAITING = Gauge("mediaserverd_media_recordings_waiting", "Finished recordings that nobody has deleted yet")
RECORDINGS_FINISHED = Counter("mediaserverd_media_recordings_finished", "Recordings sealed in full", ["reason"])
RECORDINGS_FAILED = Counter(
    "mediaserverd_media_recordings_failed", "Recordings refused, broken off or not sealed", ["reason"]
)
TAP_OVERFLOW = Counter(
    "mediaserverd_media_tap_overflow_packets", "Packets that a recording missed: the disk was too slow"
)
SILENT_SIDES = Counter(
    "mediaserverd_media_silent_sides", "Sides of talking calls that no RTP came from: alone, or both", ["kind"]
)
DISK_FREE = Gauge("mediaserverd_media_disk_free_bytes", "Free space where recordings are spooled")
CPU = Gauge("mediaserverd_media_cpu_permille", "How busy this host's processors are")

NG_COMMANDS = Counter("mediaserverd_media_ng_commands", "ng commands by result", ["command", "result"])
NG_REPLAYED = Counter("mediaserverd_media_ng_replayed", "Retransmitted ng commands, answered from memory")
NG_ERRORS = Counter(
    "mediaserverd_media_ng_errors", "ng messages that were not understood, or not let in", ["door", "kind"]
)
NG_CONTROLLERS = Gauge("mediaserverd_media_ng_controllers", "Controllers connected by WebSocket")

RETRIEVAL_REQUESTS = Counter("mediaserverd_media_retrieval_requests", "HTTPS requests by status", ["method", "status"])
RETRIEVAL_REFUSED = Counter(
    "mediaserverd_media_retrieval_refused", "Requests with a bad token or a forbidden path", ["kind"]
)
