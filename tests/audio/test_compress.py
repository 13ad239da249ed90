from __future__ import annotations

import hashlib
import io
from typing import Final

import numpy as np
import pytest
from pystoi import stoi

from mediaserverd.audio.compress import CHUNK_MS, Compression, NotCompressible, compress, rendered_header
from mediaserverd.audio.encoding import PCMU
from mediaserverd.audio.formats import FORMATS, rendered
from mediaserverd.audio.render import Rendering
from mediaserverd.audio.sound import Samples
from mediaserverd.protocol.sasf.contents import Contents, Event, Span
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.verify import verify
from mediaserverd.protocol.sasf.writer import SasfWriter
from tests.audio.recorded import Rtp, codecs, contents, event, packetized, stream
from tests.kit.judge import judge
from tests.kit.speech import RATE, speech
from tests.protocol.sasf.files import RECIPIENT, SIGNER, SIGNER_PUBLIC, header

_SECONDS: Final = 33.0  # more than one segment
_KEY: Final = bytes(32)
# GSM has a model of throats, not of the running tone that every voice of the kit begins with.
# Of each codec the least correlation per second, STOI and the most bits per second of both sides together.
_CODECS: Final[dict[Compression, tuple[float, float, float]]] = {
    "opus": (0.93, 0.93, 36_000),
    "gsm": (0.75, 0.85, 28_000),
    "truespeech": (0.85, 0.92, 20_000),
    "pcmu": (0.98, 0.98, 131_000),
    "pcma": (0.98, 0.98, 131_000),
    "l16": (0.99, 0.98, 262_000),
}


def _call(*events: Event, seconds: float = _SECONDS, more: tuple[Rtp, ...] = (), **options: object) -> Contents:
    voices = [PCMU.encode(speech(seed, seconds)) for seed in (1, 2)]
    packets = [*stream(0, voices[0]), *stream(1, voices[1], start_ms=7.5, ssrc=0x999), *more]
    return contents(packets, *events, duration_ms=seconds * 1000, **options)  # type: ignore[arg-type]


def _compressed(original: Contents, codec: Compression) -> bytes:
    target = io.BytesIO()
    head = rendered_header(header("aes-256-gcm"), "ab" * 32, file_id=bytes(range(16)), writer="recorder-1")
    writer = SasfWriter(target, head, SIGNER, _KEY, [RECIPIENT.public_key()], chunk_ms=CHUNK_MS)
    compress(original, codec, writer)
    return target.getvalue()


def _heard(of: Contents) -> Samples:
    rendering = Rendering(of, sample_rate=8000)
    return rendering.block(0, rendering.frames)


@pytest.mark.parametrize("codec", _CODECS)
def test_a_compressed_recording_read_again_is_the_original_on_the_same_timeline(codec: Compression) -> None:
    original = _call()
    file = _compressed(original, codec)
    reader = SasfReader(file, [RECIPIENT])
    assert verify(reader, [SIGNER_PUBLIC]).ok
    before, after = _heard(original), _heard(reader.contents())
    assert after.shape == before.shape
    correlation, intelligible, bits_per_s = _CODECS[codec]
    for side in (0, 1):
        verdict = judge(before[:, side], after[:, side])
        assert verdict.faults(seconds=32, correlation=correlation, drift_ms=1.0) == []
        assert all(abs(lag) <= 1.0 for lag in verdict.lags_ms)
        assert stoi(before[:, side], after[:, side], RATE) > intelligible
    assert len(file) * 8 / _SECONDS < bits_per_s


def test_l16_in_a_compressed_recording_is_sample_for_sample_what_was_rendered() -> None:
    original = _call()
    assert np.array_equal(_heard(original), _heard(SasfReader(_compressed(original, "l16"), [RECIPIENT]).contents()))


def test_drift_and_loss_are_repaired_once_and_the_quality_of_the_original_is_kept() -> None:
    voices = [PCMU.encode(speech(seed, _SECONDS)) for seed in (1, 2)]
    packets = stream(0, voices[0], clock_ppm=150) + stream(1, voices[1], clock_ppm=-150, ssrc=0x999)
    lossy = [packet for index, packet in enumerate(packets) if index % 50 != 7]
    original = contents(lossy, duration_ms=_SECONDS * 1000, tap_overflow=3)
    read = SasfReader(_compressed(original, "opus"), [RECIPIENT]).contents()
    assert read.end is not None
    kept = read.end.body["quality"]
    assert kept == Rendering(original).quality.as_json()
    assert kept["degraded"]
    assert [side["lost"] > 20 for side in kept["sides"]] == [True, True]
    assert [side.lost for side in Rendering(read).quality.sides] == [0, 0]
    before, after = _heard(original), _heard(read)
    for side in (0, 1):
        assert all(abs(lag) <= 1.0 for lag in judge(before[:, side], after[:, side]).lags_ms)


@pytest.mark.parametrize("mode", ["mask", "omit"])
def test_a_pause_is_played_as_in_the_original(mode: str) -> None:
    events = (event(10_000, 0, "pause", mode=mode, secure=True, by="alice"), event(14_000, 0, "resume", by="alice"))
    whole = _call(seconds=20.0)
    spoken = (whole.packets.arrival < 10_000 * 8) | (whole.packets.arrival >= 14_000 * 8)
    paused = _call(*events, seconds=20.0)
    paused = Contents(
        paused.meta,
        paused.packets.where(spoken),
        paused.events,
        paused.sender_reports,
        paused.end,
        paused.duration,
        paused.unreadable,
        paused.data,
    )
    read = SasfReader(_compressed(paused, "opus"), [RECIPIENT]).contents()
    assert [each for each in read.events if each.name == "pause"] == [
        each for each in paused.events if each.name == "pause"
    ]
    before, after = Rendering(paused, sample_rate=8000), Rendering(read, sample_rate=8000)
    assert after.frames == before.frames == round((20.0 if mode == "mask" else 16.2) * RATE)
    assert after.quality.masked == before.quality.masked
    assert read.end is not None
    assert read.end.body["quality"]["masked"] == [[10_000, 14_000, mode]]
    heard = [rendering.block(0, rendering.frames) for rendering in (before, after)]
    for side in (0, 1):
        for part in (slice(0, 10 * RATE), slice(before.frames - 6 * RATE, before.frames)):
            verdict = judge(heard[0][part, side], heard[1][part, side])
            assert verdict.worst > 0.9
            assert abs(verdict.lag_ms) <= 1.0


def test_long_silence_takes_no_room_and_shifts_nothing() -> None:
    voice = speech(1, 6.0)
    packets = stream(0, PCMU.encode(voice)) + stream(
        0, PCMU.encode(voice), start_ms=60_000, sequence=300, timestamp=480_000, ssrc=0x1234
    )
    original = contents(packets, duration_ms=70_000)
    for codec in _CODECS:
        read = SasfReader(_compressed(original, codec), [RECIPIENT]).contents()
        sounding_s = len(read.packets) * {"opus": 0.06, "truespeech": 0.12}.get(codec, 0.1)
        assert 12.0 <= sounding_s < 13.5
        assert not (read.packets.side == 1).any() or sounding_s < 13.5
        before, after = _heard(original), _heard(read)
        for at in (0, 60 * RATE):
            part = slice(at, at + 6 * RATE)
            verdict = judge(before[part, 0], after[max(0, at - 80) : at + 6 * RATE, 0])
            assert verdict.worst > 0.75
            assert abs(verdict.lag_ms - (10.0 if at else 0.0)) <= 1.0
        assert np.abs(after[:, 1]).max() <= 16  # -66 dB, of GSM


def test_meta_events_digits_and_what_could_not_be_read_are_carried_over() -> None:
    digit = [
        Rtp(1, 5000 + 20 * number, 700 + number, 90_000, bytes((5, 10, 0, 160)), 101, ssrc=0x999) for number in range(3)
    ]
    original = _call(
        event(3000, 0, "hold"),
        event(4000, 1, "transfer", to="300"),
        codecs({"8": "PCMA/8000", "101": "telephone-event/8000"}, side=1, ms=4500),
        more=tuple(digit),
        unreadable=[Span(80_000, 88_000, "tampered at chunk 25")],
    )
    original = Contents(
        {"encoding": "audio/opus", "metadata": {"a": 1}}, *(getattr(original, name) for name in Contents.__slots__[1:])
    )
    read = SasfReader(_compressed(original, "opus"), [RECIPIENT]).contents()
    assert read.meta == original.meta
    assert [(each.at, each.side, each.name) for each in read.events if each.name in ("hold", "transfer")] == [
        (24_000, 0, "hold"),
        (32_000, 1, "transfer"),
    ]
    assert [each.body for each in read.events if each.name == "unreadable"] == [
        {"event": "unreadable", "ms": 1000, "why": "tampered at chunk 25"}
    ]
    assert len([each for each in read.events if each.name == "received-codecs"]) == 3
    digits = read.packets.where(read.packets.payload_type == 101)
    assert digits.arrival.tolist() == [40_000, 40_160, 40_320]
    assert read.data[digits.start[0] : digits.start[0] + 4].tolist() == [5, 10, 0, 160]
    assert [side.lost for side in Rendering(read).quality.sides] == [0, 0]
    assert [side.dtmf for side in Rendering(read).quality.sides] == [0, 1]


def test_a_recording_with_a_codec_that_nobody_decodes_is_not_compressed() -> None:
    foreign = packetized(0, [bytes(50)] * 10, payload_type=97)
    original = contents(foreign, codecs({"97": "iLBC/8000"}), duration_ms=1000)
    with pytest.raises(NotCompressible, match="iLBC/8000 cannot be decoded and would be lost"):
        _compressed(original, "opus")


def test_an_empty_recording_and_one_that_broke_off_become_files_too() -> None:
    for original in (contents([], duration_ms=0), _call(seconds=2.0, closed=False)):
        read = SasfReader(_compressed(original, "gsm"), [RECIPIENT]).contents()
        assert read.duration == pytest.approx(original.duration, abs=200)
        assert read.end is not None
        assert read.end.body["reason"] == ("stopped" if original.end else "recovered")


def test_the_header_names_the_original() -> None:
    original = header("aes-256-gcm")
    digest = hashlib.sha256(b"the file").hexdigest()
    made = rendered_header(original, digest, file_id=bytes(16), writer="recorder-1")
    assert made.content == "rendered"
    assert made.source == {"sha256": digest, "signer": "", "file_id": original.file_id.hex()}
    assert (made.recording_id, made.segment, made.created_ns) == (
        original.recording_id,
        original.segment,
        original.created_ns,
    )


def test_a_compressed_telephone_call_is_played_at_the_rate_of_telephones() -> None:
    read = SasfReader(_compressed(_call(seconds=5.0), "opus"), [RECIPIENT]).contents()
    assert Rendering(read).sample_rate == 8000
    assert [rendered(read, form).sample_rate for form in FORMATS.values()] == [
        form.sample_rates[0] for form in FORMATS.values()
    ]
