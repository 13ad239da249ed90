"""What happens to a call, as the controller tells it: the input of ``b2bua.Call.handle``.

A call knows legs, descriptions and media requests; it never sees a SIP message. What the controller owes:

- ``Invited`` comes first, once. After ``commands.Finished`` nothing comes.
- Every ``Dial`` is followed by exactly one final outcome of its leg: ``Answered`` or ``Refused`` (no answer of the
  network is ``Refused`` 408, no way to it 503; retransmissions stay in the transaction layer).
- Every ``MediaOffer``, ``MediaAnswer``, ``StartRecording`` and change of a recording is followed by exactly one reply
  event, be it ``MediaFailed`` / ``RecordingRefused`` / ``ChangeFailed`` because the media server was silent. Requests
  of one call to one server are sent in the order of the commands, without waiting for replies.
- Every ``FindMediaServers`` is followed by one ``MediaServersFound``, perhaps with none.
- ``sdp`` is the body of type application/sdp, empty if there is none.
- A BYE, a CANCEL and OPTIONS are answered 200 by the controller itself; ``HungUp`` and ``Cancelled`` tell of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NewType

from mediaserverd.call.setup import PauseMode
from mediaserverd.protocol.negotiation import Side

LegId = NewType("LegId", str)
CALLER = LegId("caller")  # the leg that invited us; called legs are named in commands.Dial

MediaRequest = NewType("MediaRequest", int)
Change = NewType("Change", int)  # a stop, pause or resume that was asked of the media server
ControlRequest = NewType("ControlRequest", int)  # somebody's wish; the call answers each one once
Search = NewType("Search", int)  # for media servers


class Method(Enum):
    """The request that carried an offer within a dialog."""

    INVITE = "INVITE"
    UPDATE = "UPDATE"


# --- the caller's INVITE


@dataclass(frozen=True, slots=True)
class Invited:
    """The INVITE that makes the call. Without ``sdp`` the offer comes late, in the called side's 200."""

    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller's CANCEL, before a final response went to its INVITE."""


# --- outcomes of Dial


@dataclass(frozen=True, slots=True)
class Progressed:
    """A provisional response above 100 to a Dial."""

    leg: LegId
    status: int
    reason: str
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class Answered:
    """The 2xx to a Dial; once per leg. Not acknowledged yet."""

    leg: LegId
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """A final response from 300 up to a Dial, after a CancelDial usually 487."""

    leg: LegId
    status: int
    reason: str


# --- within a dialog


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The first ACK to a 2xx that we sent to this leg, for its first INVITE or a later one."""

    leg: LegId
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class AckMissing:
    """No ACK came within 64 * T1 (RFC 3261 13.3.1.4)."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Offered:
    """A re-INVITE (without ``sdp``: it asks us for an offer) or an UPDATE (without ``sdp``: a mere refresh)."""

    leg: LegId
    method: Method
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The 2xx to SendOffer; ``sdp`` is the answer, or the offer if none was sent. Not acknowledged yet."""

    leg: LegId
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """A final response from 300 up to SendOffer; silence is 408."""

    leg: LegId
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Informed:
    """An INFO. ``info`` is the controller's number for it, unique in the call; ``headers`` are those worth carrying
    over (Info-Package, Content-Disposition, Record). ``fresh_id`` is random, for a recording that it may begin."""

    leg: LegId
    info: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    fresh_id: str = ""


@dataclass(frozen=True, slots=True)
class InfoAnswered:
    """The final response to SendInfo. ``info`` is the number that the command carried."""

    leg: LegId
    info: int
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """A BYE. ``reason`` is the text of its Reason header, if any."""

    leg: LegId
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LegLost:
    """The dialog is gone without a BYE: connection closed for good, 481, session timer."""

    leg: LegId
    reason: str


# --- the media server


@dataclass(frozen=True, slots=True)
class MediaReplied:
    """The media server said ok to a MediaOffer or MediaAnswer; ``sdp`` is what it rewrote."""

    request: MediaRequest
    sdp: bytes


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """It refused (``silent`` false: no session came of it), or did not answer in time or the link went (``silent``
    true: a session may exist there)."""

    request: MediaRequest
    reason: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class MediaServersFound:
    """Names, in the order in which selection wants them tried; none if none may be used, and ``why_none``."""

    search: Search
    servers: tuple[str, ...]
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    recording_id: str
    segment: int
    file: str
    uri: str


@dataclass(frozen=True, slots=True)
class RecordingRefused:
    """The media server refused StartRecording, or did not answer it."""

    recording_id: str
    segment: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingBroken:
    """The media server's notification ``recording-failed``: a running segment goes on no more."""

    recording_id: str
    segment: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeDone:
    """The media server has stopped, paused or resumed the recording."""

    change: Change


@dataclass(frozen=True, slots=True)
class ChangeFailed:
    """It refused, or did not answer in time: it may have done so all the same."""

    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class MediaTimedOut:
    """The media server's notification ``media-timeout``: no RTP for too long."""

    server: str
    reason: str


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The controller holds this media server for dead. Told to every call, also to those not on it."""

    server: str
    reason: str


@dataclass(frozen=True, slots=True)
class DigitsDialled:
    """The media server's notification ``dtmf``. ``fresh_id`` is random, for a recording that they may begin."""

    side: Side
    digits: str
    fresh_id: str = ""


@dataclass(frozen=True, slots=True)
class SideSilent:
    """``one-way-audio`` or ``silence``: no RTP comes from this side, though it should."""

    server: str
    side: Side
    reason: str


@dataclass(frozen=True, slots=True)
class SideHeard:
    """``audio-back``: it comes again, or is not expected any more."""

    server: str
    side: Side


# --- recording control: ``by`` is who asks


@dataclass(frozen=True, slots=True)
class StartRequested:
    """Record from now on, and from ``look_back_ms`` before (None: all that is kept). ``recording_id`` is random."""

    request: ControlRequest
    by: str
    recording_id: str
    look_back_ms: int | None = None
    kind: Literal["on-demand", "snippet"] = "on-demand"


@dataclass(frozen=True, slots=True)
class StopRequested:
    request: ControlRequest
    by: str


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """``seconds`` None: as long as the rules say; 0: until somebody resumes. ``mode`` None: as the rules say."""

    request: ControlRequest
    by: str
    secure: bool = False
    seconds: float | None = None
    mode: PauseMode | None = None


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    request: ControlRequest
    by: str


@dataclass(frozen=True, slots=True)
class MediaUsable:
    """A media server takes sessions that did not before."""

    server: str


# --- the controller itself


@dataclass(frozen=True, slots=True)
class Woken:
    """``Call.deadline`` has come. Harmless when early."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The first of all events in the process that goes on with a call of an earlier one (``Call.restored``)."""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """The controller ends the call: shutdown, administrator. ``status`` goes to a caller who is not answered yet."""

    reason: str
    status: int = 503


LegEvent = (
    Progressed
    | Answered
    | Refused
    | Acknowledged
    | AckMissing
    | Offered
    | OfferAnswered
    | OfferRefused
    | Informed
    | InfoAnswered
    | HungUp
    | LegLost
)

RecordingEvent = RecordingStarted | RecordingRefused | RecordingBroken
ControlEvent = StartRequested | StopRequested | PauseRequested | ResumeRequested

Event = (
    Invited
    | Cancelled
    | LegEvent
    | MediaReplied
    | MediaFailed
    | MediaServersFound
    | RecordingEvent
    | ChangeDone
    | ChangeFailed
    | MediaTimedOut
    | MediaLost
    | DigitsDialled
    | SideSilent
    | SideHeard
    | ControlEvent
    | Woken
    | TakenOver
    | MediaUsable
    | EndRequested
)
