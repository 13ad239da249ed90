"""The two doors of ng over real sockets. What is behind them is a function of the test's own."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from mediaserverd.media.ng_door import REPLAY_GENERATION_S, UdpDoor, WebSocketDoor
from mediaserverd.media.sessions import Owner
from mediaserverd.process.role import StartFault
from mediaserverd.process.tls import ServerTls, client_context, ensure_site_certificates, issue, write_pair
from mediaserverd.protocol import ng
from mediaserverd.protocol.ng import Encoding, Message, Request, Value

TOKEN = "a-token"


class Office:
    """Answers every command with its number; ``slow`` waits until it is released."""

    def __init__(self) -> None:
        self.carried_out: list[str] = []
        self.owners: list[Owner | None] = []
        self.released = asyncio.Event()

    async def execute(self, request: Request, owner: Owner | None) -> dict[str, Value]:
        self.carried_out.append(request.command)
        self.owners.append(owner)
        number = len(self.carried_out)
        if request.command == "slow":
            await self.released.wait()
        if request.command == "huge":
            return ng.ok(text="x" * 70_000)
        return ng.ok(number=number)


class UdpClient(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _: object) -> None:
        self.answers.put_nowait(data)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
async def ask(office: Office, clock: list[float]) -> AsyncIterator[tuple[Callable[[bytes], None], UdpClient]]:
    door = UdpDoor(office.execute, clock=lambda: clock[0])
    await door.open("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(UdpClient, remote_addr=("127.0.0.1", door.port))
    yield transport.sendto, client
    transport.close()
    door.close()


Ask = tuple[Callable[[bytes], None], UdpClient]


async def heard(client: UdpClient) -> Message:
    return ng.decode(await asyncio.wait_for(client.answers.get(), 5))


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_datagram_is_answered_in_its_own_encoding(ask: Ask, encoding: Encoding) -> None:
    send, client = ask
    send(ng.encode(Message("c1", {"command": "x"}, encoding)))
    assert await heard(client) == Message("c1", {"result": "ok", "number": 1}, encoding)


async def test_a_retransmitted_command_is_carried_out_once(ask: Ask, office: Office, clock: list[float]) -> None:
    send, client = ask
    for after_s in (0, 5, REPLAY_GENERATION_S, 20):
        clock[0] += after_s
        send(b'c1 {"command":"x"}')
        assert (await heard(client)).body["number"] == 1
    assert office.carried_out == ["x"]


async def test_a_cookie_is_forgotten_after_two_generations(ask: Ask, clock: list[float]) -> None:
    send, client = ask
    numbers = []
    for after_s in (0, REPLAY_GENERATION_S, REPLAY_GENERATION_S):
        clock[0] += after_s
        send(b'c1 {"command":"x"}')
        numbers.append((await heard(client)).body["number"])
    assert numbers == [1, 1, 2]


async def test_a_duplicate_waits_for_the_first(ask: Ask, office: Office) -> None:
    send, client = ask
    send(b'c1 {"command":"slow"}')
    send(b'c1 {"command":"slow"}')
    send(b'c2 {"command":"x"}')
    assert (await heard(client)).cookie == "c2"
    office.released.set()
    assert [(await heard(client)).body["number"] for _ in range(2)] == [1, 1]
    assert office.carried_out == ["slow", "x"]


async def test_garbage_is_answered_where_it_has_a_cookie_and_the_door_stays_open(ask: Ask) -> None:
    send, client = ask
    for data in (b"", b"garbage", b"\xff" * 1400, b"c1 d7:comm", b"c2 {", b'c3 {"x":1}', b"c4 hello"):
        send(data)
    send(b'c5 {"command":"x"}')
    answers = {message.cookie: message.body for message in [await heard(client) for _ in range(5)]}
    assert {cookie: body.get("error-reason") for cookie, body in answers.items()} == {
        "c1": "Could not decode bencode dictionary",
        "c2": "Failed to parse JSON document",
        "c3": 'Dictionary contains no key "command"',
        "c4": "Invalid NG data format",
        "c5": None,
    }


async def test_a_reply_that_no_datagram_can_carry_is_an_error(ask: Ask) -> None:
    send, client = ask
    send(b'c1 {"command":"huge"}')
    assert (await heard(client)).body["result"] == "error"


async def test_a_udp_port_in_use_is_a_start_fault(office: Office) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StartFault, match=f"port {port}"):
            await UdpDoor(office.execute).open("127.0.0.1", port)


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    ensure_site_certificates(tmp_path, ["127.0.0.1"])
    return ServerTls(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")


@pytest.fixture
async def door(office: Office, tls: ServerTls) -> AsyncIterator[WebSocketDoor]:
    one = WebSocketDoor(office.execute, TOKEN)
    await one.open("127.0.0.1", 0, tls)
    yield one
    await one.close()


def controller(door: WebSocketDoor, tls: ServerTls, token: str = TOKEN) -> connect:
    return connect(
        f"wss://127.0.0.1:{door.port}/",
        ssl=client_context(tls.certificate.parent / "ca.pem"),
        subprotocols=[Subprotocol(ng.SUBPROTOCOL)],
        additional_headers={"Authorization": f"Bearer {token}"},
    )


async def exchange(link: ClientConnection, cookie: str, **body: Value) -> Message:
    await link.send(f"{cookie} {json.dumps(body)}")
    return await received(link)


async def received(link: ClientConnection) -> Message:
    data = await asyncio.wait_for(link.recv(), 5)
    assert isinstance(data, str)
    return ng.decode(data.encode())


async def test_a_controller_with_the_token_is_answered(door: WebSocketDoor, tls: ServerTls, office: Office) -> None:
    async with controller(door, tls) as link:
        assert link.subprotocol == ng.SUBPROTOCOL
        assert await exchange(link, "c1", command="x") == Message("c1", {"result": "ok", "number": 1})
    assert office.owners[0] is not None


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
async def test_without_the_token_nobody_comes_in(door: WebSocketDoor, tls: ServerTls, token: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with controller(door, tls, token):
            pass
    assert caught.value.response.status_code == 401
    assert caught.value.response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("role", "token", "let_in"), [
    ("controller", None, True), ("recorder", None, False), ("media", None, False), ("controller", "wrong", False),
])  # fmt: skip
async def test_a_certificate_lets_controllers_in_alone_and_a_shown_token_must_be_right(
    door: WebSocketDoor, tls: ServerTls, role: str, token: str | None, let_in: bool
) -> None:
    directory = tls.certificate.parent
    own = ServerTls(directory / f"{role}.pem", directory / f"{role}.key")
    write_pair(own.certificate, own.private_key, *issue(directory, role, ["127.0.0.1"], [role]))
    link = connect(
        f"wss://127.0.0.1:{door.port}/",
        ssl=client_context(directory / "ca.pem", own),
        subprotocols=[Subprotocol(ng.SUBPROTOCOL)],
        additional_headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    if let_in:
        async with link as opened:
            assert (await exchange(opened, "c1", command="x")).body["result"] == "ok"
    else:
        with pytest.raises(InvalidStatus, match="401"):
            await link


async def test_a_slow_command_holds_up_no_other(door: WebSocketDoor, tls: ServerTls, office: Office) -> None:
    async with controller(door, tls) as link:
        await link.send('c1 {"command":"slow"}')
        assert (await exchange(link, "c2", command="ping")).cookie == "c2"
        office.released.set()
        assert (await received(link)).cookie == "c1"


async def test_notifications_reach_the_owner_or_everyone(door: WebSocketDoor, tls: ServerTls, office: Office) -> None:
    async with controller(door, tls) as first, controller(door, tls) as second:
        await exchange(first, "c1", command="x")
        owner = office.owners[0]
        assert owner is not None
        assert owner.tell(ng.notification("media-timeout", "call-1", reason="quiet"))
        assert (await received(first)).body == {
            "notification": "media-timeout",
            "call-id": "call-1",
            "reason": "quiet",
        }
        door.broadcast(ng.notification("recording-failed", "call-2"))
        for link in (first, second):
            assert (await received(link)).body["call-id"] == "call-2"
        await first.close()
        await asyncio.sleep(0.05)
        assert not owner.tell(ng.notification("media-timeout", "call-1"))


async def test_broken_messages_are_answered_and_huge_ones_end_the_connection(
    door: WebSocketDoor, tls: ServerTls
) -> None:
    async with controller(door, tls) as link:
        await link.send("c1 {")
        assert (await received(link)).body["error-reason"] == "Failed to parse JSON document"
        await link.send(b"\xff\xff")
        assert (await exchange(link, "c2", command="x")).body["result"] == "ok"
        await link.send("c3 " + "x" * (ng.MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed):
            await link.recv()
    async with controller(door, tls) as link:
        assert (await exchange(link, "c4", command="x")).body["result"] == "ok"


async def test_a_tcp_port_in_use_is_a_start_fault(door: WebSocketDoor, tls: ServerTls, office: Office) -> None:
    with pytest.raises(StartFault, match=f"port {door.port}"):
        await WebSocketDoor(office.execute, TOKEN).open("127.0.0.1", door.port, tls)


async def test_a_client_that_connects_and_says_nothing_is_no_burden(door: WebSocketDoor, tls: ServerTls) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(20)]
    async with controller(door, tls) as link:
        assert (await exchange(link, "c1", command="x")).body["result"] == "ok"
    for _, writer in silent:
        writer.close()
