"""What a media server tells unasked of what it hears: digits, and sides that fall silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.media.calls import FRAME_SAMPLES, Controller, Phone, controller, phones, running, set_up, settings

SPEECH = bytes(range(256)) * 10 * FRAME_SAMPLES  # 51 s of it, should somebody want to hear all


@asynccontextmanager
async def call(directory: Path) -> AsyncIterator[tuple[Controller, Phone, Phone, tuple[str, str]]]:
    chosen = settings(directory)
    async with (
        running(chosen) as server,
        controller(chosen, server.ng_port) as link,
        phones() as (caller, called),
    ):
        yield link, caller, called, await set_up(link, "c1", caller, called)


async def told(link: Controller, within_s: float) -> list[dict[str, Any]]:
    """All that comes in that time."""
    found: list[dict[str, Any]] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                found.append(await link.notification())
    return found


async def test_each_digit_is_told_once_and_in_a_pause_none_but_the_codes_that_are_waited_for(tmp_path: Path) -> None:
    async with call(tmp_path) as (link, caller, called, (to_caller, to_called)):

        async def digits() -> list[tuple[str, str]]:
            found = await told(link, 0.6)
            return [(each["side"], each["digits"]) for each in found if each["notification"] == "dtmf"]

        await caller.press(to_caller, "4*11#")
        await called.press(to_called, "9")
        assert await digits() == [*(("caller", digit) for digit in "4*11#"), ("called", "9")]
        await link.ok("start recording", call_id="c1")
        await link.ok("pause recording", call_id="c1", secure="yes", dtmf_codes=["*2", "*77"])
        await caller.press(to_caller, "4111*7*2")
        assert await digits() == [("caller", "*2")]
        await link.ok("start recording", call_id="c1")
        await caller.press(to_caller, "5")
        assert await digits() == [("caller", "5")]


async def test_a_side_that_falls_silent_is_told_within_three_seconds_and_so_is_its_end(tmp_path: Path) -> None:
    async with call(tmp_path) as (link, caller, called, (to_caller, to_called)):
        speaking = [asyncio.create_task(caller.speak(to_caller, SPEECH))]
        one_way = await link.notification(timeout_s=4)
        assert (one_way["notification"], one_way["side"], one_way["call-id"]) == ("one-way-audio", "called", "c1")
        answering = asyncio.create_task(called.speak(to_called, SPEECH))
        assert (await link.notification(timeout_s=1))["notification"] == "audio-back"
        began = time.monotonic()
        speaking[0].cancel()
        fell_silent = await link.notification(timeout_s=4)
        assert (fell_silent["notification"], fell_silent["side"]) == ("one-way-audio", "caller")
        assert 2.0 <= time.monotonic() - began < 3.0
        answering.cancel()
        assert [(each["notification"], each["side"]) for each in await told(link, 3)] == [("silence", "called")]
        body = caller.sdp(direction="sendonly")
        await link.ok("offer", call_id="c1", from_tag="caller", to_tag="called", sdp=body)
        assert sorted((each["notification"], each["side"]) for each in await told(link, 1)) == [
            ("audio-back", "called"),
            ("audio-back", "caller"),
        ], "on hold nothing is expected"


async def test_before_the_answer_and_after_comfort_noise_silence_is_no_fault(tmp_path: Path) -> None:
    async with call(tmp_path) as (link, caller, called, (to_caller, to_called)):
        await caller.speak(to_caller, b"\x40", payload_type=13)
        await called.speak(to_called, b"\x40", payload_type=13)
        await link.ok("offer", call_id="early", from_tag="caller", sdp=caller.sdp())
        early = {"call_id": "early", "from_tag": "caller", "to_tag": "called", "sdp": called.sdp()}
        await link.ok("answer", **early, sip_code=183)
        assert await told(link, 3) == []
        await link.ok("answer", **early)
        heard = await told(link, 3)
        assert sorted((each["notification"], each["side"], each["call-id"]) for each in heard) == [
            ("silence", "called", "early"),
            ("silence", "caller", "early"),
        ]
