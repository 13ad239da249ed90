"""What a media server tells unasked (docs/wire.md 1), as events of the call."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mediaserverd.call import events as on
from mediaserverd.controller import metrics
from mediaserverd.protocol.dtmf import DIGITS
from mediaserverd.protocol.negotiation import Side

_SIDES = {side.value: side for side in Side}


def media_event(server: str, notification: Mapping[str, Any]) -> on.Event | None:
    """None: nothing that a call knows."""
    kind, reason = notification.get("notification"), str(notification.get("reason", ""))
    side = _SIDES.get(str(notification.get("side")))
    match kind:
        case "media-timeout":
            return on.MediaTimedOut(server, reason)
        case "recording-failed":
            recording_id, _, segment = PurePath(str(notification.get("file", ""))).stem.rpartition("-")
            return on.RecordingBroken(recording_id, int(segment), reason) if segment.isdecimal() else None
        case "dtmf" if side:
            digits = "".join(each for each in str(notification.get("digits", "")) if each in DIGITS)
            return on.DigitsDialled(side, digits, secrets.token_hex(16))
        case "one-way-audio" | "silence" if side:
            metrics.sides_silent.labels(kind, side.value).inc()
            return on.SideSilent(server, side, reason)
        case "audio-back" if side:
            return on.SideHeard(server, side)
    return None
