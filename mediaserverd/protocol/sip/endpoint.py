"""A SIP endpoint without sockets, clock or dice: what came in and ``now`` go in, ``drain`` gives what is to be done.

Whoever owns the sockets drives it so, and after every input drains all outputs before the next::

    endpoint.receive_bytes(datagram, Flow("udp", local, remote), now)     # or receive, when a stream was cut already
    endpoint.advance(now)                                                 # when endpoint.deadline has come
    for output in endpoint.drain():
        match output:
            case Transmit(data, flow): ...                                # cannot be sent: transport_failed(flow, now)
            case RequestReceived(): ...                                   # always answer it: reply(transaction, ...)

A B2BUA call, with ``legs: dict[Session, Leg]`` at the owner. The first 100, retransmissions, the ACK of a refusal, the
repeating of a success until its ACK comes, 2xx from surplus forks, CANCEL: all that is dealt with inside::

    RequestReceived(INVITE, session=a)   b = endpoint.invite(request, flow, now)       leg A, and leg B that we call
    ResponseReceived(183, session=b)     endpoint.reply(a_invite, 183, now, body=sdp)
    ResponseReceived(200, session=b)     endpoint.reply(a_invite, 200, now, body=sdp)  b's ACK is gone already, if our
                                         INVITE had a body; else b.acknowledge(now, body=sdp) on AckReceived(a)
    AckReceived(session=a)               the call is up
    RequestReceived(INVITE, session=a)   b.request("INVITE", now, body=sdp), its response with reply: hold, resume...
    RequestReceived(INFO, session=a)     b.request("INFO", now, ...), and reply
    SessionEnded(session=a, cause=BYE)   b.hang_up(now)

``Session.hang_up`` ends a session whatever state it is in. Every session, ours or theirs, answered or not, ends with
one ``SessionEnded``: an INVITE refused, cancelled, timed out, a BYE from either side. Clean up there, and only there.

Responsible for: where a received message goes; what is refused without asking the owner (481 no such dialog, 482 merged
request, 503 too many transactions, a broken message); replies. Not for: authentication, routing, finding addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from mediaserverd.protocol.sip.dialog import MAX_FORWARDS, with_type
from mediaserverd.protocol.sip.events import (
    AckReceived,
    CancelReceived,
    Ending,
    Failure,
    Malformed,
    Output,
    RequestReceived,
    ResponseReceived,
    SessionEnded,
    TransactionFailed,
    Transmit,
)
from mediaserverd.protocol.sip.flow import Address, Flow, Identity, response_flow, stamped
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import Request, Response, parse_message
from mediaserverd.protocol.sip.session import Authorize, Session
from mediaserverd.protocol.sip.snapshot import SessionSnapshot
from mediaserverd.protocol.sip.transaction import Timing
from mediaserverd.protocol.sip.transaction_layer import ClientTransaction, ServerTransaction, TransactionLayer

__all__ = [
    "AckReceived",
    "CancelReceived",
    "ClientTransaction",
    "Ending",
    "Endpoint",
    "Failure",
    "Flow",
    "Malformed",
    "Output",
    "RequestReceived",
    "ResponseReceived",
    "ServerTransaction",
    "Session",
    "SessionEnded",
    "Timing",
    "TransactionFailed",
    "Transmit",
]

# A call on both legs has about eight transactions, which live up to 32 s after their end: 100 calls/s need 26,000.
MAX_TRANSACTIONS = 50_000
RETRY_AFTER_S = 5  # told to those whom we refuse because of that: time for a burst to pass


class Endpoint:
    """``addresses``: what we call ourselves on each transport. ``tokens``: 64 random bits, in letters and digits."""

    def __init__(
        self,
        addresses: Mapping[str, Address],
        tokens: Callable[[], str],
        *,
        user: str | None = None,
        timing: Timing | None = None,
        max_transactions: int = MAX_TRANSACTIONS,
    ) -> None:
        self._tokens = tokens
        self._max_transactions = max_transactions
        self._outputs: list[Output] = []
        self.identity = Identity(addresses, tokens, user)
        self._layer = TransactionLayer(
            self.identity, timing or Timing(), self._outputs, deliver=self._take_response, fail=self._take_failure
        )
        self._sessions: dict[tuple[str, str], Session] = {}  # by Call-ID and our tag

    @property
    def deadline(self) -> float | None:
        """When ``advance`` is wanted next. It may come early, and then finds nothing to do; never late."""
        return self._layer.agenda.deadline

    @property
    def transactions(self) -> int:
        """How many are running; 0 means that nothing is left to be sent or repeated, but for sessions."""
        return len(self._layer)

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def drain(self) -> list[Output]:
        """All outputs since the last call, in their order."""
        outputs = self._outputs.copy()
        self._outputs.clear()
        return outputs

    # What comes in

    def receive_bytes(self, data: bytes, source: Flow, now: float) -> None:
        """A datagram, or one message cut from a stream. Never raises because of what is in it."""
        try:
            message = parse_message(data)
        except SipError as error:
            self.refuse_broken(error, source)
        else:
            self.receive(message, source, now)

    def receive(self, message: Request | Response, source: Flow, now: float) -> None:
        if isinstance(message, Response):
            self._take_any_response(message, source, now)
            return
        request = stamped(message, source)
        transaction = self._layer.find(request)
        if transaction is not None:
            if self._layer.receive_again(transaction, request, now):
                self._take_ack(request, now)
        elif request.method == "ACK":
            self._take_ack(request, now)
        elif request.method == "CANCEL":
            self._take_cancel(request, source, now)
        else:
            self._take_new(request, source, now)

    def refuse_broken(self, error: SipError, source: Flow) -> None:
        """A message that did not parse, here or in the framing of a stream: answer it if it can be, and tell."""
        self._outputs.append(Malformed(source, error))
        if error.request is not None:
            self._refuse(stamped(error.request, source), source, error.status, error.headers, reason=error.reason)

    def transport_failed(self, flow: Flow, now: float) -> None:
        """This flow cannot be sent to, or its connection is closed."""
        self._layer.flow_failed(flow, now)

    def message_failed(self, unsent: Transmit, now: float) -> None:
        """This message cannot be sent (too long for UDP, say), though others to the same place can."""
        self._layer.flow_failed(unsent.flow, now, only=unsent.data)

    def advance(self, now: float) -> None:
        """Do what is due by ``now``."""
        while (item := self._layer.agenda.due(now)) is not None:
            if isinstance(item, Session):
                item.advance(now)
            elif isinstance(item, ClientTransaction | ServerTransaction):
                self._layer.advance(item, now)

    # What the owner wants to send

    def invite(
        self,
        request: Request,
        flow: Flow,
        now: float,
        *,
        behind_nat: bool = False,
        authorize: Authorize | None = None,
    ) -> Session:
        """Call somebody. The request has From with a tag, To, Call-ID and CSeq; what else is mandatory is added.

        ``behind_nat``: the other side can be reached by ``flow`` alone, whatever its Contact says (a registered phone).
        ``authorize`` answers challenges, now and for every later request of the session.
        """
        tag = request.from_.tag
        if request.method != "INVITE" or not tag or (request.call_id, tag) in self._sessions:
            raise ValueError("a session starts with an INVITE whose From has a tag that no other session has")
        request = self._completed(request, flow)
        session = Session(
            self._layer,
            self._forget,
            request.call_id,
            flow,
            local_tag=tag,
            outgoing=True,
            behind_nat=behind_nat,
            authorize=authorize,
        )
        self._sessions[request.call_id, tag] = session
        session.start(self._layer.send(request, flow, now, session))
        return session

    def restore(self, kept: SessionSnapshot, now: float, *, authorize: Authorize | None = None) -> Session:
        """A session of an earlier process, as ``Session.snapshot`` gave it. Raises SipError if it cannot be read."""
        session = Session.restored(self._layer, self._forget, kept, now, authorize)
        self._sessions[session.call_id, session.local_tag] = session
        return session

    def send_request(self, request: Request, flow: Flow, now: float) -> ClientTransaction:
        """A request outside of any dialog: REGISTER, OPTIONS, MESSAGE. Via is added, Max-Forwards if absent."""
        if request.method in ("INVITE", "ACK", "CANCEL"):
            raise ValueError(f"{request.method} is sent by a session")
        return self._layer.send(self._completed(request, flow), flow, now)

    def cancel(self, transaction: ClientTransaction, now: float, headers: Iterable[tuple[str, object]] = ()) -> None:
        """Give up a re-INVITE. (An INVITE: ``Session.hang_up``.)"""
        self._layer.cancel(transaction, now, headers)

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str = "",
        headers: Iterable[tuple[str, object]] = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
        once: bool = False,
    ) -> None:
        """Answer a request. To tag and Contact are added where they are due. Too late an answer is dropped.

        ``once``: for a final answer to a sender that has not proven who it is. Nothing is kept and nothing repeated
        (RFC 3261 26.3.2.4), so that a flood costs us no memory and a forged source address its owner one message.
        """
        headers = with_type(headers, body, content_type)
        self.send_reply(transaction, self.made_reply(transaction, status, reason, headers, body), now)
        if once:
            self._layer.forget(transaction, now)

    def made_reply(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str = "",
        headers: Iterable[tuple[str, object]] = (),
        body: bytes = b"",
    ) -> Response:
        """The answer, complete, for who wants to keep it before ``send_reply`` sends it."""
        if not transaction.to_tag:
            transaction.to_tag = transaction.session.local_tag if transaction.session else self._tokens()
        made = transaction.request.response(status, reason, to_tag=transaction.to_tag, headers=headers, body=body)
        return transaction.session.completed(transaction, made) if transaction.session else made

    def send_reply(self, transaction: ServerTransaction, made: Response, now: float) -> None:
        if transaction.session is not None:
            transaction.session.respond(transaction, made, now)
        else:
            self._layer.respond(transaction, made, now)

    def hop_refusal(self, request: Request) -> int | None:
        """The status to refuse a request with before it is sent on: 483 it has no hops left, 482 it goes round.

        A request goes round if we sent it ourselves, to the same user. To end loops that lead through other B2BUAs,
        which leave no Via of ours, the owner sends on Max-Forwards less one.
        """
        if request.max_forwards == 0 and request.method != "OPTIONS":
            return 483
        return 482 if self.identity.has_passed(request) else None

    # Inside

    def _completed(self, request: Request, flow: Flow) -> Request:
        headers = request.headers
        if "Max-Forwards" not in headers:
            headers = headers.with_("Max-Forwards", MAX_FORWARDS)
        if request.method == "INVITE" and "Contact" not in headers:
            headers = headers.with_("Contact", self.identity.contact(flow))
        return replace(request, headers=headers)

    def _forget(self, session: Session) -> None:
        self._sessions.pop((session.call_id, session.local_tag), None)

    def _session_of(self, request: Request) -> Session | None:
        return self._sessions.get((request.call_id, request.to.tag or ""))

    def _refuse(
        self,
        request: Request,
        source: Flow,
        status: int,
        headers: Iterable[tuple[str, object]] = (),
        *,
        reason: str = "",
    ) -> None:
        """Without a transaction: a copy of the request is refused just so (8.2.7)."""
        response = request.response(status, reason, to_tag=self._tokens(), headers=headers)
        self._layer.transmit(response.encode(), response_flow(request, source))

    def _take_any_response(self, response: Response, source: Flow, now: float) -> None:
        if not self._layer.receive_response(response, source, now):
            session = self._sessions.get((response.call_id, response.from_.tag or ""))
            if session is not None:
                session.take_repeated(response)

    def _take_new(self, request: Request, source: Flow, now: float) -> None:
        within = request.to.tag is not None and request.method != "REGISTER"  # some phones put a tag into REGISTER
        session = self._session_of(request) if within else None
        dialog = session.find_dialog(request.from_.tag or "") if session else None
        if within and dialog is None:
            self._refuse(request, source, 481)
        elif (
            session is not None and dialog is not None
        ):  # never refused for load: calls that are up must be able to end
            transaction = self._layer.open(request, source, now)
            transaction.session = session
            session.take_request(dialog, RequestReceived(transaction, request, source, session), now)
        elif len(self._layer) >= self._max_transactions:
            self._refuse(request, source, 503, [("Retry-After", RETRY_AFTER_S)])
        elif self._layer.has_merged(request):
            self._refuse(request, source, 482)
        else:
            self._open(request, source, now)

    def _open(self, request: Request, source: Flow, now: float) -> None:
        transaction = self._layer.open(request, source, now)
        if request.method == "INVITE":
            try:
                transaction.session = Session.incoming(self._layer, self._forget, transaction, self._tokens())
            except SipError as error:
                self._outputs.append(Malformed(source, error))
                self.reply(transaction, error.status, now, reason=error.reason)
                return
            self._sessions[request.call_id, transaction.session.local_tag] = transaction.session
        self._outputs.append(RequestReceived(transaction, request, source, transaction.session))

    def _take_ack(self, request: Request, now: float) -> None:
        session = self._session_of(request)
        if session is not None:
            session.take_ack(request, now)

    def _take_cancel(self, cancel: Request, source: Flow, now: float) -> None:
        """Always answered at once; its INVITE gets 487 unless it has been answered already (9.2)."""
        cancelled = self._layer.find_cancelled(cancel)
        if cancelled is None:
            self._refuse(cancel, source, 481)
            return
        transaction = self._layer.open(cancel, source, now)
        transaction.to_tag = cancelled.session.local_tag if cancelled.session else cancelled.to_tag
        self.reply(transaction, 200, now)
        if cancelled.is_open and cancelled.session is not None:
            cancelled.session.take_cancel(cancelled, cancel, now)

    def _take_response(self, transaction: ClientTransaction, response: Response, source: Flow, now: float) -> None:
        if transaction.session is not None:
            transaction.session.take_response(transaction, response, source, now)
        else:
            self._outputs.append(ResponseReceived(transaction, response, source))

    def _take_failure(self, failed: TransactionFailed, now: float) -> None:
        if failed.session is not None:
            failed.session.take_failure(failed, now)
        else:
            self._outputs.append(failed)
