"""The transactions that are running, and which of them a message belongs to (RFC 3261 sections 9, 17, 18).

Responsible for: matching (17.1.3, 17.2.3, requests of RFC 2543 too), doing what the machines of ``transaction`` say,
our Via, the ACK for a final response that is not a success, CANCEL, and the flow that broke.
Not for: what requests mean (``endpoint``, ``session``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from mediaserverd.protocol.sip.agenda import Agenda, Timed
from mediaserverd.protocol.sip.events import Failure, Output, TransactionFailed, Transmit
from mediaserverd.protocol.sip.flow import MAGIC_COOKIE, Flow, Identity, response_flow
from mediaserverd.protocol.sip.headers import CSeq
from mediaserverd.protocol.sip.message import Headers, Request, Response
from mediaserverd.protocol.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Event,
    Machine,
    State,
    Timing,
)

if TYPE_CHECKING:
    from mediaserverd.protocol.sip.session import Session

__all__ = ["ClientTransaction", "ServerTransaction", "TransactionLayer"]

Key: TypeAlias = tuple[object, ...]


@dataclass(slots=True, eq=False)
class ClientTransaction:
    """A request that we sent. ``session`` is the dialog that it belongs to."""

    request: Request
    flow: Flow
    machine: Machine
    session: Session | None
    key: Key
    sent: bytes
    cancel_headers: tuple[tuple[str, object], ...] = ()
    challenges: int = 0  # how often this request was repeated with credentials
    quiet: bool = False  # nobody wants to know how it ends
    entry: float | None = None

    @property
    def deadline(self) -> float | None:
        return self.machine.deadline


@dataclass(slots=True, eq=False)
class ServerTransaction:
    """A request that we received. ``status`` is the last one we answered, 0 before."""

    request: Request
    source: Flow
    flow: Flow  # where responses go
    machine: Machine
    key: Key
    session: Session | None = None
    to_tag: str = ""
    status: int = 0
    sent: bytes = b""
    entry: float | None = None

    @property
    def deadline(self) -> float | None:
        return self.machine.deadline

    @property
    def is_open(self) -> bool:
        """May it still be given a final response?"""
        return self.machine.state in (State.TRYING, State.PROCEEDING)


Transaction: TypeAlias = ClientTransaction | ServerTransaction


@dataclass(slots=True)
class TransactionLayer:
    """``outputs`` is shared with the endpoint. A response for the user goes to ``deliver``, a failure to ``fail``."""

    identity: Identity
    timing: Timing
    outputs: list[Output]
    deliver: Callable[[ClientTransaction, Response, Flow, float], None]
    fail: Callable[[TransactionFailed, float], None]
    agenda: Agenda[Timed] = field(default_factory=Agenda)
    _clients: dict[Key, ClientTransaction] = field(default_factory=dict)
    _servers: dict[Key, ServerTransaction] = field(default_factory=dict)
    _origins: dict[Key, ServerTransaction] = field(default_factory=dict)
    _flows: dict[Flow, set[Transaction]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def transmit(self, data: bytes, flow: Flow) -> None:
        self.outputs.append(Transmit(data, flow))

    # Client side

    def send(self, request: Request, flow: Flow, now: float, session: Session | None = None) -> ClientTransaction:
        """Start a transaction with a request that has no Via yet."""
        return self._start(self.with_via(request, flow), flow, now, session)

    def with_via(self, request: Request, flow: Flow) -> Request:
        return replace(request, headers=request.headers.with_top("Via", self.identity.via(request, flow)))

    def cancel(self, transaction: ClientTransaction, now: float, headers: Iterable[tuple[str, object]] = ()) -> None:
        """Give up an INVITE; the CANCEL goes out as soon as the other side has shown that it knows the INVITE."""
        if transaction.request.method == "INVITE" and transaction.machine.state is not State.TERMINATED:
            transaction.cancel_headers = tuple(headers)
            self._feed_client(transaction, Event.CANCEL, None, now)

    def receive_response(self, response: Response, source: Flow, now: float) -> bool:
        """False: it belongs to no transaction. Responses with a second Via went astray (8.1.3.3)."""
        if len(response.via) != 1:
            return True
        transaction = self._clients.get((response.top_via.branch, response.cseq.method))
        if transaction is None:
            return False
        self._feed_client(transaction, Event.of_status(response.status), (response, source), now)
        return True

    def _start(self, request: Request, flow: Flow, now: float, session: Session | None) -> ClientTransaction:
        rules = INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT
        machine = Machine(rules, reliable=flow.reliable, timing=self.timing, now=now)
        key = (request.top_via.branch, request.method)
        transaction = ClientTransaction(request, flow, machine, session, key, request.encode())
        self._clients[key] = transaction
        self._flows.setdefault(flow, set()).add(transaction)
        self.agenda.note(transaction)
        self.transmit(transaction.sent, flow)
        return transaction

    def _feed_client(
        self, transaction: ClientTransaction, event: Event, message: tuple[Response, Flow] | None, now: float
    ) -> None:
        self._run_client(transaction, transaction.machine.feed(event, now), message, now)

    def _run_client(
        self,
        transaction: ClientTransaction,
        actions: Iterable[Action],
        message: tuple[Response, Flow] | None,
        now: float,
    ) -> None:
        self._settle(transaction)
        for action in actions:
            if action is Action.REPEAT:
                self.transmit(transaction.sent, transaction.flow)
            elif action is Action.SEND_CANCEL:
                self._start(_cancel_of(transaction), transaction.flow, now, None).quiet = True
            elif action is Action.ACKNOWLEDGE and message is not None:
                self.transmit(_ack_of(transaction.request, message[0]).encode(), transaction.flow)
            elif action is Action.DELIVER and message is not None:
                if not transaction.quiet:
                    self.deliver(transaction, *message, now)
            else:
                self._report(transaction, action, now)

    # Server side

    def find(self, request: Request) -> ServerTransaction | None:
        """The transaction that the request, or ACK, is part of."""
        return self._servers.get(_server_key(request, "INVITE" if request.method == "ACK" else request.method))

    def find_cancelled(self, cancel: Request) -> ServerTransaction | None:
        return self._servers.get(_server_key(cancel, "INVITE"))

    def has_merged(self, request: Request) -> bool:
        """The same request is here already, having come another way (8.2.2.2)."""
        return _origin(request) in self._origins

    def open(self, request: Request, source: Flow, now: float) -> ServerTransaction:
        """Start a transaction for a stamped request."""
        rules = INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER
        machine = Machine(rules, reliable=source.reliable, timing=self.timing, now=now)
        key = _server_key(request, request.method)
        transaction = ServerTransaction(request, source, response_flow(request, source), machine, key)
        self._servers[key] = transaction
        if request.to.tag is None:
            self._origins[_origin(request)] = transaction
        self._flows.setdefault(transaction.flow, set()).add(transaction)
        self.agenda.note(transaction)
        return transaction

    def receive_again(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A copy of the request, or its ACK. True: it is the ACK for a success, which is for the session."""
        event = Event.ACK if request.method == "ACK" else Event.REQUEST
        actions = transaction.machine.feed(event, now)
        self._run_server(transaction, actions, None, now)
        return Action.DELIVER in actions

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Too late a response is dropped: the request has been answered otherwise (CANCEL), or is forgotten."""
        if transaction.machine.state is not State.TERMINATED:
            actions = transaction.machine.feed(Event.of_status(response.status), now)
            self._run_server(transaction, actions, response, now)

    def forget(self, transaction: ServerTransaction, now: float) -> None:
        """Repeat its refusal no more; a copy of the request is then a new request."""
        if transaction.machine.state is State.COMPLETED:
            self._run_server(transaction, transaction.machine.feed(Event.FORGET, now), None, now)

    def _run_server(
        self, transaction: ServerTransaction, actions: Iterable[Action], response: Response | None, now: float
    ) -> None:
        self._settle(transaction)
        for action in actions:
            if action is Action.SEND_TRYING:
                response = transaction.request.response(100)
            if response is not None and action in (Action.SEND, Action.SEND_TRYING):
                transaction.status, transaction.sent = response.status, response.encode()
            if action in (Action.SEND, Action.SEND_TRYING, Action.REPEAT):
                self.transmit(transaction.sent, transaction.flow)
            else:
                self._report(transaction, action, now)

    # Time and trouble

    def advance(self, transaction: Transaction, now: float) -> None:
        actions = transaction.machine.advance(now)
        if isinstance(transaction, ClientTransaction):
            self._run_client(transaction, actions, None, now)
        else:
            self._run_server(transaction, actions, None, now)

    def flow_failed(self, flow: Flow, now: float, only: bytes | None = None) -> None:
        """Nothing goes over this flow any more, or not the message ``only``.

        Replies to what came by a connection now call the sender back.
        """
        for transaction in tuple(self._flows.get(flow, ())):
            if transaction.machine.state is State.TERMINATED or only not in (None, transaction.sent):
                continue
            self._leave_flow(transaction)
            if isinstance(transaction, ClientTransaction):
                self._feed_client(transaction, Event.UNREACHABLE, None, now)
            elif flow.connection is not None and only is None:
                transaction.flow = response_flow(transaction.request, transaction.source, lost=True)
                self._flows.setdefault(transaction.flow, set()).add(transaction)
            else:
                self._run_server(transaction, transaction.machine.feed(Event.UNREACHABLE, now), None, now)

    def _report(self, transaction: Transaction, action: Action, now: float) -> None:
        if isinstance(transaction, ClientTransaction) and transaction.quiet:
            return
        if action is Action.REPORT_TIMEOUT:
            self.fail(TransactionFailed(transaction, Failure.TIMEOUT, transaction.session), now)
        elif action is Action.REPORT_UNREACHABLE:
            self.fail(TransactionFailed(transaction, Failure.UNREACHABLE, transaction.session), now)

    def _settle(self, transaction: Transaction) -> None:
        """After every event: wait for the next deadline, or forget what has ended."""
        if transaction.machine.state is not State.TERMINATED:
            self.agenda.note(transaction)
            return
        self._leave_flow(transaction)
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(transaction.key, None)
            return
        self._servers.pop(transaction.key, None)
        origin = _origin(transaction.request)
        if self._origins.get(origin) is transaction:
            del self._origins[origin]

    def _leave_flow(self, transaction: Transaction) -> None:
        others = self._flows.get(transaction.flow)
        if others is not None:
            others.discard(transaction)
            if not others:
                del self._flows[transaction.flow]


def _server_key(request: Request, method: str) -> Key:
    via = request.top_via
    branch = via.branch
    if branch is not None and branch.startswith(MAGIC_COOKIE):
        return (branch, via.sent_by.lower(), method)
    # RFC 2543. The To tag of 17.2.3 is left out: no two requests differ by it alone, and the ACK's is not the INVITE's.
    return (str(request.uri), request.from_.tag, request.call_id, request.cseq.number, branch, via.sent_by, method)


def _origin(request: Request) -> Key:
    return (request.call_id, request.from_.tag, request.cseq.number, request.method)


def _ack_of(invite: Request, response: Response) -> Request:
    """RFC 3261 17.1.1.3."""
    return _sibling(invite, "ACK", invite.headers.get_all("Route"), str(response.headers.get("To")), ())


def _cancel_of(transaction: ClientTransaction) -> Request:
    """RFC 3261 9.1."""
    invite = transaction.request
    routes = invite.headers.get_all("Route")
    return _sibling(invite, "CANCEL", routes, str(invite.headers.get("To")), transaction.cancel_headers)


def _sibling(
    invite: Request, method: str, routes: Iterable[str], to: str, headers: Iterable[tuple[str, object]]
) -> Request:
    made: list[tuple[str, object]] = [("Via", invite.top_via)]
    made += [("Route", route) for route in routes]
    made += [
        ("Max-Forwards", invite.headers.get("Max-Forwards") or 70),
        ("From", invite.headers.get("From") or ""),
        ("To", to),
        ("Call-ID", invite.call_id),
        ("CSeq", CSeq(invite.cseq.number, method)),
        *headers,
    ]
    return Request(method, invite.uri, Headers(made))
