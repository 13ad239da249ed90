"""A received recording made small: the same timeline, coded anew, as records of a SASF file of content ``rendered``.

Each side becomes one RTP stream without loss or jitter: a packet arrives at the very time where its sound belongs, so
any reader places it there. Where a side is digitally silent for long there are no packets, and the sequence numbers go
on. Pauses are silent whatever their mode, and their events are kept: a player cuts them out as with the original.

Meta, events and telephone events are carried over, and END says what the quality of the original was. Not responsible
for the file around the records, its keys and its signature (``SasfWriter``), nor for which codec to take.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from mediaserverd.audio.decoding import Kind, formats
from mediaserverd.audio.encoding import GSM, NETWORK_PCM, PCMA, PCMU, SEGMENT_S, TRUESPEECH, WARM_UP, Coding
from mediaserverd.audio.opus import CLOCK, OpusSettings, OpusVoice
from mediaserverd.audio.pauses import pauses
from mediaserverd.audio.quality import Quality
from mediaserverd.audio.render import Rendering
from mediaserverd.audio.silence import A_LAW_IDLE, SilenceGate
from mediaserverd.audio.sound import Progress, Samples, Sound, unheard
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents, Event
from mediaserverd.protocol.sasf.excerpt import derived_header
from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.writer import SasfWriter

Compression: TypeAlias = Literal["opus", "gsm", "truespeech", "pcmu", "pcma", "l16"]

CHUNK_MS: Final = 5000  # for the writer: there is no power cut to be prepared for, and longer chunks are smaller
_DIGITS: Final = 101  # the payload type of telephone events
_SSRC: Final = 0x53415346  # of side 0; none that a lazy test tool takes for its telephone events
_UNITS_PER_MS: Final = UNITS_PER_SECOND // 1000


class NotCompressible(Exception):
    """Something in the recording would be lost: keep the original."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a side is packetized. ``coding`` None is Opus. ``silence``: the peak that counts as silence."""

    payload_type: int
    encoding_name: str
    packet_ms: int
    coding: Coding | None
    silence: int = A_LAW_IDLE

    def clock_rate(self, sample_rate: int) -> int:
        return sample_rate if self.coding else CLOCK

    def described(self, sample_rate: int) -> str:
        return f"{self.encoding_name}/{self.clock_rate(sample_rate)}" + ("" if self.coding else "/2")


# Several frames in a packet: the record around it costs 3 bytes.
_CODECS: Final[Mapping[Compression, _Codec]] = {
    "opus": _Codec(111, "opus", 60, None),
    "gsm": _Codec(3, "GSM", 100, GSM),
    "truespeech": _Codec(97, "x-truespeech", 120, TRUESPEECH),
    "pcmu": _Codec(0, "PCMU", 100, PCMU),
    "pcma": _Codec(8, "PCMA", 100, PCMA),
    "l16": _Codec(96, "L16", 100, NETWORK_PCM, silence=0),
}


def compress(
    contents: Contents,
    codec: Compression,
    writer: SasfWriter,
    progress: Progress = unheard,
    opus_settings: OpusSettings | None = None,
) -> Quality:
    """Writes all records and closes ``writer``. Returns the quality of the original, which END has too."""
    _check(contents)
    silenced = replace(contents, events=tuple(_silenced(event) for event in contents.events))
    sound = Rendering(silenced, sample_rate=None if codec in ("opus", "l16") else 8000)
    chosen = _CODECS[codec]
    writer.add_meta(contents.meta)
    _write_records(contents, sound, chosen, writer, progress, opus_settings or OpusSettings())
    masked = tuple(
        (pause.start // _UNITS_PER_MS, pause.end // _UNITS_PER_MS, pause.mode)
        for pause in pauses(contents.events, contents.duration)
    )
    quality = replace(sound.quality, masked=masked)
    end = dict(contents.end.body) if contents.end else {}
    reason = str(end.pop("reason", "recovered"))
    duration = sound.frames * UNITS_PER_SECOND // sound.sample_rate
    writer.close(duration, reason, end | {"quality": quality.as_json()})
    return quality


def rendered_header(original: Header, sha256: str, *, file_id: bytes, writer: str) -> Header:
    """Of the file to be written. ``sha256``: of the whole original, in hex; ``file_id``: fresh and random."""
    return derived_header(original, sha256, file_id=file_id, writer=writer, content="rendered")


def _check(contents: Contents) -> None:
    """What cannot be decoded today may be tomorrow, as long as it is there."""
    for side in (0, 1):
        packets = contents.packets.where(contents.packets.side == side)
        known, chosen = formats(packets, contents.events, side)
        for index in np.unique(chosen).tolist():
            if known[index].kind == Kind.UNKNOWN:
                raise NotCompressible(f"packets of {known[index].label} cannot be decoded and would be lost")


def _silenced(event: Event) -> Event:
    return replace(event, body=dict(event.body) | {"mode": "mask"}) if event.name == "pause" else event


def _write_records(
    contents: Contents, sound: Rendering, codec: _Codec, writer: SasfWriter, progress: Progress, opus: OpusSettings
) -> None:
    """All in the order of time; at one time, what payload types mean comes before the packets that have them."""
    described = {str(codec.payload_type): codec.described(sound.sample_rate), str(_DIGITS): "telephone-event/8000"}
    for side in (0, 1):
        writer.add_event(0, side, {"event": "codecs", "payload_types": described})
    streams: list[Iterator[Event | Packet]] = [iter(_events(contents)), _voices(sound, codec, opus)]
    streams += [_digits(contents, side) for side in (0, 1)]
    for record in heapq.merge(*streams, key=_time):
        match record:
            case Packet():
                writer.add_packet(record)
            case Event():
                writer.add_event(record.at, record.side, record.body)
        progress(_time(record) / max(1, contents.duration))


def _time(record: Event | Packet) -> int:
    return record.arrival if isinstance(record, Packet) else record.at


def _events(contents: Contents) -> list[Event]:
    """With what could not be read as an event too: behind the compression it is nothing but silence."""
    told = [
        replace(event, body=dict(event.body) | {"event": "received-codecs"}) if event.name == "codecs" else event
        for event in contents.events
    ]
    for span in contents.unreadable:
        ms = (span.end - span.start) // _UNITS_PER_MS
        told.append(Event(span.start, 0, {"event": "unreadable", "ms": ms, "why": span.why}))
    return sorted(told, key=lambda event: event.at)


def _voices(sound: Sound, codec: _Codec, opus: OpusSettings) -> Iterator[Packet]:
    rate = sound.sample_rate
    step, segment = codec.packet_ms * rate // 1000, SEGMENT_S * rate
    sides = [_Side(side, codec, rate, opus) for side in (0, 1)]
    for side in sides:
        side.settle(_heard(sound, 0, side.ahead))
    for first in range(0, sound.frames, segment):
        count = -(-min(segment, sound.frames - first) // step)
        before = min(first, WARM_UP)
        heard = _heard(sound, first - before, first + count * step + sides[0].ahead)
        packets = [side.packets(first, count, heard[:, side.number], before) for side in sides]
        yield from heapq.merge(*packets, key=_time)


class _Side:
    """Makes one stream of packets. ``ahead``: how many samples behind its own end a segment needs.

    An Opus decoder is late by ``pre_skip``, which RTP does not tell; so the encoder hears everything so much earlier.
    """

    def __init__(self, number: int, codec: _Codec, rate: int, opus: OpusSettings) -> None:
        self.number = number
        self._codec, self._rate, self._step = codec, rate, codec.packet_ms * rate // 1000
        self._opus = None if codec.coding else OpusVoice(rate, opus)
        self._gate = SilenceGate(codec.packet_ms, codec.silence)
        self._sequence, self._silent = 0, True
        self.ahead = self._opus.pre_skip if self._opus else 0

    def settle(self, beginning: Samples) -> None:
        if self._opus:
            silence = np.zeros(self._step - self.ahead, np.int16)
            self._opus.packets(np.concatenate((silence, beginning[:, self.number])))

    def packets(self, first: int, count: int, heard: Samples, before: int) -> Iterator[Packet]:
        """``heard``: from ``before`` samples before sample ``first`` on."""
        codec, clock = self._codec, self._codec.clock_rate(self._rate)
        for number, payload in enumerate(self._payloads(count, heard, before)):
            if payload is not None:
                at = first + number * self._step
                yield Packet(
                    self.number,
                    at * UNITS_PER_SECOND // self._rate,
                    codec.payload_type,
                    self._sequence % (1 << 16),
                    at * clock // self._rate % (1 << 32),
                    _SSRC + self.number,
                    payload,
                    marker=self._silent,
                )
                self._sequence += 1
            self._silent = payload is None

    def _payloads(self, count: int, heard: Samples, before: int) -> list[bytes | None]:
        """None where nothing is worth keeping."""
        samples = count * self._step
        if self._opus:
            return self._opus.packets(heard[before + self.ahead :][:samples])
        assert self._codec.coding is not None
        coding = self._codec.coding
        voice = heard[before:][:samples]
        encoded = coding.encode(voice, heard[:before] if coding.has_memory else None)
        size = coding.bytes_of(self._step)
        kept = self._gate.open_for(voice.reshape(count, self._step)).tolist()
        return [encoded[at * size : (at + 1) * size] if keep else None for at, keep in enumerate(kept)]


def _heard(sound: Sound, first: int, end: int) -> Samples:
    """Both sides from ``first`` up to ``end``, and silence behind the end of the sound."""
    heard = np.zeros((end - first, 2), np.int16)
    count = min(end, sound.frames) - first
    if count > 0:
        heard[:count] = sound.block(first, count)
    return heard


def _digits(contents: Contents, side: int) -> Iterator[Packet]:
    """Telephone events as they came, numbered anew for each source: between them was the voice."""
    packets = contents.packets.where(contents.packets.side == side)
    known, chosen = formats(packets, contents.events, side)
    kinds = np.array([each.kind for each in known])[chosen]
    sequences: dict[int, int] = {}
    for row in np.flatnonzero(kinds == Kind.DIGITS).tolist():
        ssrc = int(packets.ssrc[row])
        sequences[ssrc] = (sequences.get(ssrc, -1) + 1) % (1 << 16)
        start = int(packets.start[row])
        yield Packet(
            side,
            int(packets.arrival[row]),
            _DIGITS,
            sequences[ssrc],
            int(packets.timestamp[row]),
            ssrc,
            contents.data[start : start + int(packets.length[row])].tobytes(),
            marker=bool(packets.marker[row]),
        )
