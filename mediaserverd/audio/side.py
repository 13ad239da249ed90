"""One side of a recording: what it sent, placed and ready to be heard, and what there is to say about its reception."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mediaserverd.audio import concealment
from mediaserverd.audio.concealment import Columns, Gaps
from mediaserverd.audio.decoding import Flags, Format, Kind, formats, opus_rate
from mediaserverd.audio.quality import SideQuality
from mediaserverd.audio.reception import Reception, jitter_ms, reception
from mediaserverd.audio.timeline import Floats, Reports, Source, Stretch, groups, stretches, unwrapped
from mediaserverd.audio.track import NoiseTrack, Track, VoiceTrack
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Contents, Integers, Packets

_CLOCK_BITS: Final = 24  # a clock rate has at most seven digits
_USUAL: Final = 5000  # packets: a hundred seconds tell how long the packets of a side are
_DIGITS: Final = 16  # events 0 to 15 are keys (RFC 4733 3.2)


@dataclass(frozen=True, slots=True)
class Packetized:
    """The packets of one side and what each one carries, as columns. ``duration`` is in ticks."""

    number: int
    packets: Packets
    formats: list[Format]
    format: Integers
    kind: Integers
    clock_rate: Integers
    duration: Integers

    @classmethod
    def of(cls, contents: Contents, number: int) -> Packetized:
        packets = contents.packets.where(np.flatnonzero(contents.packets.side == number))
        known, chosen = formats(packets, contents.events, number)
        duration = np.zeros(len(packets), np.int64)
        for index in np.unique(chosen).tolist():
            rows = np.flatnonzero(chosen == index)
            some = packets if len(rows) == len(packets) else packets.where(rows)
            duration[rows] = known[index].durations(some, contents.data)
        kind = np.array([each.kind for each in known])[chosen]
        kind[(kind == Kind.VOICE) & (duration == 0)] = Kind.UNKNOWN  # too short to be what it claims to be
        clock_rate = np.array([each.clock_rate for each in known])[chosen]
        return cls(number, packets, known, chosen, kind, clock_rate, duration)

    @property
    def usual_duration(self) -> float | None:
        """Of a packet of voice, in units of 125 us."""
        voice = np.flatnonzero(self.kind == Kind.VOICE)[:_USUAL]
        if not len(voice):
            return None
        return float(np.median(self.duration[voice] / self.clock_rate[voice])) * UNITS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Side:
    """``begin``, ``end``: of each track, in units of 125 us. ``error_at``, ``errors``: as in ``Stretch``, of all."""

    tracks: tuple[Track, ...]
    begin: Floats
    end: Floats
    rates: frozenset[int]
    error_at: Floats
    errors: Floats
    quality: SideQuality

    def between(self, begin: float, end: float) -> Iterable[Track]:
        return (self.tracks[index] for index in np.flatnonzero((self.begin < end) & (self.end > begin)))


def side(contents: Contents, sent: Packetized, lead: float, borders: Integers) -> Side:
    """``lead``: see ``timeline.stretches``. ``borders``: where epochs begin (``reception``)."""
    epoch = np.searchsorted(borders, sent.packets.arrival, side="right")
    heard = reception(sent.packets, epoch)
    columns = Columns(
        sequence=heard.sequence,
        rank=heard.rank,
        epoch=epoch,
        duration=sent.duration,
        format=sent.format,
        noise=sent.kind == Kind.NOISE,
        opus=np.array([each.name == "OPUS" for each in sent.formats])[sent.format],
    )
    placed = _placed(contents, sent, heard.first, lead)
    tracks: list[Track] = []
    concealed = noise = 0.0
    for stretch in placed:
        found = concealment.gaps(stretch, columns)
        concealed += float(found.length[found.lost].sum()) / stretch.clock_rate
        tracks += _voices(sent, stretch, found)
        quiet = _noise(sent, stretch, columns)
        noise += sum(float((each.ends - each.starts).sum()) for each in quiet) / stretch.clock_rate
        noise += float(found.length[~found.lost].sum()) / stretch.clock_rate
        tracks += quiet
    return Side(
        tracks=tuple(tracks),
        begin=np.array([track.begin for track in tracks]),
        end=np.array([track.end for track in tracks]),
        rates=frozenset(
            track.format.rate or opus_rate(track.start, contents.data)
            for track in tracks
            if isinstance(track, VoiceTrack)
        ),
        error_at=np.concatenate([np.empty(0), *(stretch.error_at for stretch in placed)]),
        errors=np.concatenate([np.empty(0), *(stretch.errors for stretch in placed)]),
        quality=_quality(contents, sent, heard, placed, round(concealed * 1000), round(noise * 1000)),
    )


def _placed(contents: Contents, sent: Packetized, first: Flags, lead: float) -> list[Stretch]:
    """All that is heard of a side, source by source: SSRC and clock rate, as timestamps only compare within one."""
    chosen = np.flatnonzero(first & ((sent.kind == Kind.VOICE) | (sent.kind == Kind.NOISE)))
    packets = sent.packets
    placed: list[Stretch] = []
    for group in groups((packets.ssrc[chosen] << _CLOCK_BITS) | sent.clock_rate[chosen]):
        rows = chosen[group]
        source = Source(
            rows=rows,
            arrival=packets.arrival[rows],
            timestamp=unwrapped(packets.timestamp[rows], 32),
            duration=sent.duration[rows],
            clock_rate=int(sent.clock_rate[rows[0]]),
        )
        ssrc, base = int(packets.ssrc[rows[0]]), int(packets.timestamp[rows[0]])
        told = [each for each in contents.sender_reports if (each.side, each.ssrc) == (sent.number, ssrc)]
        placed += stretches(source, Reports.of(told, source, base), lead)
    return placed


def _voices(sent: Packetized, stretch: Stretch, found: Gaps) -> list[VoiceTrack]:
    tracks = []
    for group in groups(sent.format[stretch.rows]):
        rows = stretch.rows[group]
        if sent.kind[rows[0]] == Kind.NOISE:
            continue
        timestamp, duration = stretch.timestamp[group], sent.duration[rows]
        longest = int(duration.max())
        begin, end = stretch.times(np.array([min(timestamp[0], found.at[group[0]]), timestamp[-1] + longest]))
        tracks.append(
            VoiceTrack(
                stretch=stretch,
                begin=float(begin),
                end=float(end),
                format=sent.formats[int(sent.format[rows[0]])],
                timestamp=timestamp,
                start=sent.packets.start[rows],
                length=sent.packets.length[rows],
                gap_at=found.at[group],
                gap=found.length[group],
                longest=longest,
            )
        )
    return tracks


def _noise(sent: Packetized, stretch: Stretch, columns: Columns) -> list[NoiseTrack]:
    spans = concealment.noises(stretch, columns)
    if not spans:
        return []
    starts, ends = (np.array([getattr(span, name) for span in spans]) for name in ("start", "end"))
    rows = np.array([span.row for span in spans])
    begin, end = stretch.times(np.array([starts[0], ends.max()]))
    payload = np.stack((sent.packets.start[rows], sent.packets.length[rows]), axis=1)
    salt = (sent.number << 60) + (int(sent.packets.ssrc[rows[0]]) << 28)
    return [NoiseTrack(stretch, float(begin), float(end), starts, ends, payload, salt)]


def _quality(
    contents: Contents, sent: Packetized, heard: Reception, placed: Sequence[Stretch], concealed_ms: int, noise_ms: int
) -> SideQuality:
    longest = max(placed, key=lambda stretch: len(stretch.rows), default=None)
    indices, since = np.unique(sent.format, return_index=True)
    present = [sent.formats[index] for index in indices[np.argsort(since)].tolist()]
    return SideQuality(
        packets=len(sent.packets),
        expected=heard.expected,
        received=heard.received,
        late=heard.late,
        lost=heard.lost,
        duplicates=heard.duplicates,
        concealed_ms=concealed_ms,
        undecodable=int(np.count_nonzero(heard.first & (sent.kind == Kind.UNKNOWN))),
        ssrc_changes=heard.ssrc_changes,
        codecs=tuple(each.label for each in present if each.kind in (Kind.VOICE, Kind.UNKNOWN)),
        jitter_ms=round(_jitter_ms(sent, longest), 3),
        drift_ppm=round(-longest.drift * 1e6, 1) if longest and longest.drift else 0.0,
        comfort_noise_ms=noise_ms,
        dtmf=_digits(sent, contents),
    )


def _jitter_ms(sent: Packetized, stretch: Stretch | None) -> float:
    if stretch is None:
        return 0.0
    order = np.argsort(stretch.rows, kind="stable")
    spoken = stretch.timestamp[order].astype(np.float64) * (UNITS_PER_SECOND / stretch.clock_rate)
    return jitter_ms(sent.packets.arrival[stretch.rows[order]], spoken)


def _digits(sent: Packetized, contents: Contents) -> int:
    """Every packet of one event has the timestamp of its beginning (RFC 4733 2.2.2)."""
    rows = np.flatnonzero((sent.kind == Kind.DIGITS) & (sent.packets.length > 0))
    rows = rows[contents.data[sent.packets.start[rows]] < _DIGITS]
    return len({*zip(sent.packets.ssrc[rows].tolist(), sent.packets.timestamp[rows].tolist(), strict=True)})
