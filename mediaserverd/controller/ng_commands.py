"""A call's wishes towards a media server, as ng commands (docs/wire.md 1). Not responsible for sending them."""

from __future__ import annotations

from typing import Any, assert_never

from mediaserverd.call.commands import (
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


def _command(wish: Wish) -> dict[str, Any]:
    match wish:
        case MediaOffer():
            return {"command": "offer", "from-tag": wish.side.value, **_description(wish)}
        case MediaAnswer():
            tags = {"from-tag": wish.side.other.value, "to-tag": wish.side.value}
            return {"command": "answer", **tags, **_description(wish)}
        case MediaDelete():
            return {"command": "delete", **({"flags": ["discard-recording"]} if wish.discard else {})}
        case StartRecording():
            return {"command": "start recording", **_recording(wish)}
        case StopRecording():
            return {"command": "stop recording"}
        case PauseRecording():
            return {"command": "pause recording", "pause-mode": wish.mode, "secure": wish.secure, "by": wish.by}
        case ResumeRecording():
            who = {"by": wish.by} if wish.by else {"reason": "time-is-up"}
            key = {"recording-id": wish.recording_id, "segment": wish.segment}
            return {"command": "start recording", **key, **who}
        case RecordEvent():
            return {"command": "record event", "side": wish.side.value, "event": dict(wish.event)}
        case _:
            assert_never(wish)


def _description(wish: MediaOffer | MediaAnswer) -> dict[str, Any]:
    look_back = {"look-back-ms": wish.look_back_ms} if wish.look_back_ms else {}
    return {"sdp": _text(wish.sdp), **look_back, **_REWRITE}


def _recording(wish: StartRecording) -> dict[str, Any]:
    form = wish.form
    encoding = {"recording-mime-type": form.encoding} if form.encoding else {}
    look_back = {"pre-record-ms": wish.look_back_ms} if wish.look_back_ms else {}
    return {
        "recording-id": wish.recording_id,
        "segment": wish.segment,
        "recording-format": form.format,
        "encrypt": form.encrypt,
        **encoding,
        **look_back,
        "metadata": dict(wish.metadata),
    }


def _text(sdp: bytes) -> str:
    return sdp.decode("utf-8", "replace")
