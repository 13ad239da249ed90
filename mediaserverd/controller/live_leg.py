"""One leg of a running call: its SIP session, and what is pending in it. Plain state; ``live_call`` acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from mediaserverd.call import commands as do
from mediaserverd.call.events import LegId
from mediaserverd.protocol.sip.endpoint import ClientTransaction, ServerTransaction, Session

MAX_PENDING_INFOS = 16  # of one leg; a phone that sends faster than the other answers gets 500

Said = do.Acknowledge | do.SendOffer | do.SendInfo | do.HangUp


@dataclass(slots=True, eq=False)
class LiveLeg:
    """``settled``: a dial has had its final outcome; the caller has it from the start."""

    id: LegId
    info_numbers: Iterator[int]  # of the call
    station: str = ""
    line: str = ""
    session: Session | None = None
    settled: bool = False
    accepting: bool = False  # of the caller: its answer waits for the disk
    given_up: bool = False  # CancelDial or HangUp came before it was answered
    rang: bool = False
    attempt: asyncio.Future[bool] | None = None  # of a line: true when the next address should be tried
    offer: ServerTransaction | None = None  # their re-INVITE or UPDATE that waits for AnswerOffer
    their_infos: dict[int, ServerTransaction] = field(default_factory=dict)
    our_infos: dict[ClientTransaction, int] = field(default_factory=dict)
    unsaid: list[Said] = field(default_factory=list)  # waits until the phone is ``back``
    back: asyncio.Event = field(default_factory=asyncio.Event)
