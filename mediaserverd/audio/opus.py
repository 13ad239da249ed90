"""Two voices as Opus: each a mono stream of its own, so that neither party is ever heard on the other one's channel.

Opus joins the channels of a stereo stream where that saves bits. Here the two streams only share packets (RFC 7845
5.1.1, channel mapping family 1 with two streams, none coupled), which every decoder of the format plays as stereo.

Encoding is libopus as PyAV brings it: newer and faster than Debian's. A voice that is digitally silent for a while is
not encoded at all. Not responsible for containers (``ogg``, ``webm``) or SASF (``compress``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from mediaserverd.audio.render import SampleRate
from mediaserverd.audio.silence import SilenceGate
from mediaserverd.audio.sound import Progress, Samples, Sound, unheard

CLOCK: Final = 48_000  # of timestamps and granules, whatever the sample rate (RFC 7587 4.1)
SAMPLE_RATES: Final[tuple[SampleRate, ...]] = (8000, 16000, 48000)
PACKET_MS: Final = 60  # the longest without repeating headers inside; nothing is lost on the way to a file
_BLOCK_PACKETS: Final = 500  # 30 s


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """Complexity 5 costs a fifth less than 10, and is within a hundredth of it in STOI on telephone speech."""

    bits_per_s: int | None = None  # of each voice; None: as the bandwidth needs
    complexity: int = 5

    def rate_at(self, sample_rate: int) -> int:
        return self.bits_per_s or {8000: 16_000, 16000: 24_000}.get(sample_rate, 32_000)


class OpusVoice:
    """Encodes one voice, in order. ``pre_skip``: by how many samples what is decoded is later than what was encoded."""

    def __init__(self, sample_rate: int, settings: OpusSettings) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = sample_rate
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = settings.rate_at(sample_rate)
        context.time_base = Fraction(1, sample_rate)
        context.options = {
            "application": "voip",
            "compression_level": str(settings.complexity),
            "frame_duration": str(PACKET_MS),
        }
        context.open()
        self._context = context
        self._sample_rate = sample_rate
        self._gate = SilenceGate(PACKET_MS)
        self.packet_samples = sample_rate * PACKET_MS // 1000
        (clock_skip,) = struct.unpack_from("<H", context.extradata or b"", 10)
        self.pre_skip: int = clock_skip * sample_rate // CLOCK

    def packets(self, samples: Samples) -> list[bytes | None]:
        """The packets of so many samples (a multiple of a packet's); None: as silent as the packet before."""
        packets = samples.reshape(-1, self.packet_samples)
        spoken = self._gate.open_for(packets)
        heard = packets[spoken]
        encoded = iter(self._encoded(heard.reshape(1, -1)) if len(heard) else ())
        return [next(encoded) if worth else None for worth in spoken.tolist()]

    def _encoded(self, heard: Samples) -> list[bytes]:
        frame = av.AudioFrame.from_ndarray(heard, format="s16", layout="mono")
        frame.sample_rate = self._sample_rate
        return [bytes(packet) for packet in self._context.encode(frame)]


@dataclass(frozen=True, slots=True)
class OpusTrack:
    """What a container must know of a track. ``length`` and ``pre_skip`` in units of ``CLOCK``."""

    sample_rate: int
    pre_skip: int
    length: int

    @property
    def packet_length(self) -> int:
        return PACKET_MS * CLOCK // 1000

    @property
    def packets(self) -> int:
        return -(-(self.length + self.pre_skip) // self.packet_length)

    def head(self) -> bytes:
        """OpusHead (RFC 7845 5.1): two channels, two streams, none coupled; stream 0 is left, stream 1 right."""
        fields = struct.pack("<BBHIhB", 1, 2, self.pre_skip, self.sample_rate, 0, 1)
        return b"OpusHead" + fields + bytes((2, 0, 0, 1))


class TwoVoices:
    """A sound as packets that hold both voices."""

    def __init__(self, sound: Sound, settings: OpusSettings) -> None:
        self._sound = sound
        self._voices = [OpusVoice(sound.sample_rate, settings) for _ in range(2)]
        scale = CLOCK // sound.sample_rate
        self.track = OpusTrack(sound.sample_rate, self._voices[0].pre_skip * scale, sound.frames * scale)

    def packets(self, progress: Progress = unheard) -> Iterator[bytes]:
        samples, frames = self._voices[0].packet_samples, self._sound.frames
        last = (b"", b"")
        for first in range(0, self.track.packets, _BLOCK_PACKETS):
            wanted = min(_BLOCK_PACKETS, self.track.packets - first) * samples
            block = np.zeros((wanted, 2), np.int16)
            heard = max(0, min(wanted, frames - first * samples))
            block[:heard] = self._sound.block(first * samples, heard)
            left, right = (voice.packets(block[:, side]) for side, voice in enumerate(self._voices))
            # Silence is said again. Packets that say "nothing was sent" would be shorter; FFmpeg plays noise for them.
            for one, other in zip(left, right, strict=True):
                last = (one or last[0], other or last[1])
                yield self_delimited(last[0]) + last[1]
            progress(min(1.0, (first + _BLOCK_PACKETS) / self.track.packets))


def self_delimited(packet: bytes) -> bytes:
    """The same packet in the framing that says its own length (RFC 6716 appendix B), for all streams but the last."""
    code = packet[0] & 3
    if code == 0:
        return packet[:1] + _length(len(packet) - 1) + packet[1:]
    if code == 1:
        return packet[:1] + _length((len(packet) - 1) // 2) + packet[1:]
    if code == 2:
        first, at = _read_length(packet, 1)
        return packet[:at] + _length(len(packet) - at - first) + packet[at:]
    return _self_delimited_many(packet)


def _self_delimited_many(packet: bytes) -> bytes:
    """Code 3: a count, padding, and lengths of all frames but the last; the missing length goes behind them."""
    variable, padded, frames = packet[1] & 0x80, packet[1] & 0x40, packet[1] & 0x3F
    at, padding = 2, 0
    while padded:
        octet = packet[at]
        at += 1
        padding += min(octet, 254)
        padded = octet == 255
    known = 0
    for _ in range(frames - 1 if variable else 0):
        length, at = _read_length(packet, at)
        known += length
    rest = len(packet) - at - padding - known
    return packet[:at] + _length(rest if variable else rest // frames) + packet[at:]


def _length(octets: int) -> bytes:
    """RFC 6716 3.2.1."""
    if octets < 252:
        return bytes((octets,))
    first = 252 + (octets & 3)
    return bytes((first, (octets - first) // 4))


def _read_length(packet: bytes, at: int) -> tuple[int, int]:
    first = packet[at]
    return (first, at + 1) if first < 252 else (first + 4 * packet[at + 1], at + 2)
