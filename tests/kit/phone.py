"""Our own softphone: registers, calls, answers, holds, hangs up; speaks and hears with ``Voice``. Many calls at once.

It does what it is told and keeps what it saw, so that a test can say what should have happened.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from mediaserverd.protocol.sip.digest import authorize
from mediaserverd.protocol.sip.endpoint import (
    AckReceived,
    ClientTransaction,
    Output,
    RequestReceived,
    ResponseReceived,
    ServerTransaction,
    Session,
    SessionEnded,
    TransactionFailed,
)
from mediaserverd.protocol.sip.message import Headers, Request, Response
from mediaserverd.protocol.sip.uri import Uri
from tests.kit.account import Account
from tests.kit.rtp import Media, Voice
from tests.kit.sip_socket import SipSocket

_STEP_S: Final = 20.0
_ALLOW: Final = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO")


class Refused(Exception):
    """A request got a final response that is not a success, or none at all (status 0)."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Sound(Protocol):
    """What a call does with audio: ``Voice``, or a place where a load generator sends and receives."""

    def description(self, direction: str = "sendrecv") -> bytes: ...
    def connect(self, sdp: bytes) -> Media: ...
    def close(self) -> None: ...


OpenSound: TypeAlias = Callable[[], Awaitable[Sound]]


class Call:
    """One call. ``statuses`` are the responses to our INVITE; ``offers`` what the other side offered, in order."""

    def __init__(self, phone: Phone, session: Session, sound: Sound) -> None:
        self.session = session
        self.sound = sound
        self.statuses: list[int] = []
        self.requests: list[Request] = []  # those of the other side within the dialog
        self.ending: SessionEnded | None = None
        self.up = asyncio.Event()
        self.over = asyncio.Event()
        self.changed = asyncio.Event()
        self.remote: Media | None = None
        self.invite: RequestReceived | None = None
        self.refuses: list[int] = []  # statuses for the next offers within the dialog; then they are taken
        self._phone = phone
        self._replies: dict[str, asyncio.Future[Response]] = {}  # by method: one of each at a time

    @property
    def voice(self) -> Voice:
        assert isinstance(self.sound, Voice)
        return self.sound

    async def established(self) -> None:
        """Wait until it is up; raises ``Refused`` if it ends instead."""
        await self._first(self.up)
        if not self.up.is_set():
            message = self.ending.message if self.ending else None
            raise Refused(message.status, message.reason) if isinstance(message, Response) else Refused(0, "no answer")

    def ring(self) -> None:
        self._reply(180)

    def answer(self) -> None:
        """Accept with SDP: the answer, or the offer if theirs came without one."""
        assert self.invite is not None
        self._reply(200, body=self.sound.description())

    def refuse(self, status: int) -> None:
        self._reply(status)

    async def renegotiate(self, direction: str = "sendrecv") -> Response:
        """A re-INVITE: ``sendonly`` holds, ``sendrecv`` resumes."""
        response = await self._ask("INVITE", self.sound.description(direction))
        if response.body:
            self.remote = self.sound.connect(response.body)
        return response

    async def inform(self, *headers: tuple[str, str]) -> Response:
        """An INFO with these headers and no body."""
        return await self._ask("INFO", b"", headers)

    async def hold(self) -> None:
        self.voice.mute()
        await self.renegotiate("sendonly")

    async def resume(self) -> None:
        await self.renegotiate("sendrecv")
        self.voice.mute(False)

    async def hang_up(self) -> None:
        """BYE, CANCEL or a refusal, whatever fits; returns when the call is over, at once if it was."""
        self.session.hang_up(self._phone.now)
        self._phone.settle()
        await self.ended()

    def abandon(self) -> None:
        """Hang up, and do not care whether anybody hears of it: the server may know nothing of this call any more."""
        self.session.hang_up(self._phone.now)
        self._phone.settle()
        self.over.set()
        self.sound.close()

    async def ended(self) -> None:
        async with asyncio.timeout(_STEP_S):
            await self.over.wait()

    # What the phone tells its call

    def take_request(self, event: RequestReceived) -> None:
        request = event.request
        self.requests.append(request)
        if request.method not in ("INVITE", "UPDATE"):
            self._phone.reply(event.transaction, 200)
            return
        if self.refuses:
            self._phone.reply(event.transaction, self.refuses.pop(0))
            return
        if request.body:
            self.remote = self.sound.connect(request.body)
        answers = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
        direction = answers.get(self.remote.direction if self.remote and request.body else "", "sendrecv")
        body = self.sound.description(direction) if request.body or request.method == "INVITE" else b""
        self._phone.reply(event.transaction, 200, body=body)
        self.changed.set()

    def take_response(self, event: ResponseReceived) -> None:
        response = event.response
        waiting = self._replies.get(event.transaction.request.method)
        if waiting is not None:
            if response.status >= 200 and not waiting.done():
                waiting.set_result(response)
            return
        self.statuses.append(response.status)
        if response.body:
            self.remote = self.sound.connect(response.body)
        if 200 <= response.status < 300:
            self.up.set()
        self.changed.set()

    def take_ack(self, request: Request) -> None:
        if request.body:
            self.remote = self.sound.connect(request.body)
        self.up.set()

    def take_end(self, event: SessionEnded) -> None:
        self.ending = event
        self.over.set()
        self.sound.close()
        for waiting in self._replies.values():
            if not waiting.done():
                waiting.set_exception(Refused(0, "the call ended"))

    async def _ask(self, method: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self.session.request(method, self._phone.now, headers=headers, body=body)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._replies[method] = answer
        self._phone.settle()
        async with asyncio.timeout(_STEP_S):
            response = await answer
        if response.status >= 300:
            raise Refused(response.status, response.reason)
        return response

    def _reply(self, status: int, body: bytes = b"") -> None:
        assert self.invite is not None
        self._phone.reply(self.invite.transaction, status, body=body)

    async def _first(self, event: asyncio.Event) -> None:
        waits = [asyncio.create_task(one.wait()) for one in (event, self.over)]
        try:
            done, _ = await asyncio.wait(waits, timeout=_STEP_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            raise TimeoutError(f"nothing came within {_STEP_S} s; responses so far: {self.statuses}")


class Phone:
    """One account on one socket. Use as ``async with await Phone.open(account) as phone``."""

    def __init__(self, account: Account, open_sound: OpenSound) -> None:
        self.account = account
        self.calls: list[Call] = []
        self.registered_for_s: int | None = None
        self._open_sound = open_sound
        self._by_session: dict[Session, Call] = {}
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._ringing: asyncio.Queue[Call] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: SipSocket
        self._cseq = 0
        self._registration = secrets.token_hex(8)

    @classmethod
    async def open(
        cls, account: Account, open_sound: OpenSound = Voice.open, *, local: tuple[str, int] = ("127.0.0.1", 0)
    ) -> Self:
        phone = cls(account, open_sound)
        phone._socket = await SipSocket.open(account, phone._take, local=local)
        return phone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def now(self) -> float:
        return self._socket.now

    @property
    def contact(self) -> str:
        return self._socket.endpoint.identity.contact(self._socket.flow)

    async def close(self) -> None:
        """Hangs up what is up and unregisters, so that no stale contact rings a dead phone."""
        try:
            for call in [call for call in self.calls if not call.over.is_set()]:
                await call.hang_up()
            if self.registered_for_s:
                await self.register(expires_s=0)
        except (Refused, TimeoutError):
            pass  # the server is gone already, which some tests want
        finally:
            for call in self.calls:
                call.sound.close()
            self._socket.close()

    async def register(self, *, expires_s: int = 300, password: str | None = None) -> Response:
        """Register with digest; ``password`` in place of the account's own. Raises ``Refused``."""
        request = self._outside("REGISTER", Uri("sip", None, None, self.account.host, self.account.port))
        request = self._with(request, ("Contact", self.contact), ("Expires", expires_s))
        response = await self.send(request, self.account.password if password is None else password)
        self.registered_for_s = expires_s
        return response

    async def reconnect(self) -> None:
        """The server has closed the connection: open another one, and register there."""
        await self._socket.reconnect()
        await self.register()

    async def send(self, request: Request, password: str) -> Response:
        """A request outside a dialog, once more with credentials if it is challenged. Raises ``Refused``."""
        response = await self._exchange(request)
        if response.status in (401, 407):
            credentials = self._credentials(request, response, password)
            if credentials:
                self._cseq += 1
                again = self._with(request, ("CSeq", f"{self._cseq} {request.method}"), *credentials)
                response = await self._exchange(again)
        if response.status >= 300:
            raise Refused(response.status, response.reason)
        return response

    async def dial(self, number: str, *, offer: bool = True, headers: tuple[tuple[str, str], ...] = ()) -> Call:
        """Send an INVITE and return at once; ``established`` waits. ``offer=False``: they make the offer."""
        sound = await self._open_sound()
        request = self._outside("INVITE", Uri("sip", number, None, self.account.host, self.account.port))
        request = self._with(request, _ALLOW, ("Contact", self.contact), *headers)
        if offer:
            body = sound.description()
            request = Request(
                request.method, request.uri, request.headers.with_("Content-Type", "application/sdp"), body
            )
        session = self._socket.endpoint.invite(
            request,
            self._socket.flow,
            self.now,
            authorize=lambda asked, answer: self._credentials(asked, answer, self.account.password),
        )
        call = self._adopt(Call(self, session, sound))
        self.settle()
        return call

    async def rings(self) -> Call:
        """The next call that comes in; 180 has been sent."""
        async with asyncio.timeout(_STEP_S):
            return await self._ringing.get()

    def reply(self, transaction: ServerTransaction, status: int, body: bytes = b"") -> None:
        self._socket.endpoint.reply(transaction, status, self.now, headers=[_ALLOW], body=body)
        self.settle()

    def settle(self) -> None:
        self._socket.settle()

    # What the endpoint tells

    def _take(self, output: Output) -> None:
        match output:
            case RequestReceived(session=session) as event if session is not None:
                if session in self._by_session:
                    self._by_session[session].take_request(event)
                else:
                    task = asyncio.create_task(self._take_invite(event, session))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            case RequestReceived(transaction=transaction):
                self.reply(transaction, 200)
            case ResponseReceived(session=session) as received if session is not None:
                call = self._by_session[session]
                call.take_response(received)
                if received.response.status < 300 and not received.transaction.request.body:
                    self._acknowledge(call, received)
            case ResponseReceived(transaction=asked, response=response):
                if response.status >= 200:
                    self._finish(asked, response)
            case AckReceived(session=session, request=request):
                self._by_session[session].take_ack(request)
            case SessionEnded(session=session) as ended:
                if session in self._by_session:
                    self._by_session.pop(session).take_end(ended)
            case TransactionFailed(transaction=failed) if isinstance(failed, ClientTransaction):
                self._finish(failed, Response(408, "no answer"))

    async def _take_invite(self, event: RequestReceived, session: Session) -> None:
        call = Call(self, session, await self._open_sound())
        call.invite = event
        if event.request.body:
            call.remote = call.sound.connect(event.request.body)
        self._adopt(call)
        call.ring()
        self._ringing.put_nowait(call)

    def _acknowledge(self, call: Call, received: ResponseReceived) -> None:
        """Our INVITE had no offer, so theirs came in the success and our answer goes into the ACK (RFC 3264)."""
        if received.transaction.request.method == "INVITE" and received.response.status >= 200:
            call.session.acknowledge(self.now, body=call.sound.description())

    def _adopt(self, call: Call) -> Call:
        self._by_session[call.session] = call
        self.calls.append(call)
        return call

    async def _exchange(self, request: Request) -> Response:
        transaction = self._socket.endpoint.send_request(request, self._socket.flow, self.now)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[id(transaction)] = answer
        self.settle()
        try:
            async with asyncio.timeout(_STEP_S):
                return await answer
        finally:
            del self._waiting[id(transaction)]

    def _finish(self, transaction: ClientTransaction, response: Response) -> None:
        waiting = self._waiting.get(id(transaction))
        if waiting is not None and not waiting.done():
            waiting.set_result(response)

    def _outside(self, method: str, uri: Uri) -> Request:
        """A request of ours outside a dialog."""
        self._cseq += 1
        own = Uri("sip", self.account.user, None, self.account.host, self.account.port)
        to = own if method == "REGISTER" else uri
        call_id = self._registration if method == "REGISTER" else secrets.token_hex(8)
        headers: list[tuple[str, object]] = [
            ("From", f"<{own}>;tag={secrets.token_hex(4)}"),
            ("To", f"<{to}>"),
            ("Call-ID", call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("User-Agent", "mediaserverd test kit"),
        ]
        return Request(method, uri, Headers(headers))

    def _with(self, request: Request, *headers: tuple[str, object]) -> Request:
        kept = request.headers.without(*(name for name, _ in headers))
        return Request(request.method, request.uri, Headers([*kept, *headers]), request.body)

    def _credentials(self, request: Request, response: Response, password: str) -> list[tuple[str, object]]:
        if "Authorization" in request.headers or "Proxy-Authorization" in request.headers:
            return []  # refused once already: the password is wrong
        made = authorize(
            response.challenges,
            request.method,
            str(request.uri),
            self.account.user,
            password,
            cnonce=secrets.token_hex(8),
        )
        name = "Authorization" if response.status == 401 else "Proxy-Authorization"
        return [(name, made)] if made else []
