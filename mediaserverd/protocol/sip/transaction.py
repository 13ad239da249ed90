"""The four transaction machines of RFC 3261 section 17, as amended by RFC 6026, written as tables.

Responsible for: which state follows which, what is to be done then, and when the next timer fires.
Not for: matching messages to transactions, what the messages are, or sending them (``transaction_layer``).

Each machine is a table ``(state, event) -> (next state, actions)`` and a list of the timers that run in each state.
Entering a state starts those of its timers that are not running yet and stops all that are not its own; there is no
other way for a timer to start or stop. A pair that is not in the table is an error in the caller (``LookupError``).

Where the tables say more, or something else, than the RFCs:

- The INVITE server has a state ``TRYING`` before ``PROCEEDING``: nothing was answered yet. The 100 that 17.2.1 wants
  after 200 ms is thus a transition like the others.
- Giving up an INVITE (9.1) is in the INVITE client's table: ``WITHDRAWN`` waits for the provisional response without
  which no CANCEL may be sent, ``CANCELLING`` waits for the final response, but not longer than 64*T1.
- A non-INVITE request that its user leaves unanswered is forgotten after 64*T1 (RFC 4320: nobody waits for the answer
  any more), so that a fault in one user cannot collect transactions.
- A server may be told to forget a request that it refused: RFC 3261 26.3.2.4 wants a stranger challenged once, without
  repetitions, because the address that they go to may be a victim's.
- An INVITE that is neither answered nor given up has no timer here: how long a phone may ring is the user's decision.
- A transport error after the final response is not reported: the user has been told how the request ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

__all__ = [
    "INVITE_CLIENT",
    "INVITE_SERVER",
    "NON_INVITE_CLIENT",
    "NON_INVITE_SERVER",
    "Action",
    "Event",
    "Machine",
    "Rules",
    "State",
    "Timing",
]


@dataclass(frozen=True, slots=True)
class Timing:
    """The base timers in seconds (RFC 3261 table 4). A site on a slow link may want a larger T1."""

    t1: float = 0.5  # estimate of the round trip
    t2: float = 4.0  # longest interval between two copies of a non-INVITE request or of a response to INVITE
    t4: float = 5.0  # longest time that a message stays in the network
    trying: float = 0.2  # how long an INVITE may go unanswered before we say 100

    @property
    def life(self) -> float:
        """How long the other side repeats what it gets no answer to."""
        return 64 * self.t1


class State(Enum):
    CALLING = auto()
    WITHDRAWN = auto()
    CANCELLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class Event(Enum):
    # A client's machine receives responses and a server's machine is given them to send. Both know three sorts.
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    REQUEST = auto()  # the same request again
    ACK = auto()
    CANCEL = auto()  # the user gives up
    UNREACHABLE = auto()  # the transport could not deliver
    FORGET = auto()  # the final response is not to be repeated, nor remembered
    # Named as in RFC 3261 table 4 and RFC 6026; the words are ours where the RFC has no letter.
    TIMER_A = auto()
    TIMER_B = auto()
    TIMER_D = auto()
    TIMER_E = auto()
    TIMER_F = auto()
    TIMER_G = auto()
    TIMER_H = auto()
    TIMER_I = auto()
    TIMER_J = auto()
    TIMER_K = auto()
    TIMER_L = auto()
    TIMER_M = auto()
    TIMER_TRYING = auto()
    TIMER_CANCELLED = auto()
    TIMER_UNANSWERED = auto()

    @classmethod
    def of_status(cls, status: int) -> Event:
        return cls.PROVISIONAL if status < 200 else cls.SUCCESS if status < 300 else cls.FAILURE


class Action(Enum):
    SEND = auto()  # the message that came with the event, and keep it for REPEAT
    REPEAT = auto()  # what was sent last
    SEND_TRYING = auto()  # a 100, and keep it for REPEAT
    SEND_CANCEL = auto()
    ACKNOWLEDGE = auto()  # a final response that is not a success
    DELIVER = auto()  # the message that came with the event, to the user
    REPORT_TIMEOUT = auto()
    REPORT_UNREACHABLE = auto()


Table: TypeAlias = Mapping[tuple[State, Event], tuple[State, tuple[Action, ...]]]
Clock: TypeAlias = Mapping[State, tuple[Event, ...]]


@dataclass(frozen=True, slots=True)
class Rules:
    first: State
    table: Table
    timers: Clock


S, E, A = State, Event, Action

INVITE_CLIENT = Rules(
    first=S.CALLING,
    timers={
        S.CALLING: (E.TIMER_A, E.TIMER_B),
        S.WITHDRAWN: (E.TIMER_A, E.TIMER_B),
        S.CANCELLING: (E.TIMER_CANCELLED,),
        S.COMPLETED: (E.TIMER_D,),
        S.ACCEPTED: (E.TIMER_M,),
    },
    table={
        (S.CALLING, E.TIMER_A): (S.CALLING, (A.REPEAT,)),
        (S.CALLING, E.TIMER_B): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.CALLING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.CALLING, E.PROVISIONAL): (S.PROCEEDING, (A.DELIVER,)),
        (S.CALLING, E.SUCCESS): (S.ACCEPTED, (A.DELIVER,)),
        (S.CALLING, E.FAILURE): (S.COMPLETED, (A.ACKNOWLEDGE, A.DELIVER)),
        (S.CALLING, E.CANCEL): (S.WITHDRAWN, ()),
        (S.WITHDRAWN, E.TIMER_A): (S.WITHDRAWN, (A.REPEAT,)),
        (S.WITHDRAWN, E.TIMER_B): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.WITHDRAWN, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.WITHDRAWN, E.PROVISIONAL): (S.CANCELLING, (A.SEND_CANCEL, A.DELIVER)),
        (S.WITHDRAWN, E.SUCCESS): (S.ACCEPTED, (A.DELIVER,)),
        (S.WITHDRAWN, E.FAILURE): (S.COMPLETED, (A.ACKNOWLEDGE, A.DELIVER)),
        (S.WITHDRAWN, E.CANCEL): (S.WITHDRAWN, ()),
        (S.PROCEEDING, E.PROVISIONAL): (S.PROCEEDING, (A.DELIVER,)),
        (S.PROCEEDING, E.SUCCESS): (S.ACCEPTED, (A.DELIVER,)),
        (S.PROCEEDING, E.FAILURE): (S.COMPLETED, (A.ACKNOWLEDGE, A.DELIVER)),
        (S.PROCEEDING, E.CANCEL): (S.CANCELLING, (A.SEND_CANCEL,)),
        (S.PROCEEDING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.CANCELLING, E.PROVISIONAL): (S.CANCELLING, (A.DELIVER,)),
        (S.CANCELLING, E.SUCCESS): (S.ACCEPTED, (A.DELIVER,)),
        (S.CANCELLING, E.FAILURE): (S.COMPLETED, (A.ACKNOWLEDGE, A.DELIVER)),
        (S.CANCELLING, E.CANCEL): (S.CANCELLING, ()),
        (S.CANCELLING, E.TIMER_CANCELLED): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.CANCELLING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.COMPLETED, E.PROVISIONAL): (S.COMPLETED, ()),
        (S.COMPLETED, E.SUCCESS): (S.COMPLETED, ()),
        (S.COMPLETED, E.FAILURE): (S.COMPLETED, (A.ACKNOWLEDGE,)),
        (S.COMPLETED, E.CANCEL): (S.COMPLETED, ()),
        (S.COMPLETED, E.UNREACHABLE): (S.TERMINATED, ()),
        (S.COMPLETED, E.TIMER_D): (S.TERMINATED, ()),
        (S.ACCEPTED, E.PROVISIONAL): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.SUCCESS): (S.ACCEPTED, (A.DELIVER,)),
        (S.ACCEPTED, E.FAILURE): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.CANCEL): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.UNREACHABLE): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.TIMER_M): (S.TERMINATED, ()),
    },
)

NON_INVITE_CLIENT = Rules(
    first=S.TRYING,
    timers={
        S.TRYING: (E.TIMER_E, E.TIMER_F),
        S.PROCEEDING: (E.TIMER_E, E.TIMER_F),
        S.COMPLETED: (E.TIMER_K,),
    },
    table={
        (S.TRYING, E.TIMER_E): (S.TRYING, (A.REPEAT,)),
        (S.TRYING, E.TIMER_F): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.TRYING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.TRYING, E.PROVISIONAL): (S.PROCEEDING, (A.DELIVER,)),
        (S.TRYING, E.SUCCESS): (S.COMPLETED, (A.DELIVER,)),
        (S.TRYING, E.FAILURE): (S.COMPLETED, (A.DELIVER,)),
        (S.PROCEEDING, E.TIMER_E): (S.PROCEEDING, (A.REPEAT,)),
        (S.PROCEEDING, E.TIMER_F): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.PROCEEDING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.PROCEEDING, E.PROVISIONAL): (S.PROCEEDING, (A.DELIVER,)),
        (S.PROCEEDING, E.SUCCESS): (S.COMPLETED, (A.DELIVER,)),
        (S.PROCEEDING, E.FAILURE): (S.COMPLETED, (A.DELIVER,)),
        (S.COMPLETED, E.PROVISIONAL): (S.COMPLETED, ()),
        (S.COMPLETED, E.SUCCESS): (S.COMPLETED, ()),
        (S.COMPLETED, E.FAILURE): (S.COMPLETED, ()),
        (S.COMPLETED, E.UNREACHABLE): (S.TERMINATED, ()),
        (S.COMPLETED, E.TIMER_K): (S.TERMINATED, ()),
    },
)

INVITE_SERVER = Rules(
    first=S.TRYING,
    timers={
        S.TRYING: (E.TIMER_TRYING,),
        S.COMPLETED: (E.TIMER_G, E.TIMER_H),
        S.CONFIRMED: (E.TIMER_I,),
        S.ACCEPTED: (E.TIMER_L,),
    },
    table={
        (S.TRYING, E.TIMER_TRYING): (S.PROCEEDING, (A.SEND_TRYING,)),
        (S.TRYING, E.REQUEST): (S.PROCEEDING, (A.SEND_TRYING,)),
        (S.TRYING, E.ACK): (S.TRYING, ()),
        (S.TRYING, E.PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
        (S.TRYING, E.SUCCESS): (S.ACCEPTED, (A.SEND,)),
        (S.TRYING, E.FAILURE): (S.COMPLETED, (A.SEND,)),
        (S.TRYING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.PROCEEDING, E.REQUEST): (S.PROCEEDING, (A.REPEAT,)),
        (S.PROCEEDING, E.ACK): (S.PROCEEDING, ()),
        (S.PROCEEDING, E.PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
        (S.PROCEEDING, E.SUCCESS): (S.ACCEPTED, (A.SEND,)),
        (S.PROCEEDING, E.FAILURE): (S.COMPLETED, (A.SEND,)),
        (S.PROCEEDING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.COMPLETED, E.REQUEST): (S.COMPLETED, (A.REPEAT,)),
        (S.COMPLETED, E.ACK): (S.CONFIRMED, ()),
        (S.COMPLETED, E.PROVISIONAL): (S.COMPLETED, ()),
        (S.COMPLETED, E.SUCCESS): (S.COMPLETED, ()),
        (S.COMPLETED, E.FAILURE): (S.COMPLETED, ()),
        (S.COMPLETED, E.UNREACHABLE): (S.TERMINATED, ()),
        (S.COMPLETED, E.FORGET): (S.TERMINATED, ()),
        (S.COMPLETED, E.TIMER_G): (S.COMPLETED, (A.REPEAT,)),
        (S.COMPLETED, E.TIMER_H): (S.TERMINATED, ()),
        (S.CONFIRMED, E.REQUEST): (S.CONFIRMED, ()),
        (S.CONFIRMED, E.ACK): (S.CONFIRMED, ()),
        (S.CONFIRMED, E.PROVISIONAL): (S.CONFIRMED, ()),
        (S.CONFIRMED, E.SUCCESS): (S.CONFIRMED, ()),
        (S.CONFIRMED, E.FAILURE): (S.CONFIRMED, ()),
        (S.CONFIRMED, E.UNREACHABLE): (S.CONFIRMED, ()),
        (S.CONFIRMED, E.TIMER_I): (S.TERMINATED, ()),
        (S.ACCEPTED, E.REQUEST): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.ACK): (S.ACCEPTED, (A.DELIVER,)),
        (S.ACCEPTED, E.PROVISIONAL): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.SUCCESS): (S.ACCEPTED, (A.SEND,)),
        (S.ACCEPTED, E.FAILURE): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.UNREACHABLE): (S.ACCEPTED, ()),
        (S.ACCEPTED, E.TIMER_L): (S.TERMINATED, ()),
    },
)

NON_INVITE_SERVER = Rules(
    first=S.TRYING,
    timers={
        S.TRYING: (E.TIMER_UNANSWERED,),
        S.PROCEEDING: (E.TIMER_UNANSWERED,),
        S.COMPLETED: (E.TIMER_J,),
    },
    table={
        (S.TRYING, E.REQUEST): (S.TRYING, ()),
        (S.TRYING, E.PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
        (S.TRYING, E.SUCCESS): (S.COMPLETED, (A.SEND,)),
        (S.TRYING, E.FAILURE): (S.COMPLETED, (A.SEND,)),
        (S.TRYING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.TRYING, E.TIMER_UNANSWERED): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.PROCEEDING, E.REQUEST): (S.PROCEEDING, (A.REPEAT,)),
        (S.PROCEEDING, E.PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
        (S.PROCEEDING, E.SUCCESS): (S.COMPLETED, (A.SEND,)),
        (S.PROCEEDING, E.FAILURE): (S.COMPLETED, (A.SEND,)),
        (S.PROCEEDING, E.UNREACHABLE): (S.TERMINATED, (A.REPORT_UNREACHABLE,)),
        (S.PROCEEDING, E.TIMER_UNANSWERED): (S.TERMINATED, (A.REPORT_TIMEOUT,)),
        (S.COMPLETED, E.REQUEST): (S.COMPLETED, (A.REPEAT,)),
        (S.COMPLETED, E.PROVISIONAL): (S.COMPLETED, ()),
        (S.COMPLETED, E.SUCCESS): (S.COMPLETED, ()),
        (S.COMPLETED, E.FAILURE): (S.COMPLETED, ()),
        (S.COMPLETED, E.UNREACHABLE): (S.TERMINATED, ()),
        (S.COMPLETED, E.FORGET): (S.TERMINATED, ()),
        (S.COMPLETED, E.TIMER_J): (S.TERMINATED, ()),
    },
)

_REPEATING = (E.TIMER_A, E.TIMER_E, E.TIMER_G)  # each copy of a message waits longer than the one before
_LINGERING = (E.TIMER_D, E.TIMER_I, E.TIMER_J, E.TIMER_K)  # copies may still come; not over a reliable transport
_TIMER_D_S = 32.0  # RFC 3261 table 4: at least 32 s, whatever T1


class Machine:
    """One transaction's state and timers. ``deadline`` is when ``advance`` wants to be called next, or None."""

    __slots__ = ("_interval", "_reliable", "_rules", "_running", "_timing", "deadline", "state")

    def __init__(self, rules: Rules, *, reliable: bool, timing: Timing, now: float) -> None:
        self._rules = rules
        self._reliable = reliable
        self._timing = timing
        self._running: dict[Event, float] = {}
        self._interval = 0.0
        self.deadline: float | None = None
        self.state = rules.first
        self._enter(rules.first, now)

    def feed(self, event: Event, now: float) -> tuple[Action, ...]:
        """Take one event. What comes back is to be done in that order before the next event is fed."""
        state, actions = self._rules.table[self.state, event]
        self._enter(state, now)
        return actions

    def advance(self, now: float) -> list[Action]:
        """Fire the timers that are due, the earliest first."""
        actions: list[Action] = []
        while self.deadline is not None and self.deadline <= now:
            timer = min(self._running, key=self._running.__getitem__)
            del self._running[timer]
            actions.extend(self.feed(timer, now))
        return actions

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        wanted = self._rules.timers.get(state, ())
        for timer in [timer for timer in self._running if timer not in wanted]:
            del self._running[timer]
        for timer in wanted:
            if timer not in self._running and not (self._reliable and timer in _REPEATING):
                self._running[timer] = now + self._duration(timer)
        self.deadline = min(self._running.values()) if self._running else None

    def _duration(self, timer: Event) -> float:
        timing = self._timing
        if timer in _LINGERING:
            if self._reliable:
                return 0.0
            long = {E.TIMER_D: max(_TIMER_D_S, timing.life), E.TIMER_J: timing.life}
            return long.get(timer, timing.t4)
        if timer in _REPEATING:
            self._interval = self._next_interval(timer)
            return self._interval
        return timing.trying if timer is E.TIMER_TRYING else timing.life

    def _next_interval(self, timer: Event) -> float:
        if timer is E.TIMER_E and self.state is S.PROCEEDING:
            return self._timing.t2
        doubled = 2 * self._interval or self._timing.t1
        return doubled if timer is E.TIMER_A else min(doubled, self._timing.t2)
