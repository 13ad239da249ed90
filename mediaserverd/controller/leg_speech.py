"""What a call says to the phone of one leg, within its dialog. What it says to a phone that has opened a connection,
and lost it, waits until the phone is back: nobody else can open one (RFC 5626).

Not responsible for answers to what the phone itself has asked, nor for what the call wants said (``live_call``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, assert_never

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.controller.live_leg import LiveLeg, Said
from mediaserverd.controller.locations import called_back
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.headers import Reason
from mediaserverd.protocol.sip.session import Session, SessionBusyError

AWAY_LIMIT_S: Final = 20.0  # phones that lose their connection open another one within some seconds


def say(leg: LiveLeg, said: Said, now: float) -> on.Event | None:
    """What comes of it at once, if anything does."""
    match said:
        case do.HangUp():
            hang_up(leg, said.status, said.reason, now)
        case do.Acknowledge():
            if leg.session is not None:
                leg.session.acknowledge(now, body=said.sdp)
        case do.SendOffer():
            try:
                _session(leg).request("INVITE", now, body=said.sdp)
            except SessionBusyError as busy:  # as if they had said so: the call knows how to wait
                return on.OfferRefused(leg.id, 491, str(busy))
        case do.SendInfo():
            try:
                sent = _session(leg).request(
                    "INFO", now, headers=said.headers, body=said.body, content_type=said.content_type
                )
                leg.our_infos[sent] = said.info
            except SessionBusyError as busy:
                return on.InfoAnswered(leg.id, said.info, 481, str(busy))
        case _:
            assert_never(said)
    return None


def hang_up(leg: LiveLeg, status: int, reason: str, now: float) -> None:
    """Unless that waits for the phone already."""
    leg.given_up = True
    headers = [("Reason", Reason("SIP", status, reason))] if reason else []
    if leg.session is not None and not leg.unsaid:
        leg.session.hang_up(now, status=status if status >= 300 else 487, headers=headers)


def is_away(leg: LiveLeg, is_gone: Callable[[Flow], bool]) -> bool:
    """A registered phone whose connection is closed, and that cannot be connected to."""
    session = leg.session
    if session is None or session.dialog is None or not leg.station or not is_gone(session.flow):
        return False
    return called_back(session.dialog.remote_target, session.flow) is None


async def say_when_back(leg: LiveLeg, now: Callable[[], float]) -> list[on.Event]:
    """All that has been left unsaid, once the phone is back; after some time in any case, which then fails as it may.
    Returns what comes of it at once."""
    leg.back.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(AWAY_LIMIT_S):
            await leg.back.wait()
    unsaid, leg.unsaid = leg.unsaid, []
    events = (say(leg, said, now()) for said in unsaid)
    return [event for event in events if event is not None]


def _session(leg: LiveLeg) -> Session:
    if leg.session is None:
        raise SessionBusyError("the leg has no dialog")
    return leg.session
