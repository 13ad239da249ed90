"""The INVITE of a leg that a call dials: to a registered contact at once, through a line to address after address.

Not responsible for what comes of it (``leg_events``), but for the one thing that the call need not know: that an
address did not get through, and the next one is tried.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mediaserverd.call import events as on
from mediaserverd.controller.dialling import ContactWay, LineWay, Way
from mediaserverd.controller.doors import Doors
from mediaserverd.controller.live_leg import LiveLeg
from mediaserverd.protocol.sip.endpoint import Ending, SessionEnded
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.message import Request, Response
from mediaserverd.protocol.sip.session import Authorize

if TYPE_CHECKING:
    from mediaserverd.controller.live_call import LiveCall


def dial(live: LiveCall, leg: LiveLeg, way: Way, request: Request, doors: Doors) -> None:
    if isinstance(way, ContactWay):
        leg.station = way.binding.station
        _invite(live, leg, request, doors, way.binding.flow, behind_nat=way.binding.behind_nat)
    else:
        leg.line = way.line.name
        doors.spawn(live, _dial_line(live, leg, way, request, doors))


def tries_next_address(leg: LiveLeg, ended: SessionEnded) -> bool:
    """RFC 3263 4.3: only what did not get through at all is tried elsewhere."""
    if leg.attempt is None or leg.attempt.done() or leg.settled or leg.rang or leg.given_up:
        return False
    busy = isinstance(ended.message, Response) and ended.message.status == 503
    if ended.cause in (Ending.TIMEOUT, Ending.UNREACHABLE) or busy:
        leg.attempt.set_result(True)
        return True
    return False


async def _dial_line(live: LiveCall, leg: LiveLeg, way: LineWay, request: Request, doors: Doors) -> None:
    """One address of the line after the other, until one says something (RFC 3263 4.3)."""
    credentials = doors.dialling.credentials(way.line)
    async for flow in doors.dialling.line_flows(way.line):
        if leg.given_up:
            break
        leg.attempt = asyncio.get_running_loop().create_future()
        _invite(live, leg, request, doors, flow, behind_nat=flow.connection is not None, authorize=credentials)
        doors.pump()
        if not await leg.attempt:
            return
        leg.session = None
    leg.attempt = None
    if not leg.settled:
        leg.settled = True
        status, reason = (487, "Request Terminated") if leg.given_up else (503, "Service Unavailable")
        live.feed(on.Refused(leg.id, status, reason))


def _invite(
    live: LiveCall,
    leg: LiveLeg,
    request: Request,
    doors: Doors,
    flow: Flow,
    *,
    behind_nat: bool,
    authorize: Authorize | None = None,
) -> None:
    leg.session = doors.endpoint.invite(request, flow, doors.now(), behind_nat=behind_nat, authorize=authorize)
    doors.attach(leg.session, live, leg)
