"""What an endpoint hands out: datagrams to send, and what has happened. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import Request, Response

if TYPE_CHECKING:
    from mediaserverd.protocol.sip.session import Session
    from mediaserverd.protocol.sip.transaction_layer import ClientTransaction, ServerTransaction

__all__ = [
    "AckReceived",
    "CancelReceived",
    "Ending",
    "Failure",
    "Malformed",
    "Output",
    "RequestReceived",
    "ResponseReceived",
    "SessionEnded",
    "TransactionFailed",
    "Transmit",
]


class Failure(Enum):
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


class Ending(Enum):
    """Why a session has ended."""

    REFUSED = "refused"  # they answered our INVITE with a final response that is not a success
    REJECTED = "rejected"  # we did so with theirs
    CANCELLED = "cancelled"  # they gave up their INVITE
    BYE = "bye"  # they hung up
    HUNG_UP = "hung-up"  # we did, or gave up our INVITE
    NO_ACK = "no-ack"  # we answered, but their ACK never came
    TIMEOUT = "timeout"  # our INVITE was never answered
    UNREACHABLE = "unreachable"  # our INVITE, or our answer to theirs, could not be delivered
    LOST = "lost"  # they know nothing of the dialog any more (481), or do not answer in it (408)


@dataclass(frozen=True, slots=True)
class Transmit:
    """To be sent before the next input. If it cannot be sent, say ``transport_failed(flow, now)``."""

    data: bytes
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A request that wants a reply. ``session`` is set for INVITE, and for every request within a dialog."""

    transaction: ServerTransaction
    request: Request
    source: Flow
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response; what ends a session is told by ``SessionEnded`` alone."""

    transaction: ClientTransaction
    response: Response
    source: Flow
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The ACK for our success, once. Its body is the answer if our success carried the offer."""

    session: Session
    request: Request


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """They gave up a re-INVITE; it has been answered with 487. (An INVITE given up ends its session instead.)"""

    transaction: ServerTransaction
    session: Session


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last thing that is heard of a session, once for each. ``message`` is what ended it, if a message did."""

    session: Session
    cause: Ending
    message: Request | Response | None = None


@dataclass(frozen=True, slots=True)
class TransactionFailed:
    """A request got no final response, or a reply could not be delivered."""

    transaction: ClientTransaction | ServerTransaction
    why: Failure
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that is not SIP as we know it; a request has been answered, if it could be."""

    source: Flow
    error: SipError


Output: TypeAlias = (
    Transmit
    | RequestReceived
    | ResponseReceived
    | AckReceived
    | CancelReceived
    | SessionEnded
    | TransactionFailed
    | Malformed
)
