"""What an endpoint tells of one leg's session, as events of the call. Not responsible for commands (``live_call``)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import assert_never

from mediaserverd.call import events as on
from mediaserverd.call.events import CALLER
from mediaserverd.controller.live_leg import MAX_PENDING_INFOS, LiveLeg
from mediaserverd.protocol.sip.endpoint import (
    AckReceived,
    CancelReceived,
    ClientTransaction,
    Ending,
    Failure,
    RequestReceived,
    ResponseReceived,
    SessionEnded,
    TransactionFailed,
)
from mediaserverd.protocol.sip.grammar import SipError, legible
from mediaserverd.protocol.sip.headers import Reason
from mediaserverd.protocol.sip.message import Request, Response

SessionEvent = RequestReceived | ResponseReceived | AckReceived | CancelReceived | SessionEnded | TransactionFailed

INFO_HEADERS = ("Info-Package", "Content-Disposition", "Record")  # carried over to the other leg


def call_events(leg: LiveLeg, output: SessionEvent) -> Iterator[on.Event]:
    """In their order. What a request within the dialog still needs is kept in ``leg``; requests that are not for the
    call are not given here."""
    match output:
        case RequestReceived():
            yield from _request(leg, output)
        case ResponseReceived():
            yield from _response(leg, output.transaction, output.response)
        case AckReceived():
            yield on.Acknowledged(leg.id, sdp_of(output.request))
        case CancelReceived():
            leg.offer = None  # it has been answered with 487; what the call answers to it is dropped
        case TransactionFailed():
            yield from _failure(leg, output)
        case SessionEnded():
            yield from _ending(leg, output)
        case _:
            assert_never(output)


def sdp_of(message: Request | Response) -> bytes:
    """The body if it is a session description; a body without a type is taken for one."""
    kind = message.content_type
    return message.body if kind is None or kind.essence == "application/sdp" else b""


def _request(leg: LiveLeg, received: RequestReceived) -> Iterator[on.Event]:
    request = received.request
    if request.method == "INFO":
        number = next(leg.info_numbers)
        leg.their_infos[number] = received.transaction
        carried = tuple((name, value) for name in INFO_HEADERS if (value := request.headers.get(name)) is not None)
        kind = request.headers.get("Content-Type") or ""
        yield on.Informed(leg.id, number, kind, request.body, carried, secrets.token_hex(16))
    else:
        leg.offer = received.transaction
        yield on.Offered(leg.id, on.Method(request.method), sdp_of(request))


def _response(leg: LiveLeg, transaction: ClientTransaction, response: Response) -> Iterator[on.Event]:
    status, reason = response.status, legible(response.reason)
    if (info := leg.our_infos.get(transaction)) is not None:
        if status >= 200:
            del leg.our_infos[transaction]
            yield on.InfoAnswered(leg.id, info, status, reason)
    elif transaction.request.method != "INVITE":
        return
    elif not leg.settled:
        if status >= 200:
            leg.settled = True
            yield on.Answered(leg.id, sdp_of(response))
        elif status > 100:
            leg.rang = True
            yield on.Progressed(leg.id, status, reason, sdp_of(response))
    elif status >= 300:
        yield on.OfferRefused(leg.id, status, reason)
    elif status >= 200:
        yield on.OfferAnswered(leg.id, sdp_of(response))


def _failure(leg: LiveLeg, failed: TransactionFailed) -> Iterator[on.Event]:
    """Silence in an established dialog. A request of theirs that we could not answer needs nothing more."""
    transaction = failed.transaction
    if not isinstance(transaction, ClientTransaction):
        return
    status = 408 if failed.why is Failure.TIMEOUT else 503
    if (info := leg.our_infos.pop(transaction, None)) is not None:
        yield on.InfoAnswered(leg.id, info, status, failed.why.value)
    elif transaction.request.method == "INVITE":
        yield on.OfferRefused(leg.id, status, failed.why.value)


def _ending(leg: LiveLeg, ended: SessionEnded) -> Iterator[on.Event]:
    if not leg.settled:
        leg.settled = True
        yield on.Refused(leg.id, *_why_refused(leg, ended))
        return
    match ended.cause:
        case Ending.CANCELLED if leg.accepting:  # the call holds it for answered
            yield on.HungUp(leg.id, "cancelled")
        case Ending.CANCELLED if leg.id == CALLER:
            yield on.Cancelled()
        case Ending.BYE:
            yield on.HungUp(leg.id, _reason_text(ended.message))
        case Ending.NO_ACK:
            yield on.AckMissing(leg.id)
        case Ending.TIMEOUT | Ending.UNREACHABLE | Ending.LOST | Ending.CANCELLED | Ending.REFUSED:
            yield on.LegLost(leg.id, ended.cause.value)
        case Ending.REJECTED | Ending.HUNG_UP:
            pass  # that was us


def _why_refused(leg: LiveLeg, ended: SessionEnded) -> tuple[int, str]:
    if isinstance(ended.message, Response) and ended.message.status >= 300:
        return ended.message.status, legible(ended.message.reason)
    match ended.cause:
        case Ending.TIMEOUT if not leg.given_up:
            return 408, "Request Timeout"
        case Ending.UNREACHABLE:
            return 503, "Service Unavailable"
        case _:
            return (487, "Request Terminated") if leg.given_up else (480, "Temporarily Unavailable")


def _reason_text(message: Request | Response | None) -> str:
    if message is None:
        return ""
    try:
        reason = message.headers.one("Reason", Reason.parse)
    except SipError:
        return ""
    return legible(reason.text) if reason else ""


def has_room_for_info(leg: LiveLeg) -> bool:
    return len(leg.their_infos) < MAX_PENDING_INFOS
