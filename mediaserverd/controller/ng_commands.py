"""A call's wishes towards a media server as ng commands, and the replies as events of the call (docs/wire.md 1).

Not responsible for sending them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from mediaserverd.call import events as on
from mediaserverd.call.commands import (
    BegunPaused,
    MediaAnswer,
    MediaDelete,
    MediaOffer,
    PauseRecording,
    RecordEvent,
    ResumeRecording,
    StartRecording,
    StopRecording,
)

_REWRITE = {"ICE": "remove", "flags": ["trust-address"]}

Wish = (
    MediaOffer
    | MediaAnswer
    | MediaDelete
    | StartRecording
    | StopRecording
    | PauseRecording
    | ResumeRecording
    | RecordEvent
)


def ng_command(call_id: str, wish: Wish) -> dict[str, Any]:
    return {"call-id": call_id, **_command(wish)}


def fault_of(wish: Wish, reply: Mapping[str, Any]) -> str:
    """Why the media server did not do it; empty if it did."""
    if reply.get("result") != "ok":
        return str(
            reply.get("error-reason") or reply.get("message") or reply.get("result") or "a reply without a result"
        )
    match wish:
        case MediaOffer() | MediaAnswer() if not isinstance(reply.get("sdp"), str):
            return "a reply without a description"
        case StartRecording() if not all(file_of(reply)):
            return "it named no file to fetch"
    return ""


def file_of(reply: Mapping[str, Any]) -> tuple[str, str]:
    """Name and URI of the recording that was begun."""
    made = reply.get("recording")
    return (str(made.get("file", "")), str(made.get("uri", ""))) if isinstance(made, Mapping) else ("", "")


def _command(wish: Wish) -> dict[str, Any]:
    match wish:
        case MediaOffer():
            return {"command": "offer", "from-tag": wish.side.value, **_description(wish)}
        case MediaAnswer():
            tags = {"from-tag": wish.side.other.value, "to-tag": wish.side.value}
            early = {"sip-code": 183} if wish.early else {}
            return {"command": "answer", **tags, **early, **_description(wish)}
        case MediaDelete():
            discard = {"flags": ["discard-recording"]} if wish.discard else {}
            return {"command": "delete", "delete-delay": 0, **discard}  # an rtpengine would keep the ports for 30 s
        case StartRecording():
            return {"command": "start recording", **_recording(wish)}
        case StopRecording():
            return {"command": "stop recording"}
        case PauseRecording():
            return {"command": "pause recording", **_pause(wish)}
        case ResumeRecording():
            who = {"by": wish.by} if wish.by else {"reason": "time-is-up"}
            key = {"recording-id": wish.recording_id, "segment": wish.segment}
            return {"command": "start recording", **key, **who}
        case RecordEvent():
            return {"command": "record event", "side": wish.side.value, "event": dict(wish.event)}
        case _:
            assert_never(wish)


def ng_outcome(wish: Wish, reply: Mapping[str, Any], fault: str, *, silent: bool) -> on.Event | None:
    """What the reply tells the call, or that there was none; ``fault`` is empty if all went well."""
    match wish:
        case MediaOffer() | MediaAnswer() if fault:
            return on.MediaFailed(wish.request, fault, silent=silent)
        case MediaOffer() | MediaAnswer():
            return on.MediaReplied(wish.request, str(reply.get("sdp", "")).encode("utf-8", "replace"))
        case StartRecording() if fault:
            return on.RecordingRefused(wish.recording_id, wish.segment, fault)
        case StartRecording():
            return on.RecordingStarted(wish.recording_id, wish.segment, *file_of(reply))
        case StopRecording() | PauseRecording() | ResumeRecording():
            return on.ChangeFailed(wish.change, fault) if fault else on.ChangeDone(wish.change)
        case MediaDelete() | RecordEvent():
            return None  # nothing waits for these
        case _:
            assert_never(wish)


def _pause(how: PauseRecording | BegunPaused) -> dict[str, Any]:
    codes = {"dtmf-codes": list(how.codes)} if how.codes else {}
    return {"pause-mode": how.mode, "secure": how.secure, "by": how.by, **codes}


def _description(wish: MediaOffer | MediaAnswer) -> dict[str, Any]:
    look_back = {"look-back-ms": wish.look_back_ms} if wish.look_back_ms else {}
    return {"sdp": _text(wish.sdp), **look_back, **_REWRITE}


def _recording(wish: StartRecording) -> dict[str, Any]:
    form = wish.form
    encoding = {"recording-mime-type": form.encoding} if form.encoding else {}
    look_back = {"pre-record-ms": wish.look_back_ms} if wish.look_back_ms else {}
    paused = _pause(wish.paused) if wish.paused else {}
    return {
        "recording-id": wish.recording_id,
        "segment": wish.segment,
        "recording-format": form.format,
        "encrypt": form.encrypt,
        **encoding,
        **look_back,
        **paused,
        "metadata": dict(wish.metadata),
    }


def _text(sdp: bytes) -> str:
    return sdp.decode("utf-8", "replace")
