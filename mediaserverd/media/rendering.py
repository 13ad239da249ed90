"""A recording rendered into a WAV file, with what its audio is worth. Runs in the sealing processes only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mediaserverd.audio.formats import encode, find_format, rendered
from mediaserverd.protocol.sasf.reader import SasfReader

FORMATS: Final = {
    "audio/L16": "wav-pcm",
    "audio/PCMU": "wav-pcmu",
    "audio/PCMA": "wav-pcma",
    "audio/GSM": "wav-gsm",
    "audio/x-truespeech": "wav-truespeech",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    duration_ms: int
    quality: Mapping[str, Any]


def render_wav(recording: SasfReader, encoding: str, target: Path) -> Rendered:
    """Writes ``target``, which must not exist, and returns when it is on the disk."""
    chosen = find_format(FORMATS[encoding])
    rendering = rendered(recording.contents(), chosen)
    with target.open("xb") as file:
        encode(rendering, chosen, file)
        file.flush()
        os.fsync(file.fileno())
    quality = {**rendering.quality.as_json(), **rendering.times_as_json()}
    return Rendered(rendering.frames * 1000 // rendering.sample_rate, quality)
