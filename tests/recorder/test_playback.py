"""Stored SASF recordings as listeners get them: every format, any range, and nothing without the right key."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import wave
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

from mediaserverd.audio.formats import encode, find_format
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.recorder.tokens import create_token
from mediaserverd.recorder.vault import Vault
from tests.audio.listening import Spoken
from tests.kit.speech import Samples, speech
from tests.recorder.media_server import whole_call
from tests.recorder.sasf_files import CALLED_SEED, CALLING_SEED, Pen, sasf, stored
from tests.recorder.site import Site, run_site


async def heard(site: Site, recording_id: str, **request: Any) -> httpx.Response:
    return await site.api.get(f"/api/v1/recordings/{recording_id}/audio", timeout=60, **request)


def likeness(one: Samples, other: Samples) -> float:
    """The highest normalised correlation over 100 ms of lag."""
    length = min(len(one), len(other)) - 800
    first = one[:length].astype(float)
    best = 0.0
    for lag in range(0, 800, 1):
        second = other[lag : lag + length].astype(float)
        scale = float(np.sqrt(np.dot(first, first) * np.dot(second, second))) or 1.0
        best = max(best, float(np.dot(first, second)) / scale)
    return best


def sides(content: bytes) -> tuple[Samples, Samples]:
    """Left and right at 8 kHz, decoded by FFmpeg."""
    with av.open(io.BytesIO(content), "r") as container:
        resampler = av.AudioResampler("s16", "stereo", 8000)
        frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
        frames += resampler.resample(None)
    samples = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames])
    return samples[:, 0], samples[:, 1]


async def test_an_encrypted_recording_is_heard_as_wav_with_each_party_on_its_side(pen: Pen) -> None:
    answer = await heard(pen.site, await stored(pen, pen.add()))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/wav")
    assert answer.headers["Content-Disposition"].endswith('_1.wav"')
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 16000)
        samples = np.frombuffer(file.readframes(16000), np.int16).reshape(-1, 2)
    assert likeness(speech(CALLING_SEED, 2.0), samples[:, 0]) > 0.98
    assert likeness(speech(CALLED_SEED, 2.0), samples[:, 1]) > 0.98


@pytest.mark.parametrize("name", ["wav", "wav-pcmu", "wav-pcma", "ogg", "webm", "mp3"])
async def test_every_format_has_the_same_two_voices(pen: Pen, name: str) -> None:
    answer = await heard(pen.site, await stored(pen, pen.add()), params={"format": name})
    assert answer.status_code == 200, answer.text
    left, right = sides(answer.content)
    assert likeness(speech(CALLING_SEED, 2.0), left) > 0.8
    assert likeness(speech(CALLED_SEED, 2.0), right) > 0.8


@pytest.mark.parametrize(("name", "tag", "alike"), [("wav-gsm", 0x31, 0.7), ("wav-truespeech", 0x22, 0.6)])
async def test_a_wav_of_one_channel_has_both_voices_in_it_and_says_so_in_its_name(
    pen: Pen, name: str, tag: int, alike: float
) -> None:
    recording_id = await stored(pen, pen.add())
    answer = await heard(pen.site, recording_id, params={"format": name})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/wav")
    assert answer.headers["Content-Disposition"].endswith('_1.mono.wav"')
    assert struct.unpack_from("<HH", answer.content, 20) == (tag, 1)
    one, other = sides(answer.content)
    assert np.array_equal(one, other)
    both = speech(CALLING_SEED, 2.0).astype(int) + speech(CALLED_SEED, 2.0)
    assert likeness((both // 2).astype(np.int16), one) > alike
    part = await heard(pen.site, recording_id, params={"format": name}, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, answer.content[1000:2000])


async def test_ranges_of_a_rendered_wav_are_parts_of_the_whole(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add())
    whole = await heard(pen.site, recording_id)
    for first, last in ((0, 43), (40, 1000), (20000, 50001), (len(whole.content) - 10, len(whole.content) + 99)):
        part = await heard(pen.site, recording_id, headers={"Range": f"bytes={first}-{last}"})
        assert part.status_code == 206
        assert part.content == whole.content[first : last + 1]
        assert part.headers["ETag"] == whole.headers["ETag"]
    same = await heard(pen.site, recording_id, headers={"If-None-Match": whole.headers["ETag"]})
    assert same.status_code == 304
    outside = await heard(pen.site, recording_id, headers={"Range": f"bytes={len(whole.content)}-"})
    assert outside.status_code == 416


@pytest.mark.parametrize("name", ["ogg", "webm", "mp3"])
async def test_a_format_without_a_size_is_sent_while_it_is_made_and_agrees_with_its_ranges(pen: Pen, name: str) -> None:
    recording_id = await stored(pen, pen.add(seconds=5.0))
    playing = await heard(pen.site, recording_id, params={"format": name}, headers={"Range": "bytes=0-"})
    assert (playing.status_code, playing.headers.get("Content-Length")) == (200, None)
    whole = await heard(pen.site, recording_id, params={"format": name})
    assert whole.headers["Content-Length"] == str(len(whole.content)), "it is made by then"
    assert playing.content == whole.content
    assert playing.headers["ETag"] == whole.headers["ETag"]
    digest = base64.b64encode(hashlib.sha256(whole.content).digest()).decode()
    assert whole.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    part = await heard(pen.site, recording_id, params={"format": name}, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    events = (await pen.site.detail(recording_id))["events"]
    heard_bytes = [each["detail"]["last_byte"] for each in events if each["kind"] == "audio"]
    assert sorted(heard_bytes, key=str) == sorted([None, len(whole.content) - 1, 199], key=str)


async def test_a_part_of_a_format_without_a_size_can_be_had_before_the_whole(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add())
    part = await heard(pen.site, recording_id, params={"format": "ogg"}, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    head = await pen.site.api.head(f"/api/v1/recordings/{recording_id}/audio", params={"format": "ogg"})
    whole = await heard(pen.site, recording_id, params={"format": "ogg"})
    assert part.content == whole.content[100:200]
    assert (head.headers["Content-Length"], head.content) == (str(len(whole.content)), b"")


async def test_a_listener_who_leaves_early_costs_nobody_else(tmp_path: Path) -> None:
    site = await run_site(tmp_path, workers=1)
    recording_id = await stored(Pen(site), Pen(site).add(seconds=60.0))
    url, wanted = f"/api/v1/recordings/{recording_id}/audio", {"format": "mp3"}
    for _ in range(3):
        async with site.api.stream("GET", url, params=wanted) as answer:
            assert answer.status_code == 200
            assert await anext(answer.aiter_raw())
    assert (await heard(site, recording_id, params=wanted)).status_code == 200
    await site.stop()
    await site.media.stop()


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "audio/wav"),
        ("audio/*", "audio/wav"),
        ("audio/ogg", "audio/ogg"),
        ("audio/wav;q=0.5, audio/mpeg", "audio/mpeg"),
        ("audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,*/*;q=0.5", "audio/wav"),
        ("audio/x-wav", "audio/wav"),
        ("application/vnd.mediaserverd.sasf", "application/vnd.mediaserverd.sasf"),
    ],
)
async def test_the_accept_field_decides_where_no_format_is_named(pen: Pen, accept: str, media_type: str) -> None:
    answer = await heard(pen.site, await stored(pen, pen.add()), headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)


async def test_a_form_that_there_is_not_is_refused_with_those_that_there_are(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add())
    for request in ({"params": {"format": "flac"}}, {"headers": {"Accept": "image/png"}}):
        answer = await heard(pen.site, recording_id, **request)
        assert answer.status_code == 406
        assert "ogg" in answer.json()["detail"]


async def test_a_recording_kept_as_wav_passes_through_and_is_heard_in_other_forms(site: Site) -> None:
    content = io.BytesIO()
    voices = np.stack([speech(CALLING_SEED, 3.0), speech(CALLED_SEED, 3.0)], axis=1)
    encode(Spoken(voices), find_format("wav-pcma"), content)
    file, nonsense = site.media.add(content=content.getvalue()), site.media.add()
    for sequence, each in ((1, file), (10, nonsense)):
        await site.ledger(whole_call(sequence, each.report["recording_id"], file=each.report["file"]))
        await site.until_gone_from_source(each.report["recording_id"])
    recording_id = file.report["recording_id"]
    assert (await heard(site, recording_id, params={"format": "wav"})).content == file.content
    left, right = sides((await heard(site, recording_id, params={"format": "mp3"})).content)
    assert likeness(voices[:, 0], left) > 0.9
    assert likeness(voices[:, 1], right) > 0.9
    assert (await heard(site, recording_id, params={"format": "sasf"})).status_code == 406
    refused = await heard(site, nonsense.report["recording_id"], params={"format": "ogg"})
    assert (refused.status_code, "format=wav gives the file as it is" in refused.json()["detail"]) == (409, True)


async def test_the_file_is_exported_without_keys_or_with_them_to_those_who_may(pen: Pen) -> None:
    file = pen.add()
    recording_id = await stored(pen, file)
    plain = await heard(pen.site, recording_id, params={"format": "sasf"})
    assert SasfReader(plain.content).keybox.keys == ()
    refused = await heard(pen.site, recording_id, params={"format": "sasf", "keys": True})
    assert refused.status_code == 403
    assert "recordings:export" in refused.json()["detail"]
    token = create_token(pen.site.settings.database_url, "auditor", ["recordings:audio", "recordings:export"])
    async with pen.site.client(token) as auditor:
        path, wish = f"/api/v1/recordings/{recording_id}/audio", {"format": "sasf", "keys": "true"}
        whole = await auditor.get(path, params=wish)
        part = await auditor.get(path, params=wish, headers={"Range": "bytes=700-1500"})
    assert whole.content == file.content, "bit by bit what the media server wrote"
    assert part.content == file.content[700:1501]
    digest = hashlib.sha256(file.content).digest()
    assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"


async def test_a_recording_for_keys_that_are_not_here_says_for_which(pen: Pen, tmp_path: Path) -> None:
    elsewhere = Vault.open(tmp_path / "elsewhere" / "keys", None)
    (name,) = elsewhere.recipients()
    content = sasf("ab" * 16, pen.signer, list(elsewhere.recipients().values()))
    recording_id = await stored(pen, pen.add(recording_id="ab" * 16, content=content))
    answer = await heard(pen.site, recording_id)
    assert answer.status_code == 409
    assert f"encrypted for keys {name}, none of them is here" in answer.json()["detail"]
    assert (await heard(pen.site, recording_id, params={"format": "sasf"})).status_code == 200


async def test_a_key_that_is_imported_later_opens_it_without_a_restart(pen: Pen, tmp_path: Path) -> None:
    elsewhere = Vault.open(tmp_path / "elsewhere" / "keys", None)
    (name,) = elsewhere.recipients()
    content = sasf("ab" * 16, pen.signer, list(elsewhere.recipients().values()))
    recording_id = await stored(pen, pen.add(recording_id="ab" * 16, content=content))
    key = elsewhere.private_key(name)
    assert key is not None
    Vault.open(pen.site.settings.keys_directory, None).keep(key)
    assert (await heard(pen.site, recording_id)).status_code == 200


async def test_after_a_rotation_old_and_new_recordings_are_heard(pen: Pen) -> None:
    old = await stored(pen, pen.add())
    vault = Vault.open(pen.site.settings.keys_directory, None)
    vault.use(vault.generate())
    new = await stored(pen, pen.add(), 10)
    assert [(await heard(pen.site, each)).status_code for each in (old, new)] == [200, 200]
    ids = [(await pen.site.detail(each))["segments"][0]["key_ids"] for each in (old, new)]
    assert ids[0] != ids[1]


async def test_evidence_can_be_heard_where_it_holds_and_taken_as_it_is(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add(spoil_at=9000))
    answer = await heard(pen.site, recording_id)
    assert answer.status_code == 200
    nonsense = await stored(pen, pen.add(content=b"\0" * 5000), 10)
    answer = await heard(pen.site, nonsense)
    assert answer.status_code == 409
    assert "format=sasf gives the file as it is" in answer.json()["detail"]
    assert (await heard(pen.site, nonsense, params={"format": "sasf"})).content == b"\0" * 5000


async def test_the_quality_of_a_recording_is_told(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add())
    report = (await pen.site.api.get(f"/api/v1/recordings/{recording_id}/quality")).json()
    assert report["degraded"] is False
    (segment,) = report["segments"]
    assert segment["verification"] == "verified"
    assert segment["quality"]["sides"][1]["codecs"] == ["PCMU/8000"]
    assert segment["quality"]["skew_ms"] <= 20


@pytest.mark.parametrize("compression", ["opus", "gsm", "truespeech", "pcma", "none"])
async def test_a_compressed_recording_is_heard_and_says_of_what_it_was_made(tmp_path: Path, compression: str) -> None:
    site = await run_site(tmp_path, compression=compression)
    try:
        pen = Pen(site)
        file = pen.add(seconds=4.0)
        recording_id = await stored(pen, file)
        (segment,) = (await site.detail(recording_id))["segments"]
        assert segment["compression"] == ("opus" if compression == "none" else compression)
        assert (segment["sha256"], segment["verification"]) == (file.report["sha256"], "verified")
        (path,) = site.stored_files()
        header = SasfReader(path.read_bytes()).header
        assert (header.content, header.encrypted) == ("rendered", True)
        assert header.source is not None
        assert header.source["sha256"] == file.report["sha256"]
        assert segment["stored_size"] == path.stat().st_size
        left, right = sides((await heard(site, recording_id)).content)
        alike = 0.6 if compression == "truespeech" else 0.7  # 8.5 kbit/s keep the sound, not the wave
        assert likeness(speech(CALLING_SEED, 4.0), left) > alike
        assert likeness(speech(CALLED_SEED, 4.0), right) > alike
        assert segment["quality"]["sides"][0]["packets"] == 200, "of what was received"
    finally:
        await site.stop()
        await site.media.stop()


@pytest.mark.parametrize(("ours", "asked"), [("received", "opus"), ("received", "l16"), ("pcma", "gsm")])
async def test_an_encoding_that_was_asked_for_by_name_comes_before_the_recorders_own(
    tmp_path: Path, ours: str, asked: str
) -> None:
    media_types = {"opus": "audio/opus", "l16": "audio/L16", "gsm": "audio/GSM"}
    site = await run_site(tmp_path, compression=ours)
    try:
        pen = Pen(site)
        recording_id = await stored(pen, pen.add(meta={"encoding": media_types[asked], "encoding_asked": True}))
        (segment,) = (await site.detail(recording_id))["segments"]
        assert (segment["compression"], segment["verification"]) == (asked, "verified")
        (path,) = site.stored_files()
        assert SasfReader(path.read_bytes()).header.content == "rendered"
        left, right = sides((await heard(site, recording_id)).content)
        assert likeness(speech(CALLING_SEED, 2.0), left) > 0.7
        assert likeness(speech(CALLED_SEED, 2.0), right) > 0.7
    finally:
        await site.stop()
        await site.media.stop()


async def test_an_encoding_that_nobody_asked_for_leaves_a_recording_as_it_was_received(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add(meta={"encoding": "audio/opus", "encoding_asked": False}))
    (segment,) = (await pen.site.detail(recording_id))["segments"]
    assert segment["compression"] == ""
    (path,) = pen.site.stored_files()
    assert SasfReader(path.read_bytes()).header.content == "received"


async def test_the_digest_of_a_rendered_wav_is_told_to_those_who_want_it(pen: Pen) -> None:
    recording_id = await stored(pen, pen.add())
    plain = await heard(pen.site, recording_id)
    told = await heard(pen.site, recording_id, headers={"Want-Repr-Digest": "sha-512=3, sha-256=10"})
    part = await heard(pen.site, recording_id, headers={"Want-Repr-Digest": "sha-256=1", "Range": "bytes=100-199"})
    digest = base64.b64encode(hashlib.sha256(plain.content).digest()).decode()
    assert "Repr-Digest" not in plain.headers
    assert told.headers["Repr-Digest"] == part.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert (told.content, part.content) == (plain.content, plain.content[100:200])


@pytest.mark.parametrize("field", ["sha-256=0", "sha-512=1", "sha-256", "sha-256=many", ""])
async def test_a_client_that_wants_no_sha_256_makes_no_work(pen: Pen, field: str) -> None:
    answer = await heard(pen.site, await stored(pen, pen.add()), headers={"Want-Repr-Digest": field})
    assert answer.status_code == 200
    assert "Repr-Digest" not in answer.headers
