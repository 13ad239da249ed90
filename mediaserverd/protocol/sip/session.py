"""One leg of a call as SIP sees it: an INVITE, the dialog that it makes, and all that happens in it until the BYE.

Responsible for: early and confirmed dialogs, forked answers (surplus ones get ACK and BYE), repeating our success until
its ACK comes and our ACK when their success comes again, sequence numbers, glare, CANCEL and its race with 200, when a
BYE may go out, and telling once that the session has ended. Not for: media, routing, what to answer.

Over 400 lines, because all of it turns on one question: which INVITE is unfinished, and what is still owed for it.

Deviations from RFC 3261:

- A BYE from the called side before it has answered is taken as its end (15 forbids it to send one; some do).
- A response without Contact is taken: the remote target stays what we called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum, auto

from mediaserverd.protocol.sip.dialog import (
    TARGET_REFRESH,
    AnswerRepeat,
    Dialog,
    SentMessage,
    again,
    credentials_of,
    with_type,
)
from mediaserverd.protocol.sip.events import (
    AckReceived,
    CancelReceived,
    Ending,
    Failure,
    RequestReceived,
    ResponseReceived,
    SessionEnded,
    TransactionFailed,
)
from mediaserverd.protocol.sip.flow import Flow, is_behind_nat, next_flow
from mediaserverd.protocol.sip.message import Request, Response
from mediaserverd.protocol.sip.snapshot import DialogSnapshot, SessionSnapshot, text_of, wire_of
from mediaserverd.protocol.sip.transaction_layer import ClientTransaction, ServerTransaction, TransactionLayer

__all__ = ["Authorize", "Phase", "Session", "SessionBusyError"]

Pairs = Iterable[tuple[str, object]]
Authorize = Callable[[Request, Response], Pairs]  # a request and its challenge -> credentials; none to give up

MAX_FORKS = 16  # early dialogs kept for one INVITE: more than any proxy forks to, so that a peer cannot collect them
MAX_CHALLENGES = 2  # tries with credentials: a proxy's and the server's, or one whose nonce had gone stale
_SDP = "application/sdp"
_MAX_RETRY_AFTER_S = 10  # RFC 3261 14.2


class SessionBusyError(Exception):
    """A re-INVITE was asked for while another INVITE is not finished (14.1). Ask ``may_reinvite`` first."""


class Phase(Enum):
    SETUP = auto()  # the INVITE has no final response yet
    UP = auto()
    LEAVING = auto()  # we want to hang up, and wait for what must come before
    ENDED = auto()


class Session:
    """Made by ``Endpoint.invite`` and by a received INVITE; compared and hashed by identity, so it can be a key.

    ``flow`` is how requests within the dialog leave; set it when you know better (a resolved name, a new connection).
    """

    def __init__(
        self,
        layer: TransactionLayer,
        forget: Callable[[Session], None],
        call_id: str,
        flow: Flow,
        *,
        local_tag: str,
        outgoing: bool,
        behind_nat: bool = False,
        authorize: Authorize | None = None,
    ) -> None:
        self.call_id = call_id
        self.local_tag = local_tag
        self.outgoing = outgoing
        self.flow = flow
        self.behind_nat = behind_nat
        self.authorize = authorize
        self.phase = Phase.SETUP
        self.dialog: Dialog | None = None
        self.entry: float | None = None  # the agenda's
        self._layer = layer
        self._forget = forget
        self._contact = layer.identity.contact(flow)
        self._forks: dict[str, Dialog] = {}  # by remote tag, of an outgoing INVITE
        self._acks: dict[str, SentMessage] = {}  # by remote tag: the last ACK sent
        self._ours: ClientTransaction | None = None  # our INVITE or re-INVITE without final response
        self._theirs: ServerTransaction | None = None  # theirs
        self._unacknowledged: ClientTransaction | None = None  # our INVITE whose success waits for the owner's ACK
        self._answer: AnswerRepeat | None = None
        self._inherited = 0  # sequence numbers up to this one were an earlier process's
        self._leaving: Pairs = ()  # headers of the BYE to be sent
        self._ending = Ending.HUNG_UP

    @classmethod
    def incoming(
        cls, layer: TransactionLayer, forget: Callable[[Session], None], transaction: ServerTransaction, local_tag: str
    ) -> Session:
        """Raises SipError if the INVITE cannot make a dialog."""
        request, source = transaction.request, transaction.source
        nat = is_behind_nat(request, source)
        session = cls(layer, forget, request.call_id, source, local_tag=local_tag, outgoing=False, behind_nat=nat)
        session.dialog = Dialog.of_server(request, local_tag, session._contact)
        session._theirs = transaction
        return session

    @classmethod
    def restored(
        cls,
        layer: TransactionLayer,
        forget: Callable[[Session], None],
        kept: SessionSnapshot,
        now: float,
        authorize: Authorize | None = None,
    ) -> Session:
        """A session of an earlier process, up. Raises SipError if the snapshot cannot be read."""
        dialog = kept.dialog.dialog(text_of(kept.call_id))
        session = cls(
            layer,
            forget,
            dialog.call_id,
            kept.flow,
            local_tag=dialog.local.tag or "",
            outgoing=kept.outgoing,
            behind_nat=kept.behind_nat,
            authorize=authorize,
        )
        session.phase, session.dialog, session._inherited = Phase.UP, dialog, dialog.local_cseq
        if kept.ack:
            session._acks[dialog.remote_tag] = kept.ack
        if kept.answer:
            session._answer = AnswerRepeat(kept.answer, layer.timing, now)
            layer.agenda.note(session)
        return session

    def snapshot(self, promised: Response | None = None) -> SessionSnapshot | None:
        """None: there is nothing that another process could go on with. ``promised``: the success that is about to be
        sent to their INVITE, as ``completed``."""
        answer = self._answer.sent if self._answer else None
        if promised is not None and self._theirs is not None:
            answer = SentMessage(self._theirs.request.cseq.number, promised.encode(), self._theirs.flow)
        if self.dialog is None or not (self.phase is Phase.UP or (answer and self.phase is Phase.SETUP)):
            return None
        return SessionSnapshot(
            call_id=wire_of(self.call_id),
            outgoing=self.outgoing,
            flow=self.flow,
            behind_nat=self.behind_nat,
            dialog=DialogSnapshot.of(self.dialog),
            answer=answer,
            ack=self._acks.get(self.dialog.remote_tag),
        )

    # What the owner asks for

    @property
    def deadline(self) -> float | None:
        return self._answer.deadline if self._answer else None

    @property
    def may_reinvite(self) -> bool:
        busy = self._ours or self._theirs or self._answer or self._unacknowledged
        return self.phase is Phase.UP and busy is None

    def request(
        self, method: str, now: float, *, headers: Pairs = (), body: bytes = b"", content_type: str = _SDP
    ) -> ClientTransaction:
        """Send a request within the dialog: INVITE, UPDATE, INFO... For BYE there is ``hang_up``."""
        if method == "INVITE" and not self.may_reinvite:
            raise SessionBusyError("an INVITE is still running in this dialog")
        if self.dialog is None or self.phase is Phase.ENDED:
            raise SessionBusyError("there is no dialog to send a request in")
        transaction = self._send(self.dialog, method, now, with_type(headers, body, content_type), body)
        if method == "INVITE":
            self._ours = transaction
        return transaction

    def acknowledge(self, now: float, *, headers: Pairs = (), body: bytes = b"", content_type: str = _SDP) -> None:
        """The ACK, with the answer, for a success that carried the offer. An INVITE with a body needs none."""
        transaction, self._unacknowledged = self._unacknowledged, None
        if transaction is not None and self.dialog is not None:
            invite = transaction.request
            self._send_ack(
                self.dialog,
                invite.cseq.number,
                (*credentials_of(invite), *with_type(headers, body, content_type)),
                body,
            )

    def hang_up(self, now: float, *, status: int = 480, headers: Pairs = ()) -> None:
        """End it, whatever state it is in: CANCEL, a refusal with ``status``, or BYE, as soon as that is allowed."""
        headers = tuple(headers)
        if self.phase is Phase.SETUP and self.outgoing and self._ours is not None:
            self.phase = Phase.LEAVING
            self._leaving = headers
            self._layer.cancel(self._ours, now, headers)
        elif self.phase is Phase.SETUP and self._theirs is not None:
            refusal = self._theirs.request.response(status, to_tag=self.local_tag, headers=headers)
            self.respond(self._theirs, refusal, now)
        elif self.phase is Phase.UP:
            self.phase = Phase.LEAVING
            self._leaving = headers
            if self._theirs is not None:
                self._refuse(self._theirs, 487, now)
                self._theirs = None
            if self._answer is None:  # else when its ACK comes, or cannot come any more (15)
                self._bye(now)

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response to a request of this dialog; a success to INVITE is repeated until its ACK comes."""
        response = self.completed(transaction, response)
        was_open = transaction.is_open
        self._layer.respond(transaction, response, now)
        if transaction is not self._theirs or not was_open or response.status < 200:
            return
        self._theirs = None
        if response.status < 300:
            sent = SentMessage(transaction.request.cseq.number, response.encode(), transaction.flow)
            self._answer = AnswerRepeat(sent, self._layer.timing, now)
            self._layer.agenda.note(self)
            self.phase = Phase.UP
        elif self.phase is Phase.SETUP:
            self._end(Ending.REJECTED, response)

    def completed(self, transaction: ServerTransaction, response: Response) -> Response:
        """As ``respond`` sends it."""
        refreshes = transaction.request.method in TARGET_REFRESH and 100 < response.status < 300
        if refreshes and "Contact" not in response.headers:
            return replace(response, headers=response.headers.with_("Contact", self._contact))
        return response

    # What comes in

    def start(self, transaction: ClientTransaction) -> None:
        """The outgoing INVITE is on its way."""
        self._ours = transaction

    def find_dialog(self, remote_tag: str) -> Dialog | None:
        """The dialog with that side; while it rings, an outgoing INVITE may have several."""
        if self.dialog is not None and self.dialog.remote_tag == remote_tag:
            return self.dialog
        return self._forks.get(remote_tag) if self.phase is Phase.SETUP else None

    def take_request(self, dialog: Dialog, event: RequestReceived, now: float) -> None:
        """A request within the dialog, other than ACK and CANCEL."""
        transaction, request = event.transaction, event.request
        if not dialog.takes(request):
            self._refuse(transaction, 500, now)
            return
        if self.behind_nat or event.source.connection is not None:
            self.flow = event.source  # the phone may have come back by another connection, or from another port
        if request.method == "BYE":
            self._take_bye(transaction, now)
        elif self.phase is Phase.LEAVING:
            self._refuse(transaction, 481, now)
        elif request.method != "INVITE":
            self._layer.outputs.append(event)
        elif self._theirs is not None:
            delay = sum(self.local_tag.encode(), request.cseq.number) % (_MAX_RETRY_AFTER_S + 1)
            self._refuse(transaction, 500, now, [("Retry-After", delay)])
        elif self._ours is not None:
            self._refuse(transaction, 491, now)
        else:
            self._theirs = transaction
            self._layer.outputs.append(event)

    def take_ack(self, request: Request, now: float) -> None:
        if self._answer is None or self._answer.sent.cseq != request.cseq.number:
            return
        self._answer = None
        if self.phase is Phase.LEAVING:
            self._bye(now)
        elif self.phase is Phase.UP:
            self._layer.outputs.append(AckReceived(self, request))

    def take_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """Their INVITE, not finally answered yet, is given up."""
        self._refuse(transaction, 487, now)
        if transaction is self._theirs:
            self._theirs = None
        if self.phase is Phase.SETUP:
            self._end(Ending.CANCELLED, cancel)
        elif self.phase is Phase.UP:
            self._layer.outputs.append(CancelReceived(transaction, self))

    def take_response(self, transaction: ClientTransaction, response: Response, source: Flow, now: float) -> None:
        if self._answer_challenge(transaction, response, now):
            return
        event = ResponseReceived(transaction, response, source, self)
        if transaction.request.method == "INVITE":
            self._take_invite_response(event, now)
            return
        if response.status < 300 and transaction.request.method in TARGET_REFRESH and self.dialog is not None:
            self.dialog.refresh(response)
        if self.phase is not Phase.ENDED:
            self._layer.outputs.append(event)
            self._end_if_lost(transaction.request.method, response.status, now)

    def take_repeated(self, response: Response) -> None:
        """A response to a request that nobody remembers: their success wants its ACK again (13.2.2.4); or for the first
        time, if the INVITE was sent by an earlier process. Without its ACK they would hang up after 64 * T1."""
        if not 200 <= response.status < 300 or response.cseq.method != "INVITE" or self._acknowledge_again(response):
            return
        number, dialog = response.cseq.number, self.dialog
        if dialog and self.phase is Phase.UP and response.to.tag == dialog.remote_tag and number <= self._inherited:
            self._send_ack(dialog, number, (), b"")

    def take_failure(self, failed: TransactionFailed, now: float) -> None:
        if self._call_back(failed, now):
            return
        was_invite = failed.transaction in (self._ours, self._theirs)
        if failed.transaction is self._ours:
            self._ours = None
        if failed.transaction is self._theirs:
            self._theirs = None
        if self.phase is Phase.SETUP and was_invite:
            self._end(Ending.TIMEOUT if failed.why is Failure.TIMEOUT else Ending.UNREACHABLE)
        elif self.phase is Phase.LEAVING and was_invite and self._answer is None:
            self._end(Ending.HUNG_UP)  # nobody answered our CANCEL either
        elif self.phase is not Phase.ENDED:
            self._layer.outputs.append(failed)
            if isinstance(failed.transaction, ClientTransaction):
                self._end_if_lost(failed.transaction.request.method, 408, now)

    def advance(self, now: float) -> None:
        """Our success is repeated, or its ACK is given up: then the call is over (13.3.1.4)."""
        if self._answer is None:
            return
        if self._answer.advance(now):
            self._layer.transmit(self._answer.sent.data, self._answer.sent.flow)
            self._layer.agenda.note(self)
            return
        self._answer = None
        if self.phase is Phase.UP:
            self._ending = Ending.NO_ACK
        self._bye(now)

    def _answer_challenge(self, transaction: ClientTransaction, response: Response, now: float) -> bool:
        """Try again with credentials, if we have them (22.2, 22.3). An INVITE that is given up is not tried again."""
        request = transaction.request
        if response.status not in (401, 407) or self.authorize is None or transaction.challenges >= MAX_CHALLENGES:
            return False
        headers = tuple(self.authorize(request, response))
        if not headers or (request.method == "INVITE" and self.phase in (Phase.LEAVING, Phase.ENDED)):
            return False
        if request.to.tag is None:
            self._forks.clear()
            self.dialog = None
        self._repeat(transaction, transaction.flow, now, headers).challenges = transaction.challenges + 1
        return True

    def _call_back(self, failed: TransactionFailed, now: float) -> bool:
        """Their connection is gone: within a dialog we go to where they said that they can be reached."""
        transaction = failed.transaction
        if not isinstance(transaction, ClientTransaction) or failed.why is not Failure.UNREACHABLE:
            return False
        wanted = self.phase is not Phase.ENDED or transaction.request.method == "BYE"
        if (
            not wanted
            or self.dialog is None
            or transaction.request.to.tag is None
            or transaction.flow.connection is None
        ):
            return False
        if self.flow.connection == transaction.flow.connection:
            self.flow = replace(self.flow, connection=None)
        self._repeat(transaction, self._way(self.dialog), now)
        return True

    def _repeat(self, failed: ClientTransaction, flow: Flow, now: float, headers: Pairs = ()) -> ClientTransaction:
        """The request once more, as a new transaction in place of the failed one."""
        cseq = failed.request.cseq.number + 1
        if self.dialog is not None:
            cseq = self.dialog.local_cseq = self.dialog.local_cseq + 1
        retry = self._layer.send(again(failed.request, cseq, *headers), flow, now, self)
        if failed is self._ours:
            self._ours = retry
        return retry

    # Responses to our INVITEs

    def _take_invite_response(self, event: ResponseReceived, now: float) -> None:
        transaction, response = event.transaction, event.response
        if response.status < 200:
            self._take_provisional(event)
        elif response.status < 300:
            self._take_success(event, now)
        elif transaction is self._ours:
            self._ours = None
            if self.phase is Phase.UP:
                self._layer.outputs.append(event)
                self._end_if_lost("INVITE", response.status, now)
            else:
                self._end(Ending.REFUSED if self.phase is Phase.SETUP else Ending.HUNG_UP, response)

    def _take_provisional(self, event: ResponseReceived) -> None:
        response = event.response
        tag = response.to.tag
        if self.phase is Phase.SETUP and response.status > 100 and tag and len(self._forks) < MAX_FORKS:
            if tag not in self._forks:
                self._forks[tag] = Dialog.of_client(event.transaction.request, response)
            self.dialog = self._forks[tag]  # the one that spoke last; requests before the answer go there
        if self.phase in (Phase.SETUP, Phase.UP):
            self._layer.outputs.append(event)

    def _take_success(self, event: ResponseReceived, now: float) -> None:
        transaction, response = event.transaction, event.response
        tag = response.to.tag or ""
        if self._acknowledge_again(response):
            return
        if transaction is self._ours:
            self._ours = None
            self._take_answer(event, now)
        elif self.dialog is None or tag != self.dialog.remote_tag:
            self._drop_fork(transaction.request, response, now)
        # else it is the same success again, and the owner has not given the ACK yet

    def _acknowledge_again(self, success: Response) -> bool:
        """Whether this one has had its ACK before."""
        ack = self._acks.get(success.to.tag or "")
        if ack is None or ack.cseq != success.cseq.number:
            return False
        self._layer.transmit(ack.data, ack.flow)
        return True

    def _take_answer(self, event: ResponseReceived, now: float) -> None:
        request, response = event.transaction.request, event.response
        if self.phase is Phase.UP and self.dialog is not None:
            self.dialog.refresh(response)
        else:
            self._choose_dialog(request, response)
        self._unacknowledged = event.transaction
        if self.phase is Phase.LEAVING:
            self._bye(now)
            return
        self.phase = Phase.UP
        if request.body:
            self.acknowledge(now)
        self._layer.outputs.append(event)

    def _choose_dialog(self, request: Request, response: Response) -> None:
        early = self._forks.get(response.to.tag or "")
        if early is None:
            self.dialog = Dialog.of_client(request, response)
        else:
            early.confirm(response)
            self.dialog = early
        self._forks.clear()

    def _drop_fork(self, invite: Request, response: Response, now: float) -> None:
        """Somebody else has answered the same INVITE (13.2.2.4): it was not meant to be."""
        if len(self._acks) < MAX_FORKS:
            surplus = Dialog.of_client(invite, response)
            self._send_ack(surplus, invite.cseq.number, credentials_of(invite), b"")
            self._layer.send(surplus.request("BYE"), self._way(surplus), now).quiet = True

    # Sending and ending

    def _way(self, dialog: Dialog) -> Flow:
        return next_flow(self.flow, dialog.next_hop, behind_nat=self.behind_nat)

    def _send(self, dialog: Dialog, method: str, now: float, headers: Pairs, body: bytes) -> ClientTransaction:
        return self._layer.send(dialog.request(method, headers, body), self._way(dialog), now, self)

    def _send_ack(self, dialog: Dialog, number: int, headers: Pairs, body: bytes) -> None:
        flow = self._way(dialog)
        data = self._layer.with_via(dialog.ack(number, headers, body), flow).encode()
        self._acks[dialog.remote_tag] = SentMessage(number, data, flow)
        self._layer.transmit(data, flow)

    def _refuse(self, transaction: ServerTransaction, status: int, now: float, headers: Pairs = ()) -> None:
        response = transaction.request.response(status, to_tag=self.local_tag, headers=headers)
        self._layer.respond(transaction, response, now)

    def _take_bye(self, transaction: ServerTransaction, now: float) -> None:
        self._refuse(transaction, 200, now)
        if self.outgoing and self.phase is Phase.SETUP:
            self.hang_up(now)
            return
        if self._theirs is not None:
            self._refuse(self._theirs, 487, now)
        self._end(Ending.BYE if self.phase is not Phase.LEAVING else Ending.HUNG_UP, transaction.request)

    def _end_if_lost(self, method: str, status: int, now: float) -> None:
        """The other side has no such dialog, or no call any more (12.2.1.2, RFC 5057)."""
        if self.phase is Phase.UP and (status == 481 or (status == 408 and method in TARGET_REFRESH)):
            self._ending = Ending.LOST
            self._bye(now)

    def _bye(self, now: float) -> None:
        if self._unacknowledged is not None:
            self.acknowledge(now)  # without the answer, but the other side must stop repeating its success
        if self.dialog is not None:
            self._send(self.dialog, "BYE", now, self._leaving, b"")
        self._end(self._ending)

    def _end(self, cause: Ending, message: Request | Response | None = None) -> None:
        self.phase = Phase.ENDED
        self._theirs = self._answer = None
        self._forget(self)
        self._layer.outputs.append(SessionEnded(self, cause, message))
