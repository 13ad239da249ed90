"""What the payload types of a side stand for, and how long each packet sounds. Says nothing about when.

Payload types mean what the last ``codecs`` event of their side before them says (the first one also speaks for what is
before it: a look-back), else what RFC 3551 says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio import truespeech
from mediaserverd.audio.codec import DECODERS
from mediaserverd.protocol.codec import STATIC_CODECS, Codec
from mediaserverd.protocol.sasf.contents import Bytes, Event, Integers, Packets

Flags: TypeAlias = npt.NDArray[np.bool_]

_PAYLOAD_TYPES: Final = 128
_GSM_FRAME: Final = (33, 160)  # octets, samples
_RATES: Final = range(4000, 192_001)  # outside of it a clock rate is a mistake, not a codec


class Kind(IntEnum):
    VOICE = 0
    NOISE = 1  # RFC 3389
    DIGITS = 2  # RFC 4733
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Format:
    """One codec as it was agreed. ``rate`` is that of its samples; 0 if it can be decoded at any."""

    label: str
    name: str
    clock_rate: int
    channels: int
    kind: Kind
    rate: int

    @classmethod
    def of(cls, codec: Codec) -> Format:
        name, clock = codec.name.upper(), codec.clock_rate
        kind = _kind(name, clock, codec.channels)
        rate = 0 if name == "OPUS" else 16_000 if name == "G722" else clock
        return cls(str(codec), name, clock, codec.channels, kind, rate)

    @property
    def remembers(self) -> bool:
        """Whether what a packet sounds like depends on the packets before it."""
        return self.name in ("G722", "GSM", "OPUS", "X-TRUESPEECH")

    def durations(self, packets: Packets, data: Bytes) -> Integers:
        """How long each packet sounds, in ticks of the RTP clock."""
        match self.name:
            case "PCMU" | "PCMA":
                return packets.length
            case "L16":
                return packets.length // (2 * self.channels)
            case "G722":
                return packets.length * self.clock_rate // 8000
            case "GSM":
                return packets.length // _GSM_FRAME[0] * _GSM_FRAME[1]
            case "X-TRUESPEECH":
                return packets.length // truespeech.FRAME_BYTES * truespeech.FRAME_SAMPLES
            case "OPUS":
                return opus_durations(packets, data) * self.clock_rate // 48_000
            case _:
                return np.zeros(len(packets), np.int64)


UNKNOWN: Final = Format("unknown", "", 8000, 1, Kind.UNKNOWN, 8000)


def formats(packets: Packets, events: Sequence[Event], side: int) -> tuple[list[Format], Integers]:
    """The formats of one side's packets, and for each packet the index of its own."""
    known = dict.fromkeys((UNKNOWN, *_STATIC.values()))
    indices = {each: index for index, each in enumerate(known)}
    agreed = [event for event in events if event.name == "codecs" and event.side == side]
    tables = np.zeros((1 + len(agreed), 256), np.int64)  # a damaged file may hold any octet
    for row, event in zip(tables, [None, *agreed], strict=True):
        meanings = _STATIC | _dynamic(event.body.get("payload_types") if event else None)
        for payload_type, meaning in meanings.items():
            row[payload_type] = indices.setdefault(meaning, len(indices))
    times = np.array([event.at for event in agreed], np.int64)
    times[:1] = 0  # what came before anything was agreed can only be what was agreed first
    times = np.maximum.accumulate(times)
    return list(indices), tables[np.searchsorted(times, packets.arrival, side="right"), packets.payload_type]


def opus_durations(packets: Packets, data: Bytes) -> Integers:
    """In samples at 48 kHz, from the first octets of each packet (RFC 6716 section 3.1)."""
    if not len(data):
        return np.zeros(len(packets), np.int64)
    last = len(data) - 1
    first = data[np.minimum(packets.start, last)].astype(np.int64)
    second = data[np.minimum(packets.start + 1, last)].astype(np.int64)
    counts = np.array([1, 2, 2, 0])[first & 3]
    counts = np.where((first & 3 == 3) & (packets.length > 1), second & 0x3F, counts)
    durations = np.minimum(_OPUS_FRAMES[first >> 3] * counts, 5760)
    return np.where(packets.length > 0, durations, 0)


def opus_rate(start: Integers, data: Bytes) -> int:
    """The sample rate that loses nothing of these packets: by their audio bandwidth, not by what was agreed."""
    return int(_OPUS_RATES[data[start] >> 3].max()) if len(start) else 8000


# By the configuration number, as below: narrow, medium, wide band; superwide, full; narrow, wide, superwide, full.
_OPUS_RATES: Final = np.repeat(
    [8000, 12_000, 16_000, 24_000, 48_000, 8000, 16_000, 24_000, 48_000], [4, 4, 4, 2, 2] + [4] * 4
)

# By the configuration number: SILK 10 to 60 ms three times, hybrid 10 and 20 ms twice, CELT 2.5 to 20 ms four times.
_OPUS_FRAMES: Final = np.array([480, 960, 1920, 2880] * 3 + [480, 960] * 2 + [120, 240, 480, 960] * 4)


def _kind(name: str, clock_rate: int, channels: int) -> Kind:
    if name == "TELEPHONE-EVENT":
        return Kind.DIGITS
    if clock_rate not in _RATES:
        return Kind.UNKNOWN
    if name == "CN":
        return Kind.NOISE
    decodable = name in DECODERS and (name in ("OPUS", "L16") or channels == 1) and channels <= 8
    at_8000_only = name in ("GSM", "X-TRUESPEECH")
    return Kind.VOICE if decodable and (not at_8000_only or clock_rate == 8000) else Kind.UNKNOWN


_STATIC: Final = {number: Format.of(Codec(number, *static)) for number, static in STATIC_CODECS.items()}


def _dynamic(payload_types: object) -> dict[int, Format]:
    found = {}
    for number, text in payload_types.items() if isinstance(payload_types, Mapping) else ():
        payload_type = int(number) if str(number).isdigit() and len(str(number)) <= 3 else _PAYLOAD_TYPES
        codec = Codec.described(payload_type, str(text), "")
        if payload_type < _PAYLOAD_TYPES and codec is not None:
            found[payload_type] = Format.of(codec)
    return found
