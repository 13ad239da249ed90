"""The audio files that a recording can become, by name; and how to make them, whole or in part.

Left is the calling party, right the called one, and neither is ever heard on the other's channel, whatever the format.
GSM 06.10 and TrueSpeech in WAV know one channel only: both parties are mixed, and the name of the file says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from mediaserverd.audio import mp3, opus
from mediaserverd.audio.mp3 import write_mp3
from mediaserverd.audio.ogg import write_ogg
from mediaserverd.audio.opus import OpusSettings, TwoVoices
from mediaserverd.audio.render import Rendering, SampleRate
from mediaserverd.audio.sound import Progress, Sound, unheard
from mediaserverd.audio.wav import WAV_GSM, WAV_PCM, WAV_PCMA, WAV_PCMU, WAV_TRUESPEECH, WavFile, WavFormat
from mediaserverd.audio.webm import write_webm
from mediaserverd.protocol.sasf.contents import Contents

_TELEPHONE: Final[tuple[SampleRate, ...]] = (8000,)
_ANY: Final[tuple[SampleRate, ...]] = (8000, 16000, 48000)


class UnknownFormat(Exception):
    """Nothing of this name, or a sample rate that it does not take, or a part of a file that has no parts."""


@dataclass(frozen=True, slots=True)
class Format:
    """``wav``: how the WAV file is coded; None in formats whose size is known only when they are made."""

    name: str
    suffix: str
    media_type: str
    sample_rates: tuple[SampleRate, ...]
    channels: int = 2
    wav: WavFormat | None = None

    @property
    def has_ranges(self) -> bool:
        """Whether ``size`` and ``parts`` work: any part of the file can be made by itself."""
        return self.wav is not None

    def sample_rate_for(self, best: int) -> SampleRate:
        """The rate to render at, where the recording itself has ``best``."""
        return min((rate for rate in self.sample_rates if rate >= best), default=max(self.sample_rates))


_ALL: Final = (
    Format("wav-pcm", ".wav", "audio/wav", _ANY, wav=WAV_PCM),
    Format("wav-pcmu", ".wav", "audio/wav", _TELEPHONE, wav=WAV_PCMU),
    Format("wav-pcma", ".wav", "audio/wav", _TELEPHONE, wav=WAV_PCMA),
    Format("wav-gsm", ".mono.wav", "audio/wav", _TELEPHONE, 1, WAV_GSM),
    Format("wav-truespeech", ".mono.wav", "audio/wav", _TELEPHONE, 1, WAV_TRUESPEECH),
    Format("ogg-opus", ".ogg", "audio/ogg", opus.SAMPLE_RATES),
    Format("webm-opus", ".webm", "audio/webm", opus.SAMPLE_RATES),
    Format("mp3", ".mp3", "audio/mpeg", mp3.SAMPLE_RATES),
)
FORMATS: Final = {form.name: form for form in _ALL}


def find_format(name: str) -> Format:
    if name not in FORMATS:
        raise UnknownFormat(f"no audio format {name[:32]!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def rendered(contents: Contents, form: Format) -> Rendering:
    """At the rate that suits the recording and the format."""
    best = Rendering(contents)
    rate = form.sample_rate_for(best.sample_rate)
    return best if rate == best.sample_rate else Rendering(contents, sample_rate=rate)


def encode(
    sound: Sound,
    form: Format,
    target: BinaryIO,
    progress: Progress = unheard,
    opus_settings: OpusSettings | None = None,
) -> None:
    """The whole file, from first byte to last: ``target`` may be a pipe. Needs memory for a minute of sound."""
    _check(sound, form)
    if form.wav is not None:
        _write_wav(WavFile(sound, form.wav), target, progress)
    elif form.name == "mp3":
        write_mp3(sound, target, progress)
    else:
        voices = TwoVoices(sound, opus_settings or OpusSettings())
        write = write_ogg if form.name == "ogg-opus" else write_webm
        write(voices.track, voices.packets(progress), target)


def wav_size(sound: Sound, form: Format) -> int:
    return _wav_file(sound, form).size


def wav_parts(sound: Sound, form: Format, first_byte: int, last_byte: int) -> Iterator[bytes]:
    """The bytes of the range, ``last_byte`` included, in parts that are small whatever the range."""
    return _wav_file(sound, form).parts(first_byte, last_byte + 1)


def wav_range(sound: Sound, form: Format, first_byte: int, last_byte: int) -> bytes:
    return b"".join(wav_parts(sound, form, first_byte, last_byte))


def _wav_file(sound: Sound, form: Format) -> WavFile:
    _check(sound, form)
    if form.wav is None:
        raise UnknownFormat(f"{form.name} has no size before it is made, and no ranges")
    return WavFile(sound, form.wav)


def _write_wav(file: WavFile, target: BinaryIO, progress: Progress) -> None:
    written = 0
    for part in file.parts(0, file.size):
        target.write(part)
        written += len(part)
        progress(written / file.size)


def _check(sound: Sound, form: Format) -> None:
    if sound.sample_rate not in form.sample_rates:
        rates = ", ".join(map(str, form.sample_rates))
        raise UnknownFormat(f"{form.name} takes sample rates of {rates} Hz, not {sound.sample_rate}")
