"""Calls as scripts: tell an event, compare the exact commands. Bodies are real, so that o= is checked too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mediaserverd.call.b2bua import Call
from mediaserverd.call.commands import Command, Finished, StartRecording, WriteLedger
from mediaserverd.call.events import (
    CALLER,
    Acknowledged,
    Answered,
    Event,
    Invited,
    LegId,
    MediaReplied,
    MediaRequest,
    RecordingStarted,
)
from mediaserverd.call.ledger import Expected
from mediaserverd.call.setup import CallSetup, OwnOrigin, RecordingOrder, Target
from mediaserverd.policy.facts import CallDirection, Party
from mediaserverd.policy.form import DEFAULT_FORM

ALICE: Final = Party("100", "Alice", station="alice", location="default")
BOB: Final = Party("101", "Bob", station="bob", location="default")
CAROL: Final = Party("102", "Carol", station="carol", location="default")
B1: Final = LegId("called-1")
B2: Final = LegId("called-2")
RECORDING_ID: Final = "0123456789abcdef0123456789abcdef"
ORDER: Final = RecordingOrder(RECORDING_ID, policy="record all", tags=("demo",))

SETUP: Final = CallSetup(
    call_id="call-1",
    direction=CallDirection.INTERNAL,
    calling=ALICE,
    called=BOB,
    targets=(Target("sip:bob@192.0.2.2", BOB),),
    media_servers=("m1", "m2"),
    origin=OwnOrigin("203.0.113.1", 1000),
    ring_timeout_s=60.0,
    audio_path="always-in",
)


def body(origin: str, address: str, port: int, *attributes: str, codecs: str = "0 8") -> bytes:
    lines = ["v=0", f"o={origin}", "s=-", f"c=IN IP4 {address}", "t=0 0", f"m=audio {port} RTP/AVP {codecs}"]
    return "\r\n".join([*lines, *(f"a={each}" for each in attributes), ""]).encode()


def phone(name: str, *attributes: str, version: int = 1, codecs: str = "0 8") -> bytes:
    """What a phone writes."""
    address = {"alice": "192.0.2.1", "bob": "192.0.2.2", "carol": "192.0.2.3"}[name]
    return body(f"{name} 7 {version} IN IP4 {address}", address, 4000, *attributes, codecs=codecs)


def relayed(name: str, *attributes: str, codecs: str = "0 8") -> bytes:
    """What the media server makes of it: its own address, the phone's o=."""
    return body(f"{name} 7 1 IN IP4 192.0.2.1", "203.0.113.9", 20000, *attributes, codecs=codecs)


def ours(session_id: int, *attributes: str, version: int = 1, codecs: str = "0 8") -> bytes:
    """What the other phone gets to see: the media server's address, our o=."""
    origin = f"- {session_id} {version} IN IP4 203.0.113.1"
    return body(origin, "203.0.113.9", 20000, *attributes, codecs=codecs)


TO_CALLER: Final = 1000
TO_CALLED: Final = 1001


def expected(**changes: Any) -> WriteLedger:
    entry = Expected(
        recording_id=RECORDING_ID,
        segment=1,
        call_id="call-1",
        kind="policy",
        policy="record all",
        direction=CallDirection.INTERNAL,
        calling=ALICE,
        called=BOB,
        media_server="m1",
        form=DEFAULT_FORM,
        initiation="policy",
    )
    return WriteLedger(replace(entry, **changes))


def start_recording(server: str = "m1", **changes: Any) -> StartRecording:
    entry = expected(media_server=server, **changes).entry
    return StartRecording(server, RECORDING_ID, 1, DEFAULT_FORM, {**entry.document(), "tags": ["demo"]})


STARTED: Final = RecordingStarted(RECORDING_ID, 1, f"{RECORDING_ID}-1.wav", "https://m1/recordings/x")


class Script:
    """A call and its clock. Media requests are numbered in the order in which they are asked."""

    def __init__(self, **changes: Any) -> None:
        self.call = Call(replace(SETUP, **changes))
        self.now = 0.0

    def tell(self, event: Event, after: float = 0.0) -> list[Command]:
        self.now += after
        return self.call.handle(event, self.now)

    def tell_all(self, *events: Event) -> list[Command]:
        return [command for event in events for command in self.tell(event)]

    def finished(self, commands: list[Command]) -> Finished:
        last = commands[-1]
        assert isinstance(last, Finished)
        return last


def replied(request: int, sdp: bytes) -> MediaReplied:
    return MediaReplied(MediaRequest(request), sdp)


def dialled(**changes: Any) -> Script:
    """Alice has called, the media server has taken it, Bob's phone is asked."""
    script = Script(**changes)
    script.tell_all(Invited(phone("alice")), replied(1, relayed("alice")))
    return script


def talking(**changes: Any) -> Script:
    """Answered and acknowledged, three seconds after the INVITE; the next media request is number 3."""
    script = dialled(**changes)
    script.tell(Answered(B1, phone("bob")), after=3.0)
    script.tell_all(replied(2, relayed("bob")), Acknowledged(CALLER))
    if script.call.setup.recording:
        script.tell(STARTED)
    return script
