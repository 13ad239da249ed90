"""A phone that writes SIP by hand: no code of the product in it, so that both cannot be wrong in the same way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import re
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class RawMessage:
    start: str
    lines: tuple[str, ...]
    body: str

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return "" if self.status else self.start.split(" ")[0]

    def all(self, name: str) -> list[str]:
        return [line.split(":", 1)[1].strip() for line in self.lines if line.lower().startswith(f"{name.lower()}:")]

    def one(self, name: str) -> str:
        return (self.all(name) or [""])[0]


def read(data: bytes) -> RawMessage:
    head, _, body = data.decode().partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    return RawMessage(start, tuple(lines), body)


@dataclass(eq=False)
class RawPhone:
    """One user on one UDP socket, or on one TCP or TLS connection that it opens itself."""

    name: str
    password: str = "secret"
    transport: str = "udp"
    server: tuple[str, int] = ("127.0.0.1", 5060)
    realm: str = "mediaserverd"
    port: int = 0
    inbox: asyncio.Queue[RawMessage] = field(default_factory=asyncio.Queue)
    _write: Callable[[bytes], None] = lambda data: None
    _close: Callable[[], None] = lambda: None
    _cseq: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def open(self, tls: ssl.SSLContext | None = None) -> RawPhone:
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _Inbox(self), local_addr=("127.0.0.1", self.port), remote_addr=self.server
            )
            self._write, self._close = udp.sendto, udp.close
            self.port = udp.get_extra_info("sockname")[1]
        else:
            name = "localhost" if tls else None
            reader, writer = await asyncio.open_connection(*self.server, ssl=tls, server_hostname=name)
            self._write, self._close = writer.write, writer.close
            self.port = writer.get_extra_info("sockname")[1]
            self._reading = asyncio.create_task(self._read_stream(reader))
        return self

    def close(self) -> None:
        self._close()

    async def _read_stream(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):  # the connection ended
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head == b"\r\n\r\n":
                    continue
                found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(found[1]) if found else 0)
                self.inbox.put_nowait(read(head + body))

    @property
    def contact(self) -> str:
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"<sip:{self.name}@127.0.0.1:{self.port}{suffix}>"

    def send(self, start: str, headers: list[str], body: str = "") -> None:
        typed = ["Content-Type: application/sdp"] if body else []
        lines = [start, *headers, *typed, f"Content-Length: {len(body)}", "", body]
        self._write("\r\n".join(lines).encode("utf-8", "surrogateescape"))

    def via(self) -> str:
        return f"Via: SIP/2.0/{self.transport.upper()} 127.0.0.1:{self.port};branch=z9hG4bK{secrets.token_hex(6)};rport"

    async def next(self, *wanted: str | int, limit_s: float = 5.0) -> RawMessage:
        """The next message of one of these methods or statuses; others in between are an error, but 100."""
        async with asyncio.timeout(limit_s):
            message = await self.inbox.get()
            while message.status == 100 and 100 not in wanted:
                message = await self.inbox.get()
        assert message.status in wanted or message.method in wanted, f"{wanted} expected, got {message}"
        return message

    # Client side

    def request(self, method: str, uri: str, headers: list[str], body: str = "") -> None:
        self.send(f"{method} {uri} SIP/2.0", [self.via(), "Max-Forwards: 70", *headers], body)

    async def register(
        self, *, expires: int = 3600, contact: str = "", algorithm: str = "MD5", extra: list[str] | None = None
    ) -> RawMessage:
        """Answers the challenge; returns the final response."""
        call_id = f"{self.name}-{next(_serial)}"

        def headers(credentials: list[str]) -> list[str]:
            who = f"<sip:{self.name}@127.0.0.1>"
            return [
                f"From: {who};tag=r{next(_serial)}", f"To: {who}", f"Call-ID: {call_id}",
                f"CSeq: {next(self._cseq)} REGISTER", f"Contact: {contact or self.contact}", f"Expires: {expires}",
                *credentials, *(extra or []),
            ]  # fmt: skip

        uri = "sip:127.0.0.1"
        self.request("REGISTER", uri, headers([]))
        challenge = await self.next(401)
        answer = self.credentials(challenge, "REGISTER", uri, algorithm)
        self.request("REGISTER", uri, headers([f"Authorization: {answer}"]))
        return await self.next(200, 400, 401, 403, 423, 500)

    def credentials(self, challenge: RawMessage, method: str, uri: str, algorithm: str = "MD5", count: int = 1) -> str:
        name = "WWW-Authenticate" if challenge.status == 401 else "Proxy-Authenticate"
        [offered] = [text for text in challenge.all(name) if f"algorithm={algorithm}" in text]
        found = re.search(r'nonce="([^"]+)"', offered)
        assert found
        return self.answer(found[1], method, uri, algorithm, count)

    def answer(self, nonce: str, method: str, uri: str, algorithm: str = "MD5", count: int = 1) -> str:
        digest = hashlib.md5 if algorithm == "MD5" else hashlib.sha256
        ha1 = digest(f"{self.name}:{self.realm}:{self.password}".encode()).hexdigest()
        ha2 = digest(f"{method}:{uri}".encode()).hexdigest()
        response = digest(f"{ha1}:{nonce}:{count:08x}:c0ffee:auth:{ha2}".encode()).hexdigest()
        return (
            f'Digest username="{self.name}", realm="{self.realm}", nonce="{nonce}", uri="{uri}", '
            f'response="{response}", algorithm={algorithm}, qop=auth, nc={count:08x}, cnonce="c0ffee"'
        )

    def start_call(self, number: str) -> OutgoingCall:
        return OutgoingCall(self, f"sip:{number}@127.0.0.1")

    # Server side

    def reply(self, request: RawMessage, status: int, reason: str, body: str = "", *extra: str) -> None:
        vias = [f"Via: {value}" for value in request.all("Via")]
        to = request.one("To")
        tagged = to if ";tag=" in to else f"{to};tag=t{self.name}{request.one('Call-ID')[:6]}"
        self.send(
            f"SIP/2.0 {status} {reason}",
            [*vias, f"From: {request.one('From')}", f"To: {tagged}", f"Call-ID: {request.one('Call-ID')}",
             f"CSeq: {request.one('CSeq')}", f"Contact: {self.contact}", *extra],
            body,
        )  # fmt: skip

    def sdp(self, port: int = 40000, direction: str = "sendrecv") -> str:
        return (
            f"v=0\r\no={self.name} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na={direction}\r\n"
        )


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self, phone: RawPhone) -> None:
        self._phone = phone

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._phone.inbox.put_nowait(read(data))


@dataclass
class OutgoingCall:
    """The calling side of one dialog."""

    phone: RawPhone
    uri: str
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    cseq: int = 0
    via: str = ""
    to: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        self.to = f"<{self.uri}>"
        self.target = self.uri

    def headers(self, method: str, *extra: str) -> list[str]:
        return [
            self.via, "Max-Forwards: 70", f"From: <sip:{self.phone.name}@127.0.0.1>;tag={self.tag}", f"To: {self.to}",
            f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} {method}", f"Contact: {self.phone.contact}", *extra,
        ]  # fmt: skip

    def send(self, method: str, *extra: str, body: str = "") -> None:
        if method not in ("ACK", "CANCEL"):
            self.cseq += 1
        if method != "CANCEL":
            self.via = self.phone.via()
        self.phone.send(f"{method} {self.target} SIP/2.0", self.headers(method, *extra), body)

    async def invite(self, body: str, *extra: str) -> None:
        """The challenge is answered."""
        self.send("INVITE", *extra, body=body)
        challenge = await self.phone.next(407)
        self.to = challenge.one("To")
        self.phone.send(f"ACK {self.target} SIP/2.0", self.headers("ACK"))
        self.to = f"<{self.uri}>"
        answer = self.phone.credentials(challenge, "INVITE", self.target)
        self.send("INVITE", f"Proxy-Authorization: {answer}", *extra, body=body)

    def take(self, response: RawMessage) -> RawMessage:
        """A response that makes or confirms the dialog."""
        self.to = response.one("To")
        found = re.search(r"<([^>]+)>", response.one("Contact"))
        self.target = found[1] if found else self.target
        return response
