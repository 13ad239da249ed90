"""What it costs to make an audio file of a recorded call, beside FFmpeg (through PyAV) making the same of a WAV file.

``python -m bench.conversion`` prints CPU seconds of one core and the ratio to FFmpeg's, both of this run. Ours begins
with the packets of both sides as a reader hands them out, places and decodes them; FFmpeg begins with both sides in one
file, decoded and aligned for it. Encoders are the same libraries with the same settings.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import av
import numpy as np
import typer
from av.audio.stream import AudioStream
from rich.console import Console
from rich.table import Table

from mediaserverd.audio.encoding import PCMU
from mediaserverd.audio.formats import encode, find_format, rendered
from mediaserverd.audio.opus import PACKET_MS, OpusSettings
from mediaserverd.audio.sound import Samples
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents, Event, Packets
from tests.kit.speech import speech

_RATE: Final = 8000
_PACKET: Final = 160
_VOICE_S: Final = 120.0  # of speech, said again until the call is over
_OPUS: Final = OpusSettings()
_FFMPEG: Final = {
    "wav-pcm": ("wav", "pcm_s16le", _RATE, 0, {}),
    "ogg-opus": (
        "ogg",
        "libopus",
        _RATE,
        2 * _OPUS.rate_at(_RATE),
        {"application": "voip", "compression_level": str(_OPUS.complexity), "frame_duration": str(PACKET_MS)},
    ),
    "mp3": ("mp3", "libmp3lame", 16_000, 64_000, {"joint_stereo": "0"}),
}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    ours_s: float
    ffmpeg_s: float
    size: int
    ffmpeg_size: int

    @property
    def ratio(self) -> float:
        return self.ours_s / self.ffmpeg_s


def measure(name: str, voices: Samples, tries: int = 1) -> Row:
    """The best of so many tries of each, taken in turns."""
    recorded, file = recorded_call(voices), wav_file(voices)
    ours, theirs = [], []
    for _ in range(tries):
        ours.append(_timed(lambda: _ours(recorded, name)))
        theirs.append(_timed(lambda: _ffmpeg(file, name)))
    return Row(name, min(ours)[0], min(theirs)[0], ours[0][1], theirs[0][1])


def voices(seconds: float) -> Samples:
    """Two parties, both speaking all the time: nothing is saved by what is not said."""
    some = [speech(seed, min(seconds, _VOICE_S)) for seed in (1, 2)]
    return np.stack([np.resize(voice, round(seconds * _RATE) // _PACKET * _PACKET) for voice in some], axis=1)


def recorded_call(spoken: Samples) -> Contents:
    """Both sides in packets of 20 ms of PCMU, as a reader hands them out."""
    count = len(spoken) // _PACKET
    number = np.repeat(np.arange(count), 2)
    side = np.tile(np.array([0, 1]), count)
    zero = np.zeros(2 * count, np.int64)
    octets = np.frombuffer(PCMU.encode(np.ascontiguousarray(spoken.T)), np.uint8)
    packets = Packets(
        side=side,
        arrival=number * _PACKET,
        payload_type=zero,
        marker=zero,
        sequence=number % (1 << 16),
        timestamp=number * _PACKET % (1 << 32),
        ssrc=side + 7,
        start=side * len(spoken) + number * _PACKET,
        length=zero + _PACKET,
    )
    duration = count * _PACKET * UNITS_PER_SECOND // _RATE
    return Contents({}, packets, (), (), Event(duration, 0, {"reason": "stopped"}), duration, (), octets)


def wav_file(spoken: Samples) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="wav") as container:
        stream = container.add_stream("pcm_mulaw", rate=_RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(spoken).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = _RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _ours(recorded: Contents, name: str) -> int:
    form = find_format(name)
    target = io.BytesIO()
    encode(rendered(recorded, form), form, target, opus_settings=_OPUS)
    return target.tell()


def _ffmpeg(file: bytes, name: str) -> int:
    container_name, codec, rate, bits_per_s, options = _FFMPEG[name]
    target = io.BytesIO()
    with av.open(io.BytesIO(file), "r") as source, av.open(target, "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo", options=options)
        assert isinstance(stream, AudioStream)
        if bits_per_s:
            stream.bit_rate = bits_per_s
        for frame in source.decode(audio=0):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return len(target.getvalue())


def _timed(made: Callable[[], int]) -> tuple[float, int]:
    began = time.process_time()
    size = made()
    return time.process_time() - began, size


def main(
    minutes: Annotated[float, typer.Option(help="How long the call is.", min=0.1, max=600)] = 60.0,
    tries: Annotated[int, typer.Option(help="How often each is measured.", min=1, max=10)] = 2,
    only: Annotated[str, typer.Option(help="These formats, with commas.")] = ",".join(_FFMPEG),
) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    spoken = voices(minutes * 60)
    table = Table(title=f"A call of {minutes:g} minutes, two sides in G.711, to a file")
    for title in ("format", "ours, CPU s", "FFmpeg, CPU s", "ratio", "times real time", "ours, MB", "FFmpeg, MB"):
        table.add_column(title, justify="right")
    for name in only.split(","):
        row = measure(name, spoken, tries)
        sizes = [f"{size / 1e6:.1f}" for size in (row.size, row.ffmpeg_size)]
        speed = f"{minutes * 60 / row.ours_s:,.0f}"
        table.add_row(name, f"{row.ours_s:.2f}", f"{row.ffmpeg_s:.2f}", f"{row.ratio:.2f}", speed, *sizes)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
