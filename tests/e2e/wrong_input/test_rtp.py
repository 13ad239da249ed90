"""RTP and RTCP from strangers, and rubbish from a phone's own address: neither phone hears it, no recording has it."""

from __future__ import annotations

import secrets

import pytest

from tests.e2e.undisturbed import Site, Stranger
from tests.kit.rtp import Media

pytestmark = pytest.mark.asyncio(loop_scope="package")

FLOOD = 1000
DROPPED = "mediaserverd_media_rtp_dropped_total"


def media_of(side: Media | None) -> Media:
    assert side is not None
    return side


def rtp(number: int, payload: bytes) -> bytes:
    return bytes([0x80, 0]) + number.to_bytes(2, "big") + (160 * number).to_bytes(4, "big") + b"evil" + payload


async def test_a_stranger_reaches_neither_phone_nor_recording(site: Site) -> None:
    before = await site.count("media", DROPPED)
    with Stranger("127.0.0.71") as stranger:
        async with site.call() as call:
            await site.wait_for(call, 0.5)  # both have been heard: the addresses are taken
            for number in range(FLOOD):
                junk = rtp(number, secrets.token_bytes(160)) if number % 2 else secrets.token_bytes(1 + number % 1400)
                for side in (call.caller, call.called):
                    await stranger.send(junk, media_of(side.remote).port)
            assert await stranger.answers() == []
        for side in (call.caller, call.called):
            assert len(side.voice.ear.sources) == 1
            assert int.from_bytes(b"evil", "big") not in side.voice.ear.sources
    await site.counted("media", DROPPED, before + 2 * FLOOD)


async def test_garbage_on_the_rtcp_port_and_oversize_and_undersize_datagrams_are_dropped(site: Site) -> None:
    before = await site.count("media", DROPPED)
    with Stranger("127.0.0.72") as stranger:
        async with site.call() as call:
            await site.wait_for(call, 0.5)
            for number in range(200):
                for side in (call.caller, call.called):
                    port = media_of(side.remote).port
                    await stranger.send(secrets.token_bytes(1 + number), port + 1)
                    await stranger.send(b"\x80\xc8" + secrets.token_bytes(26), port + 1)
                    await stranger.send(rtp(number, secrets.token_bytes(40_000)), port)
                    await stranger.send(secrets.token_bytes(number % 12), port)
    await site.counted("media", DROPPED, before + 1200)


async def test_rubbish_from_a_phones_own_address_is_not_taken_for_audio(site: Site) -> None:
    before = await site.count("media", DROPPED)
    async with site.call() as call:
        remote = media_of(call.caller.remote)
        for number in range(500):
            junk = bytes([number % 64]) + secrets.token_bytes(number % 300)  # of no version 2, whatever else it is
            call.caller.voice.send_raw(junk, (remote.address, remote.port))
    await site.counted("media", DROPPED, before + 500)
