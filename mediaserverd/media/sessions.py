"""The calls whose media run through this server: opened, found by call id, ended by command or by silence.

Responsible for their ports, limits and life. Not responsible for what the commands mean (``offers``, ``commands``).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import structlog

from mediaserverd.media import metrics
from mediaserverd.media.drain import Drain
from mediaserverd.media.engine import Engine, SessionStatistics
from mediaserverd.media.load import Load
from mediaserverd.media.ports import Ports
from mediaserverd.media.taps import Codecs, Tap, Taps
from mediaserverd.media.terms import Local, Terms
from mediaserverd.protocol.ng import Message, Reason, notification

Side = Literal[0, 1]  # 0: calling party, left channel; 1: called party, right channel. Also the engine's leg.
SIDES: Final[tuple[Side, Side]] = (0, 1)

TIMEOUT_GRACE_S: Final = 5.0  # for the controller to act on the notification, or for RTP to come back
UNANSWERED_LIMIT_S: Final = 600.0  # longer than any ring timeout; only a controller that is gone leaves it so
HELD_LIMIT_S: Final = 3600.0  # on hold, silence is what was asked for
PORT_TRIES: Final = 8  # pairs, when other programs sit in our range

log = structlog.get_logger()


class Owner(Protocol):
    """Who controls a session and can be told something unasked. ``name``: of the controller, once it has said it."""

    name: str

    @property
    def connected(self) -> bool: ...

    def tell(self, message: Message) -> bool:
        """False: nobody listens there any more."""


class NoRoom(Exception):
    """A new session is refused; the controller takes another server."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Party:
    tag: str = ""
    label: str = ""
    via_branch: str = ""
    protocol: str = ""
    created: float = field(default_factory=time.time)
    codecs: dict[int, str] = field(default_factory=dict)
    two_way: bool = True  # as its own last description says
    mux: bool = False  # RTP and RTCP on one port, agreed for this leg
    mux_offered: bool = False  # by us to this party


@dataclass(slots=True)
class Session:
    number: int
    controller: str  # whose it is; empty for all who say no name
    call_id: str
    ports: tuple[int, ...]
    advertised: tuple[str, str]  # our address towards each side
    owner: Owner | None
    created: float = field(default_factory=time.time)
    signalled: float = field(default_factory=time.monotonic)
    parties: tuple[Party, Party] = field(default_factory=lambda: (Party(), Party()))
    answered: bool = False
    ended: bool = False
    silent_since: float | None = None  # when the controller was told
    tap: Tap | None = None
    broken: Message | None = None  # how the last recording broke off, as long as no other one has begun
    files: list[str] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def codecs(self) -> Codecs:
        """What the payload types mean that each side sends: it uses the numbers of the other's description
        (RFC 3264 5.1), and its own where the other has none yet."""
        caller, called = self.parties
        return {**caller.codecs, **called.codecs}, {**called.codecs, **caller.codecs}

    @property
    def held(self) -> bool:
        return not all(party.two_way for party in self.parties)


@dataclass(slots=True)
class Tally:
    """Since start, for the ``statistics`` command."""

    opened: int = 0
    refused: int = 0
    timed_out: int = 0
    deleted: int = 0
    duration_s: float = 0.0


class Sessions:
    """``limit``: of all controllers together. ``load``: how busy this host is. ``stopping``: no new ones, for good."""

    def __init__(
        self,
        engine: Engine,
        taps: Taps,
        load: Callable[[], Load],
        broadcast: Callable[[Message, str], None],
        limit: int,
        drain: Drain,
    ) -> None:
        self.limit = limit
        self.drain = drain
        self.stopping = False
        self.tally = Tally()
        self._engine = engine
        self._ports = Ports()
        self._taps = taps
        self._load = load
        self._broadcast = broadcast
        self._by_call: dict[tuple[str, str], Session] = {}
        self._counts: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        metrics.SESSIONS.set_function(lambda: len(self._by_call))

    def __len__(self) -> int:
        return len(self._by_call)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_call.values()))

    @property
    def draining(self) -> bool:
        return self.stopping or self.drain.order is not None

    def find(self, controller: str, call_id: str) -> Session | None:
        return self._by_call.get((controller, call_id))

    def of(self, controller: str) -> list[Session]:
        return [session for session in self._by_call.values() if session.controller == controller]

    def count(self, controller: str) -> int:
        return self._counts[controller]

    def counts(self) -> dict[str, int]:
        """Of every controller that has any."""
        return dict(+self._counts)

    def refusal(self, terms: Terms) -> Reason | None:
        """Why a new session would be refused now, on these terms."""
        limits = terms.parameters
        if self.draining:
            return Reason.LOAD_LIMIT
        if len(self._by_call) >= self.limit or self._counts[terms.controller] >= limits.session_limit:
            return Reason.SESSION_LIMIT
        if limits.cpu_limit_percent < 100 and self._load().cpu_permille >= 10 * limits.cpu_limit_percent:
            return Reason.CPU_LIMIT
        return Reason.NO_PORTS if self._ports.free(limits.rtp_ports) < 2 else None

    def open(self, call_id: str, terms: Terms, locals_: tuple[Local, Local], owner: Owner | None) -> Session:
        """Opens sockets for both sides. Raises NoRoom."""
        refusal = self.refusal(terms)
        if refusal is not None:
            raise self._refused(refusal)
        number, name = next(self._numbers), terms.controller
        ports = self._bind(number, terms, locals_)
        session = Session(number, name, call_id, ports, (locals_[0].advertised, locals_[1].advertised), owner)
        self._by_call[name, call_id] = session
        self._count(name, 1)
        self.tally.opened += 1
        metrics.SESSIONS_OPENED.inc()
        return session

    def _count(self, controller: str, change: int) -> None:
        self._counts[controller] += change
        metrics.CONTROLLER_SESSIONS.labels(controller).set(self._counts[controller])

    def _bind(self, number: int, terms: Terms, locals_: tuple[Local, Local]) -> tuple[int, ...]:
        dscp = terms.parameters.dscp
        for _ in range(PORT_TRIES):
            ports = self._ports.take(terms.parameters.rtp_ports, 2)
            if ports is None:
                break
            (a, b), (a_port, b_port) = locals_, ports
            try:
                self._engine.open_session(number, (a.bound, a_port), (b.bound, b_port), dscp=dscp)
                return ports
            except OSError as fault:
                log.warning("rtp_ports_unusable", ports=ports, fault=fault.strerror)
                metrics.PORTS_TAKEN.inc(2)
                self._ports.give_back(ports)
        raise self._refused(Reason.NO_PORTS)

    def _refused(self, reason: Reason) -> NoRoom:
        self.tally.refused += 1
        metrics.SESSIONS_REFUSED.labels(reason).inc()
        return NoRoom(reason)

    def close(self, session: Session, reason: str, *, discard: bool = False) -> SessionStatistics:
        """Ends recording and relaying, frees the ports. The last numbers are returned."""
        session.ended = True
        if session.tap is not None:
            self._taps.stop(session.tap, reason, discard=discard)
            session.tap = None
        last = self._engine.close_session(session.number)
        del self._by_call[session.controller, session.call_id]
        self._count(session.controller, -1)
        self._ports.give_back(session.ports)
        duration_s = time.time() - session.created
        self.tally.duration_s += duration_s
        metrics.SESSIONS_ENDED.labels(reason).inc()
        log.info("media_session_ended", call_id=session.call_id, reason=reason, duration_ms=int(duration_s * 1000),
                 packets=[leg.packets for leg in last.legs], lost=[leg.lost for leg in last.legs],
                 recordings=session.files)  # fmt: skip
        return last

    def expire(self, media_timeout_s: float) -> None:
        """Tells the controllers of calls that went silent, and ends those that stay so. Called every second."""
        now = time.monotonic()
        silent = set(self._engine.silent_sessions(media_timeout_s))
        for session in self:
            limit_s = self._silence_limit_s(session, media_timeout_s)
            if session.number not in silent or now - session.signalled < limit_s:
                session.silent_since = None
            elif limit_s > media_timeout_s and not self._silent_for(session, limit_s):
                continue
            elif session.silent_since is None:
                session.silent_since = now
                log.warning("media_timeout", call_id=session.call_id, silence_s=limit_s)
                self.notify(session, "media-timeout", reason=f"no RTP for {limit_s:g} s")
            elif now - session.silent_since >= TIMEOUT_GRACE_S and not session.lock.locked():
                self.tally.timed_out += 1
                self.close(session, "media-timeout")

    @staticmethod
    def _silence_limit_s(session: Session, media_timeout_s: float) -> float:
        if not session.answered:
            return max(UNANSWERED_LIMIT_S, media_timeout_s)
        return max(HELD_LIMIT_S, media_timeout_s) if session.held else media_timeout_s

    def _silent_for(self, session: Session, seconds: float) -> bool:
        now = self._engine.statistics(session.number)
        ages = [now.age_s if leg.last_packet_age_s is None else leg.last_packet_age_s for leg in now.legs]
        return min(ages) >= seconds

    def recording_failed(self, tap: Tap, reason: str) -> None:
        session = next((each for each in self._by_call.values() if each.tap is tap), None)
        if session is not None:
            session.tap = None
            session.broken = self.notify(session, "recording-failed", reason=reason, file=tap.file)

    def notify(self, session: Session, kind: str, **extra: str) -> Message:
        """To the connection that spoke of the call last; if it is gone, to all others of the same controller."""
        message = notification(kind, session.call_id, **extra)
        if session.owner is None or not session.owner.tell(message):
            self._broadcast(message, session.controller)
        return message
