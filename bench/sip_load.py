"""Calls at a rate: a station that calls through the daemon, and the far end of a line that answers at once.

Signalling only: each side's SDP names the place where ``rtp_load`` will send and listen, and what the daemon offers
there is kept for it. Set-up time is from the INVITE to its 200; the far end's own time is in it, as a phone's would be.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.rtp_load import Address, LoadSide, LoadTarget, Side, phone_address
from mediaserverd.protocol.sip.digest import authorize
from mediaserverd.protocol.sip.endpoint import Output, RequestReceived, ResponseReceived, Session, SessionEnded
from mediaserverd.protocol.sip.message import Headers, Request, Response
from mediaserverd.protocol.sip.uri import Uri
from tests.kit.account import Account
from tests.kit.rtp import Media
from tests.kit.sip_socket import SipSocket

CALLER_ADDRESS: Final = ("127.0.0.2", 5070)
FAR_END_ADDRESS: Final = ("127.0.0.3", 5080)
NUMBER_PREFIX: Final = "9"  # of what is dialled; the number of the call follows, by which the far end knows it

_ANSWERED_WITHIN_S: Final = 15.0  # a call that is not up by then has failed; INVITE is repeated five times until then
_CLEARED_WITHIN_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.02


@dataclass(slots=True)
class Call:
    """One call as its caller sees it. Times are those of ``perf_counter``: a loop's own may have steps of 1 ms."""

    number: int
    begun_at: float
    hold_s: float | None = None  # from the answer to its end; None: until it is ended
    session: Session | None = None
    challenged_at: float | None = None
    answered_at: float | None = None
    media: Media | None = None  # where the daemon wants the caller's audio
    ending: str = ""  # why it ended, if it did

    @property
    def is_up(self) -> bool:
        return self.answered_at is not None and not self.ending

    @property
    def is_pending(self) -> bool:
        return self.answered_at is None and not self.ending


@dataclass(frozen=True, slots=True)
class SetUps:
    """How it went with some calls. Times in ms, sorted; ``credentialed_ms`` is from the INVITE with credentials on."""

    calls: int
    seconds: float  # from the first INVITE to the last answer
    setup_ms: tuple[float, ...]
    credentialed_ms: tuple[float, ...]
    failures: Mapping[str, int] = field(default_factory=dict)
    late_ms: float = 0.0  # how late, at worst, an INVITE left: high when the generator or a busy machine is the limit
    generator_cpu_seconds: float = 0.0

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


class FarEnd:
    """Answers every call, and remembers where its audio is wanted."""

    def __init__(self) -> None:
        self.media: dict[int, Media] = {}
        self.sessions: dict[Session, int] = {}
        self._socket: SipSocket

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: Address) -> AsyncIterator[FarEnd]:
        far = cls()
        far._socket = await SipSocket.open(Account("far-end", *server), far._take, local=FAR_END_ADDRESS)
        try:
            yield far
        finally:
            far._socket.close()

    @property
    def now(self) -> float:
        return self._socket.now

    def settle(self) -> None:
        """Send what its sessions were told to do."""
        self._socket.settle()

    def _take(self, output: Output) -> None:
        match output:
            case RequestReceived(request=request, session=session) if session is not None:
                if session not in self.sessions:
                    self._answer(output, session)
                else:
                    self._reply(output, 200, _sdp(self.sessions[session], "called") if request.body else b"")
            case RequestReceived():
                self._reply(output, 200)
            case SessionEnded(session=session):
                self.sessions.pop(session, None)

    def _answer(self, invite: RequestReceived, session: Session) -> None:
        user = invite.request.uri.user or ""
        if not user.removeprefix(NUMBER_PREFIX).isdigit() or not invite.request.body:
            self._reply(invite, 404)
            return
        number = self.sessions[session] = int(user.removeprefix(NUMBER_PREFIX))
        self.media[number] = Media.parse(invite.request.body)
        self._reply(invite, 180)
        self._reply(invite, 200, _sdp(number, "called"))

    def _reply(self, asked: RequestReceived, status: int, body: bytes = b"") -> None:
        self._socket.endpoint.reply(asked.transaction, status, self._socket.now, body=body)
        self._socket.settle()


class Caller:
    """One station that places many calls. ``calls`` are those that are being set up or are up, by their number."""

    def __init__(self, account: Account) -> None:
        self.calls: dict[int, Call] = {}
        self.dropped: Counter[str] = Counter()  # calls that were up and ended though nobody hung up, by the reason
        self._account = account
        self._by_session: dict[Session, Call] = {}
        self._leaving: set[Session] = set()
        self._next = 0
        self._socket: SipSocket

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, account: Account) -> AsyncIterator[Caller]:
        caller = cls(account)
        caller._socket = await SipSocket.open(account, caller._take, local=CALLER_ADDRESS)
        try:
            yield caller
        finally:
            caller._socket.close()

    async def place(self, count: int, rate_per_s: float, *, hold_s: float | None = None) -> SetUps:
        """Place calls, evenly spaced, and wait until each is up or has failed. ``hold_s``: from answer to end."""
        placed: list[Call] = []
        late_s = 0.0
        start, cpu = time.perf_counter(), time.process_time()
        for index in range(count):
            due = start + index / rate_per_s
            await asyncio.sleep(due - time.perf_counter())
            late_s = max(late_s, time.perf_counter() - due)
            placed.append(self._dial(hold_s))
        await _until(lambda: not any(call.is_pending for call in placed), _ANSWERED_WITHIN_S)
        used = time.process_time() - cpu
        for call in placed:
            if call.is_pending:
                self._hang_up(call)
                call.ending = "no answer"
        return _set_ups(placed, start, late_s, used)

    async def hang_up(self, rate_per_s: float) -> None:
        """End all calls, evenly spaced."""
        start = time.perf_counter()
        for index, call in enumerate(list(self.calls.values())):
            await asyncio.sleep(start + index / rate_per_s - time.perf_counter())
            self._hang_up(call)

    def _dial(self, hold_s: float | None) -> Call:
        number, self._next = self._next, self._next + 1
        host, port = self._account.host, self._account.port
        own = Uri("sip", self._account.user, None, host, port)
        dialled = Uri("sip", f"{NUMBER_PREFIX}{number:06d}", None, host, port)
        headers = Headers(
            [
                ("From", f"<{own}>;tag={secrets.token_hex(8)}"),
                ("To", f"<{dialled}>"),
                ("Call-ID", secrets.token_hex(12)),
                ("CSeq", "1 INVITE"),
                ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"),
                ("Content-Type", "application/sdp"),
            ]
        )
        invite = Request("INVITE", dialled, headers, _sdp(number, "caller"))
        call = self.calls[number] = Call(number, time.perf_counter(), hold_s)
        call.session = self._socket.endpoint.invite(
            invite,
            self._socket.flow,
            self._socket.now,
            authorize=lambda asked, answer: self._prove(call, asked, answer),
        )
        self._by_session[call.session] = call
        self._socket.settle()
        return call

    def _prove(self, call: Call, asked: Request, answer: Response) -> Iterable[tuple[str, object]]:
        call.challenged_at = time.perf_counter()
        name, user = ("Authorization", self._account.user)
        if answer.status == 407:
            name = "Proxy-Authorization"
        password = self._account.password
        made = authorize(answer.challenges, asked.method, str(asked.uri), user, password, cnonce=secrets.token_hex(8))
        return [(name, made)] if made else []

    def _hang_up(self, call: Call) -> None:
        if call.session is not None and not call.ending:
            self._leaving.add(call.session)
            call.session.hang_up(self._socket.now)
            self._socket.settle()

    def _take(self, output: Output) -> None:
        match output:
            case ResponseReceived(session=session, response=response) if session in self._by_session:
                call = self._by_session[session]
                if 200 <= response.status < 300 and call.answered_at is None:
                    call.answered_at = time.perf_counter()
                    call.media = Media.parse(response.body)
                    if call.hold_s is not None:
                        asyncio.get_running_loop().call_later(call.hold_s, self._hang_up, call)
            case RequestReceived(transaction=transaction, request=request):
                number = self._by_session[output.session].number if output.session in self._by_session else 0
                body = _sdp(number, "caller") if request.body else b""
                self._socket.endpoint.reply(transaction, 200, self._socket.now, body=body)
            case SessionEnded(session=session) if session in self._by_session:
                self._forget(output)

    def _forget(self, ended: SessionEnded) -> None:
        call = self._by_session.pop(ended.session)
        answer = f" {ended.message.status} {ended.message.reason}" if isinstance(ended.message, Response) else ""
        call.ending = call.ending or f"{ended.cause.value}{answer}"
        self.calls.pop(call.number, None)
        if call.answered_at is not None and ended.session not in self._leaving:
            self.dropped[call.ending] += 1
        self._leaving.discard(ended.session)


class SipLoad:
    """Both ends together."""

    def __init__(self, caller: Caller, far: FarEnd) -> None:
        self.caller = caller
        self.far = far

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, account: Account) -> AsyncIterator[SipLoad]:
        async with FarEnd.open((account.host, account.port)) as far, Caller.open(account) as caller:
            gc.collect()
            gc.disable()  # a full collection stalls both ends for 0.2 s at 1000 transactions; bounded runs need none
            try:
                yield cls(caller, far)
            finally:
                gc.enable()

    @property
    def up(self) -> list[int]:
        """The numbers of the calls that are up on both sides."""
        return [number for number, call in self.caller.calls.items() if call.is_up and number in self.far.media]

    def targets(self, packets: Callable[[int, Side], int] = lambda number, side: 0) -> list[LoadTarget]:
        """For ``rtp_load``, in the order of ``up``. ``packets``: how many each side of a call sends."""
        return [self._target(number, packets) for number in self.up]

    async def hang_up(self, rate_per_s: float) -> int:
        """End all calls by the caller; returns how many there still are after a while."""
        await self.caller.hang_up(rate_per_s)
        return await self.cleared()

    async def cleared(self) -> int:
        """Wait until both sides have no call any more, but not for ever; returns how many there still are."""
        await _until(lambda: not self.caller.calls and not self.far.sessions, _CLEARED_WITHIN_S)
        return max(len(self.caller.calls), len(self.far.sessions))

    def _target(self, number: int, packets: Callable[[int, Side], int]) -> LoadTarget:
        near, far = self.caller.calls[number].media, self.far.media[number]
        assert near is not None
        return LoadTarget(
            LoadSide(phone_address(number, "caller"), (near.address, near.port), packets(number, "caller")),
            LoadSide(phone_address(number, "called"), (far.address, far.port), packets(number, "called")),
        )


def _set_ups(placed: list[Call], start: float, late_s: float, cpu_seconds: float) -> SetUps:
    answered = [(call, call.answered_at) for call in placed if call.answered_at is not None]
    last = max((at for _, at in answered), default=start)
    return SetUps(
        calls=len(placed),
        seconds=last - start,
        setup_ms=tuple(sorted((at - call.begun_at) * 1000 for call, at in answered)),
        credentialed_ms=tuple(sorted((at - (call.challenged_at or call.begun_at)) * 1000 for call, at in answered)),
        failures=dict(Counter(call.ending for call in placed if call.answered_at is None)),
        late_ms=late_s * 1000,
        generator_cpu_seconds=cpu_seconds,
    )


def _sdp(number: int, side: Side) -> bytes:
    host, port = phone_address(number, side)
    return (
        f"v=0\r\no=bench {number + 1} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    ).encode()


async def _until(holds: Callable[[], bool], within_s: float) -> None:
    """Wait until it holds, but not longer."""
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 - what it looks at is told by no event
        await asyncio.sleep(_LOOK_EVERY_S)
