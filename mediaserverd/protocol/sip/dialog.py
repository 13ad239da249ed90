"""One dialog (RFC 3261 section 12): what both sides have agreed to call it, and the way to the other side.

Responsible for: ids, route set, remote target, sequence numbers, requests within the dialog, the interval after which a
re-INVITE may be tried again (14.1), and how often an answer is repeated until its ACK comes (13.3.1.4).
Not for: what INVITE and BYE do to a call (``session``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.headers import CSeq
from mediaserverd.protocol.sip.message import Headers, Request, Response
from mediaserverd.protocol.sip.transaction import Timing
from mediaserverd.protocol.sip.uri import NameAddress, Uri

__all__ = ["MAX_FORWARDS", "AnswerRepeat", "Dialog", "SentMessage", "again", "glare_delay", "with_type"]

MAX_FORWARDS = 70  # RFC 3261 8.1.1.6
TARGET_REFRESH = ("INVITE", "UPDATE")  # RFC 3261 12.2, RFC 3311 5.1


@dataclass(slots=True)
class Dialog:
    call_id: str
    local: NameAddress
    remote: NameAddress
    remote_target: Uri
    routes: tuple[NameAddress, ...]
    contact: str
    local_cseq: int = 0
    remote_cseq: int | None = None

    @classmethod
    def of_server(cls, request: Request, local_tag: str, contact: str) -> Dialog:
        """The called side's (12.1.1)."""
        return cls(
            call_id=request.call_id,
            local=request.to.with_tag(local_tag),
            remote=request.from_,
            remote_target=_only_contact(request),
            routes=request.record_route,
            contact=contact,
            remote_cseq=request.cseq.number,
        )

    @classmethod
    def of_client(cls, request: Request, response: Response) -> Dialog:
        """The calling side's (12.1.2), early or confirmed. A response without Contact leaves us where we called."""
        return cls(
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            remote_target=response.contacts[0].uri if response.contacts else request.uri,
            routes=tuple(reversed(response.record_route)),
            contact=request.headers.get("Contact") or "",
            local_cseq=request.cseq.number,
        )

    @property
    def remote_tag(self) -> str:
        return self.remote.tag or ""  # RFC 3261 12.1.1: callers of RFC 2543 have none

    @property
    def next_hop(self) -> Uri:
        return self.routes[0].uri if self.routes else self.remote_target

    def request(self, method: str, headers: Iterable[tuple[str, object]] = (), body: bytes = b"") -> Request:
        """The next request to the other side, without Via."""
        self.local_cseq += 1
        return self._request(method, self.local_cseq, headers, body)

    def ack(self, number: int, headers: Iterable[tuple[str, object]] = (), body: bytes = b"") -> Request:
        """The ACK for the success of the INVITE of that number; its ``credentials_of`` go with it (13.2.2.4)."""
        return self._request("ACK", number, headers, body)

    def confirm(self, response: Response) -> None:
        """A success has the last word about routes and target (13.2.2.4)."""
        self.routes = tuple(reversed(response.record_route))
        self.refresh(response)

    def refresh(self, message: Request | Response) -> None:
        """Take the other side's new Contact from a target refresh request or from the success of one."""
        if message.contacts:
            self.remote_target = message.contacts[0].uri

    def takes(self, request: Request) -> bool:
        """Is it the other side's next request (12.2.2)? One that we have seen as a transaction never comes here."""
        number = request.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        if request.method in TARGET_REFRESH:
            self.refresh(request)
        return True

    def _request(self, method: str, number: int, headers: Iterable[tuple[str, object]], body: bytes) -> Request:
        uri, routes = self._way()
        made: list[tuple[str, object]] = [("Route", route) for route in routes]
        made += [
            ("Max-Forwards", MAX_FORWARDS),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", CSeq(number, method)),
        ]
        given = Headers(headers)
        if (method in TARGET_REFRESH or method == "ACK") and "Contact" not in given:
            made.append(("Contact", self.contact))
        return Request(method, uri, Headers([*made, *given]), body)

    def _way(self) -> tuple[Uri, tuple[NameAddress, ...]]:
        """Request-URI and Route headers (12.2.1.1). A first hop without ``lr`` is a strict router of RFC 2543."""
        target = _as_request_uri(self.remote_target)
        if not self.routes or "lr" in self.routes[0].uri.parameters:
            return target, self.routes
        return _as_request_uri(self.routes[0].uri), (*self.routes[1:], NameAddress("", self.remote_target))


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that may have to be sent again, and the INVITE that it belongs to."""

    cseq: int
    data: bytes
    flow: Flow


class AnswerRepeat:
    """A success that we sent to an INVITE, repeated over any transport until its ACK comes, for 64*T1 (13.3.1.4)."""

    __slots__ = ("_end", "_interval", "_timing", "deadline", "sent")

    def __init__(self, sent: SentMessage, timing: Timing, now: float) -> None:
        self.sent = sent
        self._timing = timing
        self._interval = timing.t1
        self._end = now + timing.life
        self.deadline = now + timing.t1

    def advance(self, now: float) -> bool:
        """Called at the deadline. True: send it once more. False: the ACK will not come any more."""
        if now >= self._end:
            return False
        self._interval = min(2 * self._interval, self._timing.t2)
        self.deadline = min(now + self._interval, self._end)
        return True


def glare_delay(*, owns_call_id: bool, roll: float) -> float:
    """How long to wait after 491 before the next try (14.1), in whole 10 ms. ``roll`` is a die from 0 to 1."""
    low, high = (2.1, 4.0) if owns_call_id else (0.0, 2.0)
    return round(low + roll * (high - low), 2)


def again(request: Request, cseq: int, *headers: tuple[str, object]) -> Request:
    """The same request once more after a challenge (22.2): no Via, this CSeq, these headers in place of old ones."""
    made = request.headers.without("Via", *(name for name, _ in headers))
    made = made.with_("CSeq", CSeq(cseq, request.method))
    return replace(request, headers=Headers([*made, *headers]))


def credentials_of(request: Request) -> list[tuple[str, object]]:
    """Those that a request carries, as headers for another one."""
    return [
        (name, value) for name in ("Authorization", "Proxy-Authorization") for value in request.headers.get_all(name)
    ]


def with_type(headers: Iterable[tuple[str, object]], body: bytes, content_type: str) -> list[tuple[str, object]]:
    """The headers of a message with this body, Content-Type among them."""
    made = list(headers)
    if body and all(name.lower() != "content-type" for name, _ in made):
        made.append(("Content-Type", content_type))
    return made


def _only_contact(request: Request) -> Uri:
    if len(request.contacts) != 1:
        raise SipError(400, "INVITE needs exactly one Contact", ", ".join(request.headers.get_all("Contact")))
    return request.contacts[0].uri


def _as_request_uri(uri: Uri) -> Uri:
    """Without what a Request-URI may not carry (19.1.1 table 1)."""
    return replace(uri, parameters=uri.parameters.without("method"), headers=())
