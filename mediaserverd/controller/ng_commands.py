"""A call's wishes towards a media server, as ng commands (docs/wire.md 1). Not responsible for sending them."""

from __future__ import annotations

from typing import Any

from mediaserverd.call.commands import MediaAnswer, MediaDelete, MediaOffer, StartRecording

_REWRITE = {"ICE": "remove", "flags": ["trust-address"]}


def ng_command(call_id: str, wish: MediaOffer | MediaAnswer | MediaDelete | StartRecording) -> dict[str, Any]:
    named: dict[str, Any] = {"call-id": call_id}
    match wish:
        case MediaOffer():
            return {"command": "offer", **named, "from-tag": wish.side.value, "sdp": _text(wish.sdp), **_REWRITE}
        case MediaAnswer():
            tags = {"from-tag": wish.side.other.value, "to-tag": wish.side.value}
            return {"command": "answer", **named, **tags, "sdp": _text(wish.sdp), **_REWRITE}
        case MediaDelete():
            return {"command": "delete", **named}
        case StartRecording():
            recording = {"recording-id": wish.recording_id, "segment": wish.segment, "metadata": dict(wish.metadata)}
            encoding = {"recording-mime-type": wish.encoding} if wish.encoding else {}
            return {"command": "start recording", **named, **recording, **encoding}


def _text(sdp: bytes) -> str:
    return sdp.decode("utf-8", "replace")
