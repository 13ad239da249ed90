"""Two phones with a session of the engine between them."""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from mediaserverd.media.engine import Endpoint, Engine, Event, RecordingClosed
from tests.engine.phone import Phone, rtp


def open_somewhere(engine: Engine, session: int, address: str = "127.0.0.1") -> tuple[Endpoint, Endpoint]:
    """Opens a session on the first ports that are free, as the server's port pool does."""
    for port in range(30000, 32000, 4):
        a, b = (address, port), (address, port + 2)
        try:
            engine.open_session(session, a, b)
        except OSError as refused:
            if refused.errno != errno.EADDRINUSE:
                raise
        else:
            return a, b
    raise AssertionError("no free ports")


class Call:
    def __init__(self, engine: Engine, session: int = 1, address: str = "127.0.0.1") -> None:
        self.engine = engine
        self.session = session
        self.a, self.b = Phone(address), Phone(address)
        self.a_relay, self.b_relay = open_somewhere(engine, session, address)
        engine.set_remote(session, 0, self.a.endpoint)
        engine.set_remote(session, 1, self.b.endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.a.socket.close()
        self.b.socket.close()

    def talk(self, sequences: Sequence[int] | range, ssrc: int = 0x1234) -> None:
        """Each side sends a packet of each number, and waits for the other's."""
        for sequence in sequences:
            self.a.send(rtp(sequence, ssrc=ssrc), self.a_relay)
            self.b.receive()
            self.b.send(rtp(sequence, ssrc=ssrc + 1), self.b_relay)
            self.a.receive()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def events_until_closed(engine: Engine, recordings: int = 1) -> list[Event]:
    """Everything that happens up to the end of so many recordings, within five seconds."""
    events: list[Event] = []
    deadline = time.monotonic() + 5
    while sum(isinstance(event, RecordingClosed) for event in events) < recordings:
        assert time.monotonic() < deadline, f"the recordings did not close: {events}"
        select.select([engine], [], [], 0.1)
        events += engine.poll_events()
    return events


def closed(engine: Engine) -> RecordingClosed:
    (event,) = (event for event in events_until_closed(engine) if isinstance(event, RecordingClosed))
    return event
