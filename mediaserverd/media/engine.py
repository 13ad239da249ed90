"""The packet engine as the media server sees it: sessions of two legs, relayed by native threads, and their taps.

Responsible for types: frozen values in, frozen values out. Not responsible for ports (``ports``), for what a call is
(``sessions``), for how a recording's file begins (``protocol.sasf.opening``) or what is in it. Nothing else imports the
native module.

Every method is safe from any thread and takes well under a millisecond, but for ``start_recording``: it creates a file,
so call it from an executor thread, because a sick disk may hold it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, assert_never

from mediaserverd.media import _engine
from mediaserverd.protocol.sasf.opening import Opening

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TAP_RING_BYTES = (
    64 << 20
)  # per worker: 3 s of a stalled disk at 1000 recorded G.711 calls (100 packets/s of 220 bytes each)

T = TypeVar("T", bound="DataclassInstance")
Endpoint = tuple[str, int]
LegIndex = Literal[0, 1]  # 0: leg A, who offered first; 1: leg B
PauseMode = Literal["mask", "omit"]
Latching = Literal["symmetric", "asymmetric", "strict"]

_LATCHING: dict[Latching, _engine.Latching] = {
    "symmetric": _engine.Latching.SYMMETRIC,
    "asymmetric": _engine.Latching.ASYMMETRIC,
    "strict": _engine.Latching.STRICT,
}


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """One SSRC that a leg received, by RFC 3550. ``lost`` counts what never came; a late packet is not lost."""

    ssrc: int
    payload_type: int
    clock_rate: int
    packets: int
    octets: int
    lost: int
    duplicates: int
    reordered: int
    restarts: int
    jitter_ms: float


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """What came from one side, what was sent to it, and what was dropped and why.

    ``packets`` to ``ssrc_changes`` are of accepted RTP, over all SSRCs. Dropped: ``foreign`` came from another address
    than the latched one, ``malformed`` was neither RTP nor RTCP, ``undeliverable`` was for this leg, address unknown.
    """

    packets: int
    octets: int
    lost: int
    duplicates: int
    reordered: int
    jitter_ms: float
    ssrc_changes: int
    rtcp_packets: int
    sent: int
    send_errors: int
    undeliverable: int
    foreign: int
    malformed: int
    announced: Endpoint | None
    seen_from: Endpoint | None
    last_packet_age_s: float | None
    streams: tuple[StreamStatistics, ...]


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """``tap_overflow``: packets that the latest recording of the session missed because the tap's ring was full."""

    age_s: float
    tap_overflow: int
    legs: tuple[LegStatistics, LegStatistics]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the engine's life; ``sessions``, ``recordings`` and ``tap_fill_permille`` (fullest ring) are of now."""

    sessions: int
    recordings: int
    packets: int
    octets: int
    dropped: int
    tap_overflow: int
    tap_fill_permille: int
    events_lost: int
    flush_errors: int


@dataclass(frozen=True, slots=True)
class Latched:
    """The engine learned from where a leg really sends its RTP; in symmetric latching it answers there."""

    session: int
    leg: LegIndex
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class DigitDialled:
    """A leg has sent a whole digit (0 to 9, *, #, A to D) as a telephone event."""

    session: int
    leg: LegIndex
    digit: str


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """The file could not be written. The call goes on; ``stop_recording`` is still due."""

    recording: int
    error: int  # errno


@dataclass(frozen=True, slots=True)
class SideCounts:
    """What came of one side into a recording, by the statistics of RFC 3550; as in its END."""

    packets: int = 0
    lost: int = 0
    late: int = 0
    duplicates: int = 0
    ssrc_changes: int = 0
    jitter_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordingClosed:
    """A stopped recording is complete in its file and sealed, unless ``error`` (errno) says what went wrong.

    ``overflow``: packets that found no room in the tap, because the disk stalled.
    """

    recording: int
    sides: tuple[SideCounts, SideCounts]  # caller, called
    octets: int
    overflow: int
    error: int | None


Event = Latched | DigitDialled | RecordingFailed | RecordingClosed


class Engine:
    """Owner of the native threads. ``fileno()`` turns readable when ``poll_events`` has something to give.

    A recording belongs to one session; a session has one recording at a time. Ids of sessions and recordings are the
    caller's: positive integers, not in use.
    """

    def __init__(self, workers: int = 1, tap_ring_bytes: int = TAP_RING_BYTES) -> None:
        self._native = _engine.Engine(workers, tap_ring_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends sessions and threads. A recording that was not stopped keeps what was received, without END and SEAL."""
        self._native.close()

    def fileno(self) -> int:
        return self._native.fileno()

    def poll_events(self) -> list[Event]:
        return [_event(native) for native in self._native.poll_events()]

    def open_session(self, session: int, a: Endpoint, b: Endpoint, *, dscp: int = 46) -> None:
        """Binds RTP on each endpoint, RTCP one port above. OSError (EADDRINUSE): a port is taken, none stays open."""
        self._native.open_session(session, *a, *b, dscp)

    def close_session(self, session: int) -> SessionStatistics:
        """Frees the ports. A recording that still runs gets no more packets and waits for its ``stop_recording``."""
        return _session_statistics(self._native.close_session(session))

    def set_remote(
        self,
        session: int,
        leg: LegIndex,
        rtp: Endpoint | None,
        rtcp: Endpoint | None = None,
        *,
        rtcp_mux: bool = False,
        latching: Latching = "symmetric",
        clock_rates: Mapping[int, int] | None = None,
    ) -> None:
        """What SDP says of a leg, again at every re-offer. ``rtcp`` None: one port above RTP.

        ``rtp`` None: no address is known (or port 0, or 0.0.0.0): nothing is sent until a source was learned.
        ``clock_rates`` by payload type, for jitter; static payload types are known, others count as 8000.
        """
        self._native.set_remote(session, leg, rtp, rtcp, rtcp_mux, _LATCHING[latching], dict(clock_rates or {}))

    def set_payload_kinds(
        self, session: int, leg: LegIndex, *, telephone_events: Iterable[int], comfort_noise: Iterable[int]
    ) -> None:
        """The payload types that a leg uses for what is no voice: those of digits are read, those of silence are no
        reason to wonder when nothing follows."""
        self._native.set_payload_kinds(session, leg, list(telephone_events), list(comfort_noise))

    def silent_legs(self, seconds: float) -> list[tuple[int, LegIndex]]:
        """Sides without accepted RTP for so long (since the session was opened, if never), unless the last that came
        was comfort noise."""
        return [(session, 1 if leg else 0) for session, leg in self._native.silent_legs(seconds)]

    def statistics(self, session: int) -> SessionStatistics:
        return _session_statistics(self._native.statistics(session))

    def silent_sessions(self, seconds: float) -> list[int]:
        """Sessions that have had no accepted RTP from either side for so long (since they opened, if never)."""
        return self._native.silent_sessions(seconds)

    def totals(self) -> Totals:
        return _frozen(Totals, self._native.totals())

    def set_look_back(self, session: int, milliseconds: int) -> None:
        """Keeps the last ``milliseconds`` (at most 60000) of the session in memory while it is not recorded.

        0 forgets what was kept. What is heard in a pause of a recording is never kept; a recording that is stopped in a
        pause leaves the look-back silent until the next one, or until it is set to 0 and back. OSError (ENOMEM): the
        look-backs of all sessions together are too long (1 GiB).
        """
        self._native.set_look_back(session, milliseconds)

    def recording_start_ns(self, session: int, pre_record_ms: int) -> int:
        """``created_ns`` for the header of a recording that is asked for now, with so much look-back.

        That is now, or when the oldest packet came that the look-back has of that span.
        """
        return self._native.recording_start_ns(session, pre_record_ms)

    def start_recording(
        self,
        session: int,
        recording: int,
        path: Path,
        opening: Opening,
        key: bytes | None,
        signing_key: bytes,
        meta: Mapping[str, Any],
        *,
        caller_leg: LegIndex = 0,
        pre_record_ms: int = 0,
    ) -> None:
        """Creates the SASF file and begins to copy packets. OSError: the file cannot be made (it must not exist).

        ``key``: of the file, None in suite ``clear``; ``signing_key``: the 32 bytes of the Ed25519 private key. The
        file's time 0 is its header's ``created_ns``. What the look-back has heard since then, but ``pre_record_ms``
        from now at most, comes into the file, ahead of its event ``begin``.
        """
        self._native.start_recording(
            session,
            recording,
            str(path),
            opening.head,
            opening.keybox,
            key,
            signing_key,
            _json(meta),
            opening.header.created_ns,
            caller_leg,
            pre_record_ms,
        )

    def pause_recording(
        self, recording: int, *, mode: PauseMode = "mask", secure: bool = False, by: str | None = None
    ) -> None:
        """After it returns no packet is copied, to the recording or the look-back. The details are for the file."""
        who = {} if by is None else {"by": by}
        self._native.pause_recording(recording, _json({"event": "pause", "mode": mode, "secure": secure, **who}))

    def resume_recording(self, recording: int, **details: Any) -> None:
        """``details``: ``by`` whom, or the ``reason``."""
        self._native.resume_recording(recording, _json({"event": "resume", **details}))

    def write_event(self, recording: int, side: LegIndex, event: Mapping[str, Any]) -> None:
        """Puts an event behind the packets received so far. ``side``: 0 caller, 1 called."""
        self._native.write_event(recording, side, _json(event))

    def stop_recording(self, recording: int, reason: str) -> None:
        """Ends the file behind the packets received so far; ``RecordingClosed`` tells when it is complete."""
        self._native.finish_recording(recording, json.dumps(reason))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _frozen(kind: type[T], native: object, **instead: Any) -> T:
    """The dataclass with the values that the native object has under the same names."""
    return kind(
        **{field.name: getattr(native, field.name) for field in fields(kind) if field.name not in instead}, **instead
    )


def _session_statistics(native: _engine.Session) -> SessionStatistics:
    a, b = native.legs
    return _frozen(SessionStatistics, native, legs=(_leg_statistics(a), _leg_statistics(b)))


def _leg_statistics(native: _engine.Leg) -> LegStatistics:
    return _frozen(LegStatistics, native, streams=tuple(_frozen(StreamStatistics, stream) for stream in native.streams))


def _event(native: _engine.Event) -> Event:
    match native.kind:
        case _engine.EventKind.LATCHED:
            address, port = native.address or ("", 0)
            return Latched(native.subject, 1 if native.leg else 0, address, port)
        case _engine.EventKind.DIGIT:
            return DigitDialled(native.subject, 1 if native.leg else 0, native.digit)
        case _engine.EventKind.RECORDING_FAILED:
            return RecordingFailed(native.subject, native.error)
        case _engine.EventKind.RECORDING_CLOSED:
            caller, called = (_frozen(SideCounts, side) for side in native.sides)
            error = native.error or None
            return RecordingClosed(native.subject, (caller, called), native.octets, native.overflow, error)
        case _:
            assert_never(native.kind)
