"""What the controller knows and has decided before a call begins: the arguments of ``b2bua.Call``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mediaserverd.policy.facts import CallDirection, Party
from mediaserverd.policy.form import DEFAULT_FORM, RecordingForm


@dataclass(frozen=True, slots=True)
class Target:
    """Something to dial: one contact of a station, or a line. ``address`` is the controller's own key for it (a contact
    URI, say) and comes back unread in ``commands.Dial``."""

    address: str
    party: Party


PauseMode = Literal["mask", "omit"]  # silence of the same length; or cut out, and a beep marks the place
AudioPathMode = Literal["dynamic", "always-in"]  # through a media server when an operation needs it; or always


@dataclass(frozen=True, slots=True)
class RecordingOrder:
    """Record, and how: the verdict of the initiation policies, or what somebody (``initiation``) wants during the call.
    ``recording_id`` is random, 32 hex digits, made by the controller; with ``required`` there is no call without the
    recording."""

    recording_id: str
    policy: str
    form: RecordingForm = DEFAULT_FORM
    required: bool = False
    tags: tuple[str, ...] = ()
    kind: Literal["policy", "on-demand", "snippet"] = "policy"
    initiation: str = "policy"


@dataclass(frozen=True, slots=True)
class PauseRules:
    """``seconds``: of a secure pause for which no time was asked; 0: until somebody resumes. ``maximum_seconds``: of a
    secure pause, however often it is repeated; 0: none. ``leave``: what is left of it in the file."""

    seconds: float = 60.0
    maximum_seconds: float = 600.0
    leave: PauseMode = "mask"


@dataclass(frozen=True, slots=True)
class FeatureCodes:
    """What is typed on a station to start or stop a recording, to pause or resume it, to begin or end a snippet. An
    empty one is none."""

    record: str = ""
    pause: str = ""
    snip: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(code for code in (self.record, self.pause, self.snip) if code)


@dataclass(frozen=True, slots=True)
class OwnOrigin:
    """What our o= lines say. The caller sees ``session_id``, the called side ``session_id + 1``."""

    address: str
    session_id: int
    username: str = "-"


@dataclass(frozen=True, slots=True)
class CallSetup:
    """``media_servers`` are names in the order in which selection wants them tried, should audio run through one from
    the start. Without any of them, the phones of a ``dynamic`` call talk directly, unrecorded; an ``always-in`` call
    does so only if it may ``fail_open``, and else gets 503. When the media server of a call dies and there is no other,
    they talk directly if they ``may_go_direct``: if each can be reached by the other. ``dice`` is random, from 0 up to
    1: how long a re-INVITE that met another one waits. ``barred_by`` is the policy that forbids any recording of this
    call. ``look_back_ms`` of what was last heard stay in the media server's memory for a recording that is asked for
    later. Recordings of a call that is shorter than ``shortest_ms`` are discarded. A call that does not hear one of its
    sides for so long as ``hang_up_on_broken_rtp_s`` ends; 0: it goes on."""

    call_id: str
    direction: CallDirection
    calling: Party
    called: Party
    targets: tuple[Target, ...]
    media_servers: tuple[str, ...]
    origin: OwnOrigin
    ring_timeout_s: float = 120.0
    audio_path: AudioPathMode = "dynamic"
    dice: float = 0.5
    fail_open: bool = False
    may_go_direct: bool = True
    recording: RecordingOrder | None = None
    barred_by: str = ""
    pause: PauseRules = PauseRules()
    look_back_ms: int = 0
    shortest_ms: int = 0
    codes: FeatureCodes = FeatureCodes()
    encrypt_snippets: bool = True
    hang_up_on_broken_rtp_s: float = 0.0
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants_audio_at_once(self) -> bool:
        """A media server carries this call from its set-up on."""
        return self.keeps_audio or self.recording is not None

    @property
    def keeps_audio(self) -> bool:
        """A media server carries this call as long as it lasts, whatever is recorded."""
        return self.audio_path == "always-in" or self.look_back_ms > 0
