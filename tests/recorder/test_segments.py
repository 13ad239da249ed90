"""A recording that went on on another media server is one recording: joined, with its gap, and waited for in full."""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
import wave
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from mediaserverd.__main__ import app
from mediaserverd.audio.formats import Format, encode, find_format
from mediaserverd.audio.sound import mono_mix
from mediaserverd.protocol.sasf import archive
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.recorder.tokens import create_token
from mediaserverd.recorder.vault import Vault
from tests.audio import listening
from tests.audio.listening import Spoken
from tests.kit.speech import Samples, speech
from tests.recorder.media_server import File, entry
from tests.recorder.sasf_files import CALLED_SEED, CALLING_SEED, Pen
from tests.recorder.site import Site, run_site
from tests.recorder.test_playback import heard, likeness

FIRST_S, SECOND_S = 2.0, 1.6
GAP_MS = 1020  # from the last packet of the first to the first packet of the second, 20 ms into it


SAID = [speech(CALLING_SEED, 2.5), speech(CALLED_SEED, 2.5)]


def at(seconds: float) -> str:
    return f"2026-01-02T03:04:{5 + seconds:06.3f}Z"


def announced(recording_id: str, suffix: str = ".sasf") -> list[dict[str, Any]]:
    """Two segments as a controller announces them; the media server of the first one was lost."""
    file = {number: f"{recording_id}-{number}{suffix}" for number in (1, 2)}
    return [
        entry(1, "expected", recording_id, at=at(-0.002)),
        entry(2, "started", recording_id, file=file[1], at=at(0.003)),
        entry(3, "ended", recording_id, at=at(2.5), reason="media-server-lost", duration_ms=2502),
        entry(4, "expected", recording_id, 2, at=at(2.995)),
        entry(5, "started", recording_id, 2, file=file[2], at=at(3.004)),
        entry(6, "ended", recording_id, 2, at=at(4.6), duration_ms=1605),
    ]


def add_first(pen: Pen, recording_id: str) -> File:
    times: dict[str, Any] = {
        "started_at": at(0),
        "ended_at": at(2),
        "duration_ms": 2000,
    }
    return pen.add(recording_id=recording_id, seconds=FIRST_S, reason="recovered", **times)


def add_second(pen: Pen, recording_id: str, clock_s: float = 0.0) -> File:
    """``clock_s``: how wrong the clock of its host is."""
    times: dict[str, Any] = {
        "started_at": at(3.0 + clock_s),
        "ended_at": at(4.6 + clock_s),
        "duration_ms": 1600,
    }
    return pen.add(recording_id=recording_id, segment=2, seconds=SECOND_S, **times)


def channels(content: bytes) -> tuple[int, Samples]:
    with wave.open(io.BytesIO(content)) as file:
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)


async def test_two_segments_are_one_recording_with_the_gap_between_them(pen: Pen) -> None:
    site, recording_id = pen.site, secrets.token_hex(16)
    add_first(pen, recording_id)
    add_second(pen, recording_id)
    await site.ledger(announced(recording_id))
    detail = await site.until_gone_from_source(recording_id)
    gap = {"after": 1, "start_ms": 2000, "duration_ms": GAP_MS, "reason": "media-server-lost", "accuracy_ms": 16}
    assert (detail["segment_count"], detail["gaps"], detail["duration_ms"]) == (2, [gap], 4600)
    assert (detail["state"], detail["verification"]) == ("stored", "verified")
    assert detail["proof"].count("not a byte was changed") == 2
    assert detail["proof"].endswith(f"{GAP_MS} +-16 ms are missing after segment 1 (media-server-lost)")
    (listed,) = (await site.api.get("/api/v1/recordings")).json()["recordings"]
    assert listed["gaps"] == [gap]
    quality = (await site.api.get(f"/api/v1/recordings/{recording_id}/quality")).json()
    assert (quality["degraded"], quality["gaps"]) == (True, [gap])
    reconciliation = await site.reconciliation()
    assert (reconciliation["stored"], reconciliation["interrupted"], reconciliation["gap_ms"]) == (1, 1, GAP_MS)

    answer = await heard(site, recording_id)
    rate, samples = channels(answer.content)
    assert (rate, len(samples)) == (8000, 4.6 * 8000)
    for channel, seed in enumerate((CALLING_SEED, CALLED_SEED)):
        assert likeness(speech(seed, FIRST_S), samples[:16000, channel]) > 0.98
        assert likeness(speech(seed, SECOND_S), samples[24000:, channel]) > 0.98
    assert not samples[16000:24000].any()
    across = await heard(site, recording_id, headers={"Range": "bytes=60000-100000"})
    assert (across.status_code, across.content) == (206, answer.content[60000:100001])
    assert across.headers["ETag"] == answer.headers["ETag"]
    assert answer.headers["Content-Disposition"].endswith(f'{recording_id[:8]}.wav"')
    compressed = await heard(site, recording_id, params={"format": "ogg"})
    assert (compressed.status_code, compressed.headers["Content-Type"]) == (200, "audio/ogg")


async def test_all_segments_are_had_in_one_file_that_proves_itself_and_sounds_the_same(
    pen: Pen, tmp_path: Path
) -> None:
    site, recording_id = pen.site, secrets.token_hex(16)
    sources = [add_first(pen, recording_id).content, add_second(pen, recording_id).content]
    await site.ledger(announced(recording_id))
    (gap,) = (await site.until_gone_from_source(recording_id))["gaps"]
    refused = await heard(site, recording_id, params={"format": "sasf", "keys": True})
    assert (refused.status_code, "recordings:export" in refused.json()["detail"]) == (403, True)
    token = create_token(site.settings.database_url, "auditor", ["recordings:audio", "recordings:export"])
    path, wish = f"/api/v1/recordings/{recording_id}/audio", {"format": "sasf", "keys": "true"}
    async with site.client(token) as auditor:
        answer = await auditor.get(path, params=wish, headers={"Want-Repr-Digest": "sha-256=1"})
        part = await auditor.get(path, params=wish, headers={"Range": "bytes=1500-40000"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-tar")
    assert answer.headers["Content-Disposition"].endswith(f'{recording_id[:8]}.sasf.tar"')
    digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert (part.status_code, part.content) == (206, answer.content[1500:40001])
    found = archive.read_archive(answer.content)
    assert [bytes(body) for body in found.files.values()] == sources, "bit by bit what the media servers wrote"
    assert [asdict(each) for each in found.manifest.gaps] == [gap]
    plain = await heard(site, recording_id, params={"format": "sasf"})
    bare = archive.read_archive(plain.content)
    assert [SasfReader(body).keybox.keys for body in bare.files.values()] == [(), ()]

    file, keys, pem = tmp_path / "call.sasf.tar", site.settings.keys_directory, tmp_path / "key.pem"
    file.write_bytes(answer.content)
    vault = Vault.open(keys, None)
    private = vault.private_key(next(iter(vault.recipients())))
    assert private is not None
    pem.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signers = [part for name in ("media", "recorder") for part in ("--signer", str(keys / "signers" / f"{name}.pem"))]
    proven = CliRunner().invoke(app, ["sasf", "verify", str(file), "--key", str(pem), *signers])
    assert proven.exit_code == 0, proven.output
    assert f"{GAP_MS} +-16 ms are missing after segment 1 (media-server-lost)" in proven.output
    exported = CliRunner().invoke(app, ["sasf", "export", str(file), str(tmp_path / "call.wav"), "--key", str(pem)])
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "call.wav").read_bytes() == (await heard(site, recording_id)).content


async def test_hosts_whose_clocks_are_seconds_apart_make_no_other_gap(pen: Pen) -> None:
    site = pen.site
    for sequence, clock_s in ((0, 40.0), (10, -5.0)):
        recording_id = secrets.token_hex(16)
        add_first(pen, recording_id)
        add_second(pen, recording_id, clock_s)
        entries = announced(recording_id)
        await site.ledger([{**each, "sequence": sequence + each["sequence"]} for each in entries])
        (gap,) = (await site.until_gone_from_source(recording_id))["gaps"]
        assert abs(gap["duration_ms"] - GAP_MS) <= gap["accuracy_ms"] < 20
        _, samples = channels((await heard(site, recording_id)).content)
        assert abs(len(samples) / 8 - 4600) <= gap["accuracy_ms"]


async def test_segments_that_are_kept_as_wav_are_joined_in_every_coding(site: Site) -> None:
    codings = {"wav-pcm": 0.999, "wav-pcmu": 0.99, "wav-pcma": 0.99, "wav-gsm": 0.7, "wav-truespeech": 0.6}
    ids = {coding: add_as_wav(site, find_format(coding)) for coding in codings}
    for place, recording_id in enumerate(ids.values()):
        entries = announced(recording_id, ".wav")
        await site.ledger([{**each, "sequence": 10 * place + each["sequence"]} for each in entries])
    for coding, recording_id in ids.items():
        (gap,) = (await site.until_gone_from_source(recording_id))["gaps"]
        assert (gap["start_ms"], gap["duration_ms"]) == (2000, 1000)
        answer = await heard(site, recording_id, headers={"Want-Repr-Digest": "sha-256=1"})
        digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
        assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
        part = await heard(site, recording_id, headers={"Range": "bytes=31000-70000"})
        assert (part.status_code, part.content) == (206, answer.content[31000:70001])
        rate, samples = channels(answer.content)
        assert (rate, len(samples)) == (8000, 4.6 * 8000)
        assert not samples[16000:24000].any()
        mixed = find_format(coding).channels == 1
        for channel, voice in enumerate([mono_mix(np.stack(SAID, axis=1))] * 2 if mixed else SAID):
            assert np.corrcoef(voice[:16000], samples[:16000, channel])[0, 1] > codings[coding]
            assert np.corrcoef(voice[:12800], samples[24000:, channel])[0, 1] > codings[coding]
        if coding in ("wav-pcmu", "wav-pcma"):
            again = await heard(site, recording_id, params={"format": coding})
            decoded = listening.heard(again.content).samples
            assert np.array_equal(decoded[24000:], samples[24000:]), "what is coded anew loses nothing"


def add_as_wav(site: Site, form: Format) -> str:
    """Two segments; their media server wrote on for half a second after nothing came to the first."""
    recording_id = secrets.token_hex(16)
    for number, (begin_s, length_s, heard_to_ms) in enumerate(((0.0, 2.5, 2000), (3.0, 1.6, 1600)), 1):
        target = io.BytesIO()
        encode(Spoken(np.stack(SAID, axis=1)[: int(length_s * 8000)]), form, target)
        quality = {"degraded": False, "heard": [0, heard_to_ms], "look_back_ms": 0, "silences": [], "sides": []}
        times: Any = {
            "started_at": at(begin_s),
            "ended_at": at(begin_s + length_s),
            "duration_ms": int(length_s * 1000),
        }
        site.media.add(recording_id, number, content=target.getvalue(), quality=quality, **times)
    return recording_id


async def test_a_segment_that_is_still_on_its_way_is_waited_for_and_told(tmp_path: Path) -> None:
    site, recording_id = await run_site(tmp_path, missing_after_s=60.0), secrets.token_hex(16)
    pen = Pen(site)
    add_second(pen, recording_id)
    await site.ledger([each for each in announced(recording_id) if each["segment"] == 2 or each["event"] != "ended"])
    await site.until(recording_id, lambda detail: detail["segments"][1]["state"] == "stored")
    waiting = await heard(site, recording_id)
    assert (waiting.status_code, "segment 1 is not in the store yet" in waiting.json()["detail"]) == (409, True)
    assert (await site.api.get(waiting.json()["segments"][1])).status_code == 200
    add_first(pen, recording_id)
    detail = await site.until_gone_from_source(recording_id)
    assert [segment["state"] for segment in detail["segments"]] == ["stored", "stored"]
    assert (await heard(site, recording_id)).status_code == 200
    await site.stop()
    await site.media.stop()


async def test_a_segment_that_never_comes_is_an_alarm_and_then_a_gap(
    pen: Pen, capsys: pytest.CaptureFixture[str]
) -> None:
    site, recording_id = pen.site, secrets.token_hex(16)
    site.media.misdeed.server_errors = 10_000  # it is there, and cannot be had
    add_first(pen, recording_id)
    await site.ledger(announced(recording_id)[:3])
    add_second(pen, recording_id)
    overdue = await site.until(recording_id, lambda detail: capsys.readouterr().out.count("segment_overdue") > 0)
    assert overdue["segments"][0]["state"] in ("ended", "fetching")
    site.media.files.clear()
    await site.ledger([entry(7, "ended", recording_id, 2)])
    site.media.misdeed.server_errors = 0
    add_second(pen, recording_id)
    found = await site.until(recording_id, lambda detail: detail["state"] == "partial")
    assert [segment["state"] for segment in found["segments"]] == ["failed", "stored"]
    (gap,) = found["gaps"]
    assert (gap["after"], gap["reason"]) == (0, "missing")
    assert (await heard(site, recording_id)).status_code == 200
