"""In which form audio is wanted: by ``?format=``, else by the Accept field (RFC 9110 section 12.5.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mediaserverd.audio.formats import FORMATS
from mediaserverd.protocol.sasf import archive

_SHORT: Final = {"wav-pcm": "wav", "ogg-opus": "ogg", "webm-opus": "webm"}  # what the API calls them
_ALIASES: Final = {"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/vnd.wave": "audio/wav"}
_QUALITY: Final = re.compile(r"^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """``encoder``: the name that ``audio.formats`` has for it; empty for files as they are stored."""

    name: str
    suffix: str
    media_type: str
    encoder: str = ""
    has_ranges: bool = True


SASF: Final = Form("sasf", ".sasf", "application/vnd.mediaserverd.sasf")
SASF_PARTS: Final = Form("sasf", archive.SUFFIX, "application/x-tar")  # several segments
STORED_WAV: Final = Form("wav", ".wav", "audio/wav")
RENDERED: Final = tuple(
    Form(_SHORT.get(name, name), each.suffix, each.media_type, name, each.has_ranges) for name, each in FORMATS.items()
)
OF_SASF: Final = (*RENDERED, SASF)  # in the order of what is given when several are wanted alike
OF_PARTS: Final = (*RENDERED, SASF_PARTS)
OF_WAV: Final = (STORED_WAV, *(form for form in RENDERED if form.name != STORED_WAV.name))
NAMES: Final = tuple(form.name for form in OF_SASF)


def wanted_form(offered: Sequence[Form], name: str | None, accept: str | None) -> Form | None:
    """None: nothing that is offered is wanted."""
    if name is not None:
        return next((form for form in offered if form.name == name), None)
    ranges = _accepted(accept) if accept and accept.strip() else {"*/*": 1.0}
    best = max(offered, key=lambda form: _weight(form, ranges))  # the first of several alike
    return best if _weight(best, ranges) > 0 else None


def _accepted(field: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for member in field.split(",")[:50]:
        media_type, *parameters = (part.strip().lower() for part in member.split(";"))
        qualities = [match[1] for parameter in parameters if (match := _QUALITY.match(parameter))]
        ranges[_ALIASES.get(media_type, media_type)] = float(qualities[0]) if qualities else 1.0
    return ranges


def _weight(form: Form, ranges: dict[str, float]) -> float:
    """The most specific range decides."""
    kind = form.media_type.partition("/")[0]
    return next((ranges[each] for each in (form.media_type, f"{kind}/*", "*/*") if each in ranges), 0.0)
