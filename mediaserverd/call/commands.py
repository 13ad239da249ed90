"""What a call wants done: the output of ``b2bua.Call.handle``. The controller carries the commands out in order.

``Finished`` is the last one, exactly once; whatever is still on its way in the SIP transactions of the legs then ends
there. A 2xx to a SendOffer that comes after HangUp is acknowledged by the dialog layer alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mediaserverd.call.events import Change, ControlRequest, LegId, MediaRequest, Search
from mediaserverd.call.ledger import LedgerEntry
from mediaserverd.call.setup import PauseMode, Target
from mediaserverd.call.story import CallSummary
from mediaserverd.policy.form import RecordingForm
from mediaserverd.protocol.negotiation import Side

# --- towards the caller's INVITE


@dataclass(frozen=True, slots=True)
class SendProgress:
    """A provisional response to the caller."""

    status: int
    reason: str
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class Accept:
    """200 to the caller's INVITE."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """The final response from 300 up to the caller's INVITE."""

    status: int
    reason: str


# --- towards the called side


@dataclass(frozen=True, slots=True)
class Dial:
    """INVITE a target on a new leg. Without ``sdp`` we ask it for the offer."""

    leg: LegId
    target: Target
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class CancelDial:
    """CANCEL; the final outcome of the leg still comes as an event."""

    leg: LegId


# --- within a dialog


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """ACK to the leg's 2xx, to a Dial or a SendOffer."""

    leg: LegId
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class SendOffer:
    """re-INVITE; without ``sdp`` we ask for an offer. Also when the offer came in an UPDATE: every phone knows
    re-INVITE, and one that wants to ask its user may take its time (RFC 3311 5.1)."""

    leg: LegId
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class AnswerOffer:
    """The final response to the leg's pending re-INVITE or UPDATE. ``retry_after_s`` above 0: with that Retry-After."""

    leg: LegId
    status: int
    reason: str
    sdp: bytes = b""
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class SendInfo:
    leg: LegId
    info: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """The final response to an INFO of this leg."""

    leg: LegId
    info: int
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """BYE. Not empty, ``reason`` goes into ``Reason: SIP;cause=<status>;text="<reason>"``."""

    leg: LegId
    status: int = 200
    reason: str = ""


# --- the media server


@dataclass(frozen=True, slots=True)
class FindMediaServers:
    """Ask selection which servers to try now. ``operation`` is what for (``call``, ``record``); ``lost`` are those that
    died under this call, which are not wanted again. ``relay_will_do``: the audio needs one, be it unable to record."""

    search: Search
    operation: str
    lost: tuple[str, ...] = ()
    relay_will_do: bool = False


@dataclass(frozen=True, slots=True)
class FailedOver:
    """The media server ``lost`` under the call: its audio runs through ``to`` now (empty: direct, and what was recorded
    is not any more), ``after_s`` later."""

    lost: str
    to: str
    after_s: float


@dataclass(frozen=True, slots=True)
class MediaOffer:
    """ng ``offer``; ``side`` is the from-tag. ``look_back_ms`` of what is heard are to be kept in memory."""

    request: MediaRequest
    server: str
    side: Side
    sdp: bytes
    look_back_ms: int = 0


@dataclass(frozen=True, slots=True)
class MediaAnswer:
    """ng ``answer``. ``side`` answers: it is the to-tag, the other one the from-tag. ``early``: it still rings."""

    request: MediaRequest
    server: str
    side: Side
    sdp: bytes
    look_back_ms: int = 0
    early: bool = False


@dataclass(frozen=True, slots=True)
class MediaDelete:
    """ng ``delete``; nothing waits for its reply. It ends and seals the recordings there; with ``discard`` it removes
    those that still run."""

    server: str
    discard: bool = False


@dataclass(frozen=True, slots=True)
class BegunPaused:
    """How a recording is paused that begins in a pause; ``codes`` as in ``PauseRecording``."""

    mode: PauseMode
    secure: bool
    by: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StartRecording:
    """ng ``start recording``, from ``look_back_ms`` before now."""

    server: str
    recording_id: str
    segment: int
    form: RecordingForm
    metadata: Mapping[str, object]
    look_back_ms: int = 0
    paused: BegunPaused | None = None


@dataclass(frozen=True, slots=True)
class StopRecording:
    """ng ``stop recording``."""

    change: Change
    server: str


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """ng ``pause recording``. ``codes``: of all digits, the media server tells of these in the pause."""

    change: Change
    server: str
    mode: PauseMode
    secure: bool
    by: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    """ng ``start recording`` of one that is paused. Empty ``by``: its time is up."""

    change: Change
    server: str
    recording_id: str
    segment: int
    by: str


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """ng ``record event``: what happened on a side, into the running recording. Nothing waits for its reply."""

    server: str
    side: Side
    event: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WriteLedger:
    """To the durable outbox, before any later StartRecording, MediaDelete, WriteLedger or Finished is carried out.
    Commands towards phones do not wait for it: no disk delays a call."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Grant:
    """The wish has come true: the media server has confirmed it."""

    request: ControlRequest


@dataclass(frozen=True, slots=True)
class Deny:
    """``uncertain``: the media server was asked and did not say yes, so that it may have happened all the same;
    otherwise nothing has happened."""

    request: ControlRequest
    reason: str
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The call is over: write its line, forget it. ``Call.story`` stays readable."""

    summary: CallSummary


Command = (
    SendProgress
    | Accept
    | Refuse
    | Dial
    | CancelDial
    | Acknowledge
    | SendOffer
    | AnswerOffer
    | SendInfo
    | AnswerInfo
    | HangUp
    | FindMediaServers
    | FailedOver
    | MediaOffer
    | MediaAnswer
    | MediaDelete
    | StartRecording
    | StopRecording
    | PauseRecording
    | ResumeRecording
    | RecordEvent
    | WriteLedger
    | Grant
    | Deny
    | Finished
)
