"""The SIP load generator, against far ends that answer, challenge, refuse and hang up in known ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from bench.rtp_load import run_rtp_load
from bench.sip_load import FAR_END_ADDRESS, Caller, SipLoad
from mediaserverd.protocol.sip.digest import challenge
from mediaserverd.protocol.sip.endpoint import Output, RequestReceived
from tests.kit.account import Account
from tests.kit.sip_socket import SipSocket

STATION = Account("100", *FAR_END_ADDRESS, password="secret")
CHALLENGED_AFTER_S = 0.4


@contextlib.asynccontextmanager
async def far_end(answer: Callable[[SipSocket, RequestReceived], None]) -> AsyncIterator[SipSocket]:
    """A far end that does as told with each INVITE."""

    def take(output: Output) -> None:
        if isinstance(output, RequestReceived):
            answer(socket, output)
            socket.settle()

    socket = await SipSocket.open(STATION, take, local=FAR_END_ADDRESS)
    try:
        yield socket
    finally:
        socket.close()


async def test_calls_come_up_and_their_audio_reaches_the_other_phone() -> None:
    async with SipLoad.open(STATION) as load:
        made = await load.caller.place(10, 50)
        heard = await run_rtp_load(load.targets(lambda number, side: 10 + number + (side == "called")), 1.0)
        left = await load.hang_up(100)
    assert (made.calls, made.failed, len(made.setup_ms), left) == (10, 0, 10, 0)
    assert heard.faults() == []
    assert [stream.sent for stream in heard.streams] == [10 + call + called for call in range(10) for called in (0, 1)]
    assert not load.caller.dropped


async def test_calls_leave_at_the_rate_that_was_asked_for() -> None:
    async with SipLoad.open(STATION) as load:
        made = await load.caller.place(30, 20, hold_s=0.1)
        assert await load.cleared() == 0
    assert 1.4 < made.seconds < 3.0  # the 30th call is due after 1.45 s; the rest is a busy machine's
    assert made.failed == 0


async def test_refused_calls_are_counted_by_their_answer() -> None:
    def busy(socket: SipSocket, asked: RequestReceived) -> None:
        socket.endpoint.reply(asked.transaction, 486 if asked.request.uri.user == "9000001" else 503, socket.now)

    async with far_end(busy), Caller.open(STATION) as caller:
        made = await caller.place(3, 50)
    assert dict(made.failures) == {"refused 486 Busy Here": 1, "refused 503 Service Unavailable": 2}
    assert made.setup_ms == ()


async def test_a_challenge_is_met_and_its_time_told_apart() -> None:
    proven: list[str] = []

    def ask_for_proof(socket: SipSocket, asked: RequestReceived) -> None:
        if asked.request.credentials:
            proven.append(asked.request.credentials[0].username)
            sdp = b"v=0\r\no=- 1 1 IN IP4 127.0.0.3\r\ns=-\r\nc=IN IP4 127.0.0.3\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
            socket.endpoint.reply(asked.transaction, 200, socket.now, body=sdp)
        else:
            asyncio.get_running_loop().call_later(CHALLENGED_AFTER_S, challenge_it, socket, asked)

    def challenge_it(socket: SipSocket, asked: RequestReceived) -> None:
        headers = [("WWW-Authenticate", challenge("here", "nonce", "SHA-256"))]
        socket.endpoint.reply(asked.transaction, 401, socket.now, headers=headers)
        socket.settle()

    async with far_end(ask_for_proof), Caller.open(STATION) as caller:
        made = await caller.place(5, 50, hold_s=0.1)  # counted from the answer, or all of them would be given up
    assert (made.failed, proven) == (0, ["100"] * 5)
    assert min(made.setup_ms) > CHALLENGED_AFTER_S * 1000 > max(made.credentialed_ms)


async def test_a_call_that_the_other_side_ends_is_dropped_not_failed() -> None:
    async with SipLoad.open(STATION) as load:
        made = await load.caller.place(2, 50)
        next(iter(load.far.sessions)).hang_up(load.far.now)
        load.far.settle()
        await asyncio.sleep(0.1)
        assert (made.failed, dict(load.caller.dropped), len(load.up)) == (0, {"bye": 1}, 1)
