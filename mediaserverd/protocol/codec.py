"""What an RTP payload type stands for (RFC 3551, RFC 8866 6.6): the name, not the algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# RFC 3551 section 6, tables 4 and 5. The clock of G722 really is 8000: the RFC keeps an old mistake on purpose.
# fmt: off
STATIC_CODECS: Final = {
    0: ("PCMU", 8000, 1), 3: ("GSM", 8000, 1), 4: ("G723", 8000, 1), 5: ("DVI4", 8000, 1), 6: ("DVI4", 16000, 1),
    7: ("LPC", 8000, 1), 8: ("PCMA", 8000, 1), 9: ("G722", 8000, 1), 10: ("L16", 44100, 2), 11: ("L16", 44100, 1),
    12: ("QCELP", 8000, 1), 13: ("CN", 8000, 1), 14: ("MPA", 90000, 1), 15: ("G728", 8000, 1),
    16: ("DVI4", 11025, 1), 17: ("DVI4", 22050, 1), 18: ("G729", 8000, 1), 25: ("CelB", 90000, 1),
    26: ("JPEG", 90000, 1), 28: ("nv", 90000, 1), 31: ("H261", 90000, 1), 32: ("MPV", 90000, 1),
    33: ("MP2T", 90000, 1), 34: ("H263", 90000, 1),
}
# fmt: on

# What travels beside the voice in its stream; two phones that share only these cannot talk.
_NOT_VOICE: Final = frozenset({"telephone-event", "cn", "red", "rtx", "ulpfec"})


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type. ``parameters`` is its a=fmtp, which says how it is sent, not which codec it is."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: str = field(default="", compare=False)

    @classmethod
    def described(cls, payload_type: int, rtpmap: str, parameters: str) -> Codec | None:
        """From the text behind the number in a=rtpmap, else the static meaning, else none."""
        name, _, rest = rtpmap.partition("/")
        rate, _, channels = rest.partition("/")
        if name and _is_number(rate, 7) and (not channels or _is_number(channels, 3)):
            return cls(payload_type, name, int(rate), int(channels or 1), parameters)
        if payload_type in STATIC_CODECS:
            return cls(payload_type, *STATIC_CODECS[payload_type], parameters)
        return None

    @property
    def identity(self) -> tuple[str, int, int]:
        """What makes it the same codec under another payload type number."""
        return self.name.lower(), self.clock_rate, self.channels

    @property
    def is_voice(self) -> bool:
        return self.name.lower() not in _NOT_VOICE

    def __str__(self) -> str:
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels > 1 else "")


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits
