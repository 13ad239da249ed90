"""Calls whose phones talk directly, and what each phone is told when their audio moves."""

from __future__ import annotations

from typing import Any, Final

from mediaserverd.call.commands import Command, FindMediaServers, SendOffer
from mediaserverd.call.events import (
    CALLER,
    Acknowledged,
    Answered,
    Change,
    ChangeDone,
    ControlRequest,
    Event,
    Invited,
    LegId,
    MediaServersFound,
    OfferAnswered,
    RecordingStarted,
    Search,
    StartRequested,
    StopRequested,
)
from tests.call.script import B1, TO_CALLED, TO_CALLER, Script, body, phone, replied

OTHER_ID: Final = "f" * 32
R1: Final = ControlRequest(1)
R2: Final = ControlRequest(2)
START: Final = StartRequested(R1, "alice", OTHER_ID)
STOPPED: Final = (StopRequested(R2, "alice"), ChangeDone(Change(1)))
PCMU: Final = "rtpmap:0 PCMU/8000"  # of "0 8" that both offer, the one that they use
ALICE_PLACE: Final = ("192.0.2.1", 4000)
BOB_PLACE: Final = ("192.0.2.2", 4000)
M1: Final = ("203.0.113.9", 20000)


def said(name: str, *attributes: str, codecs: str = "0") -> bytes:
    """A phone's description, narrowed to the codec in use."""
    return phone(name, PCMU, *attributes, codecs=codecs)


def view(*attributes: str, codecs: str = "0") -> bytes:
    """What the media server makes of a description."""
    return body("phone 7 1 IN IP4 192.0.2.1", *M1, PCMU, *attributes, codecs=codecs)


def told(session_id: int, version: int, place: tuple[str, int], *attributes: str, codecs: str = "0") -> bytes:
    """What a phone gets to see, under our o= line."""
    return body(f"- {session_id} {version} IN IP4 203.0.113.1", *place, PCMU, *attributes, codecs=codecs)


def asked(leg: LegId, version: int, place: tuple[str, int], *attributes: str, codecs: str = "0") -> SendOffer:
    session_id = TO_CALLER if leg == CALLER else TO_CALLED
    return SendOffer(leg, told(session_id, version, place, *attributes, codecs=codecs))


def direct(**changes: Any) -> Script:
    """Answered and acknowledged, three seconds after the INVITE; no media server has heard of the call."""
    script = Script(**{"audio_path": "dynamic", **changes})
    script.tell(Invited(phone("alice")))
    script.tell(Answered(B1, phone("bob")), after=3.0)
    script.tell(Acknowledged(CALLER))
    return script


FIND: Final = FindMediaServers(Search(1), "record")


def found(*servers: str, search: int = 1) -> MediaServersFound:
    return MediaServersFound(Search(search), servers)


def prepared(first: int = 1) -> tuple[Event, Event]:
    """The media server has both legs ready."""
    return replied(first, view()), replied(first + 1, view())


def asking(**changes: Any) -> Script:
    """A recording is wanted, the media server is ready, and both phones have a re-INVITE."""
    script = direct(**changes)
    script.tell_all(START, found("m1"), *prepared())
    return script


def both_answer(script: Script) -> list[Command]:
    return script.tell_all(OfferAnswered(CALLER, said("alice")), OfferAnswered(B1, said("bob")))


def recording(**changes: Any) -> Script:
    """A call that was direct is recorded on demand."""
    script = asking(**changes)
    both_answer(script)
    script.tell(RecordingStarted(OTHER_ID, 1, f"{OTHER_ID}-1.sasf", "https://m1/x"))
    return script
