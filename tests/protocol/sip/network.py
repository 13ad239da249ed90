"""A network in virtual time between SIP endpoints, and phones on it. Nothing here sleeps or opens a socket.

Every datagram takes ``DELAY_S``; ``Fate`` may lose, double or delay it. What was sent is kept in ``Network.log`` as
lines like ``1.5 alice > bob INVITE``, so that a test can say what the wire must have shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias, TypeVar

from mediaserverd.protocol.sip.endpoint import (
    Endpoint,
    Flow,
    Malformed,
    RequestReceived,
    ResponseReceived,
    ServerTransaction,
    Session,
    SessionEnded,
    Transmit,
)
from mediaserverd.protocol.sip.events import Output
from mediaserverd.protocol.sip.message import Headers, Request, Response, parse_message
from mediaserverd.protocol.sip.snapshot import SessionSnapshot
from mediaserverd.protocol.sip.uri import Uri

DELAY_S = 0.01
OFFER = b"v=0 offer\r\n"
ANSWER = b"v=0 answer\r\n"

Fate: TypeAlias = Callable[[str], tuple[float, ...]]  # a log line's end -> the extra delay of each copy that arrives
Found = TypeVar("Found")


def everything_arrives(_line: str) -> tuple[float, ...]:
    return (0.0,)


def losing(*lines: str) -> Fate:
    """Loses the first datagram that each line describes, as often as the line is named."""
    doomed = list(lines)

    def fate(line: str) -> tuple[float, ...]:
        if line in doomed:
            doomed.remove(line)
            return ()
        return (0.0,)

    return fate


def describe(data: bytes) -> str:
    message = parse_message(data)
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"


@dataclass
class Network:
    fate: Fate = everything_arrives
    now: float = 0.0
    phones: dict[tuple[str, int], Phone] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    _flying: list[tuple[float, int, bytes, Flow]] = field(default_factory=list)
    _serial: count[int] = field(default_factory=count)

    def send(self, data: bytes, flow: Flow) -> None:
        names = [self.phones[end].name if end in self.phones else "nobody" for end in (flow.local, flow.remote)]
        line = f"{names[0]} > {names[1]} {describe(data)}"
        self.log.append(f"{round(self.now, 3):g} {line}")
        for extra in self.fate(line):
            arrived = Flow(flow.transport, flow.remote, flow.local, flow.connection)
            heappush(self._flying, (self.now + DELAY_S + extra, next(self._serial), data, arrived))

    def run(self, until: float) -> None:
        """Let everything happen that is due by then."""
        while True:
            self.settle()
            wake = [(phone.endpoint.deadline, phone) for phone in self.phones.values() if phone.endpoint.deadline]
            nearest = min((when for when, _ in wake if when is not None), default=until + 1)
            arrival = self._flying[0][0] if self._flying else until + 1
            moment = min(nearest, arrival)
            if moment > until:
                self.now = until
                return
            self.now = max(self.now, moment)
            if arrival <= moment:
                _, _, data, flow = heappop(self._flying)
                if flow.local in self.phones:
                    self.phones[flow.local].endpoint.receive_bytes(data, flow, self.now)
            else:
                for _, phone in wake:
                    phone.endpoint.advance(self.now)

    def settle(self) -> None:
        for phone in self.phones.values():
            phone.work()

    def wire(self) -> list[str]:
        """The log without its times."""
        return [line.split(" ", 1)[1] for line in self.log]


class Phone:
    """An endpoint with an address. It keeps its events, and does nothing by itself unless ``script`` says so."""

    def __init__(
        self, network: Network, name: str, host: str, transport: str = "udp", max_transactions: int = 1000
    ) -> None:
        self.network = network
        self.name = name
        self.transport = transport
        self.address = (host, 5060)
        self._serial = count()
        self._max_transactions = max_transactions
        self.endpoint = self._new_endpoint()
        self.events: list[Output] = []
        self.script: Callable[[Output], None] = lambda _event: None
        network.phones[self.address] = self

    def _new_endpoint(self) -> Endpoint:
        return Endpoint(
            {self.transport: self.address},
            lambda: f"{self.name}{next(self._serial)}",
            user=self.name,
            max_transactions=self._max_transactions,
        )

    def restart(self, *kept: SessionSnapshot | None) -> list[Session]:
        """Killed and started again, with nothing but what was kept."""
        self.endpoint = self._new_endpoint()
        self.events.clear()
        return [self.endpoint.restore(each, self.network.now) for each in kept if each is not None]

    def flow(self, other: Phone) -> Flow:
        return Flow(self.transport, self.address, other.address, None if self.transport == "udp" else 1)

    def work(self) -> None:
        while outputs := self.endpoint.drain():
            for output in outputs:
                if isinstance(output, Transmit):
                    self.network.send(output.data, output.flow)
                else:
                    assert not isinstance(output, Malformed), output.error
                    self.events.append(output)
                    self.script(output)

    def request(self, method: str, other: Phone, tag: str = "from", body: bytes = b"", **headers: str) -> Request:
        serial = len(self.events)
        items: list[tuple[str, object]] = [
            ("From", f"<sip:{self.name}@{self.address[0]}>;tag={tag}"),
            ("To", f"<sip:{other.name}@{other.address[0]}>"),
            ("Call-ID", f"{tag}-{self.name}-{serial}@{self.address[0]}"),
            ("CSeq", f"1 {method}"),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ]
        return Request(method, Uri("sip", other.name, None, *other.address), Headers(items), body)

    def call(self, other: Phone, body: bytes = OFFER) -> Session:
        session = self.endpoint.invite(self.request("INVITE", other, body=body), self.flow(other), self.network.now)
        self.network.settle()
        return session

    def reply(self, transaction: ServerTransaction, status: int, body: bytes = b"", **headers: str) -> None:
        items = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.endpoint.reply(transaction, status, self.network.now, body=body, headers=items)
        self.network.settle()

    def hang_up(self, session: Session) -> None:
        session.hang_up(self.network.now)
        self.network.settle()

    def got(self, kind: type[Found]) -> list[Found]:
        return [event for event in self.events if isinstance(event, kind)]

    def last_request(self, method: str) -> RequestReceived:
        return [event for event in self.got(RequestReceived) if event.request.method == method][-1]

    def statuses(self) -> list[int]:
        return [event.response.status for event in self.got(ResponseReceived)]

    def response(self, status: int) -> Response:
        return [event.response for event in self.got(ResponseReceived) if event.response.status == status][-1]

    def ending(self) -> SessionEnded:
        (ended,) = self.got(SessionEnded)
        return ended


def two_phones(fate: Fate = everything_arrives, transport: str = "udp") -> tuple[Network, Phone, Phone]:
    network = Network(fate)
    return network, Phone(network, "alice", "192.0.2.1", transport), Phone(network, "bob", "192.0.2.2", transport)


def talking(fate: Fate = everything_arrives, transport: str = "udp") -> tuple[Network, Phone, Phone, Session, Session]:
    """Alice has called Bob, who answered after a second."""
    network, alice, bob = two_phones(fate, transport)
    calling = alice.call(bob)
    network.run(0.1)
    invite = bob.last_request("INVITE")
    assert invite.session is not None
    bob.reply(invite.transaction, 180)
    network.run(1.0)
    bob.reply(invite.transaction, 200, ANSWER)
    network.run(2.0)
    return network, alice, bob, calling, invite.session
