"""SASF recordings in the recorder: verified before they are stored, and their keys kept apart from them."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.protocol.sasf.faults import WrongKey
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import seal_recovered
from mediaserverd.recorder.catalogue.custody import unread_with
from mediaserverd.recorder.catalogue.database import ask
from mediaserverd.recorder.keyfiles import public_pem
from mediaserverd.recorder.vault import Vault
from tests.kit.g711 import PCMU
from tests.kit.speech import speech
from tests.recorder.media_server import File, whole_call
from tests.recorder.sasf_files import CALLING_SEED, Pen, sasf


async def stored(pen: Pen, file: File, sequence: int = 1) -> dict[str, Any]:
    """The segment of the recording, in the detail of it, once it is stored and gone from its source."""
    recording_id = file.report["recording_id"]
    await pen.site.ledger(whole_call(sequence, recording_id, file=file.report["file"]))
    detail = await pen.site.until_gone_from_source(recording_id)
    (segment,) = detail["segments"]
    return dict(segment)


async def test_a_sound_recording_is_verified_and_stored_with_its_quality(pen: Pen) -> None:
    file = pen.add()
    segment = await stored(pen, file)
    assert (segment["format"], segment["verification"], segment["encrypted"]) == ("sasf", "verified", True)
    assert "proves that media" in segment["verification_findings"][0]
    assert segment["quality"]["sides"][0]["packets"] == 100
    assert segment["quality"]["degraded"] is False
    assert segment["sha256"] == file.report["sha256"]


async def test_the_stored_file_has_no_key_in_it_and_is_otherwise_what_was_recorded(pen: Pen) -> None:
    file = pen.add()
    segment = await stored(pen, file)
    (path,) = pen.site.stored_files()
    kept = path.read_bytes()
    before, after = SasfReader(file.content), SasfReader(kept)
    assert len(before.keybox.keys) == 1
    assert after.keybox.keys == ()
    assert segment["key_ids"] == [before.keybox.keys[0].key_id]
    head, size = before.opening.keybox_at, before.opening.size
    assert (kept[:head], kept[size:]) == (file.content[:head], file.content[size:])
    with pytest.raises(WrongKey):
        after.contents()
    assert list((pen.site.directory / "recorder" / "incoming").iterdir()) == []


async def test_a_recording_in_clear_is_verified_too(pen: Pen) -> None:
    file = pen.add(encrypted=False)
    segment = await stored(pen, file)
    assert (segment["verification"], segment["encrypted"], segment["key_ids"]) == ("verified", False, [])
    (path,) = pen.site.stored_files()
    assert path.read_bytes() == file.content


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_recording_that_was_tampered_with_is_kept_as_evidence_and_an_alarm_is_raised(
    pen: Pen, encrypted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pen.add(encrypted=encrypted, spoil_at=9000)
    segment = await stored(pen, file)
    assert segment["verification"] == "failed"
    assert "tampered" in segment["verification_findings"][0]
    assert segment["quality"]["degraded"] is True, "what the rest is worth is still said"
    (path,) = pen.site.stored_files()
    assert path.read_bytes()[9000:9100] == file.content[9000:9100]
    assert "verification_failed" in capsys.readouterr().out


async def test_a_file_of_an_unknown_signer_is_kept_as_evidence(pen: Pen) -> None:
    recording_id = "ab" * 16
    content = sasf(recording_id, Ed25519PrivateKey.generate(), pen.recipients())
    segment = await stored(pen, pen.add(recording_id=recording_id, content=content))
    assert segment["verification"] == "failed"
    assert "signed by an unknown key" in segment["verification_findings"][0]


async def test_a_sound_file_in_the_place_of_another_recording_is_kept_as_evidence(pen: Pen) -> None:
    content = sasf("cd" * 16, pen.signer, pen.recipients())
    segment = await stored(pen, pen.add(recording_id="ab" * 16, content=content))
    assert segment["verification"] == "failed"
    assert f"of {'cd' * 16}" in segment["verification_findings"][0]


@pytest.mark.parametrize(
    "content", [b"SASF\r\n\x1a\n", b"RIFF" + bytes(100), b"\0" * 5000], ids=["torn", "wav", "zeros"]
)
async def test_what_is_no_sasf_file_at_all_is_kept_as_evidence(pen: Pen, content: bytes) -> None:
    segment = await stored(pen, pen.add(content=content))
    assert segment["verification"] == "failed"
    (path,) = pen.site.stored_files()
    assert path.read_bytes() == content


async def test_a_signer_that_becomes_trusted_later_is_believed_without_a_restart(pen: Pen) -> None:
    other = Pen(pen.site)  # takes the place of the first one among the trusted
    assert (await stored(other, other.add()))["verification"] == "verified"
    assert (await stored(pen, pen.add(), 10))["verification"] == "failed"


async def test_a_recording_for_other_keys_is_stored_and_told_as_unread(pen: Pen, tmp_path: Path) -> None:
    elsewhere = Vault.open(tmp_path / "elsewhere" / "keys", None)
    content = sasf("ab" * 16, pen.signer, list(elsewhere.recipients().values()))
    segment = await stored(pen, pen.add(recording_id="ab" * 16, content=content))
    assert (segment["verification"], segment["key_ids"]) == ("unread", list(elsewhere.recipients()))
    assert "the audio was not looked at" in segment["verification_findings"][0]


async def test_a_recording_that_no_key_opened_is_judged_when_its_key_comes(pen: Pen, tmp_path: Path) -> None:
    elsewhere = Vault.open(tmp_path / "elsewhere" / "keys", None)
    content = sasf("ab" * 16, pen.signer, list(elsewhere.recipients().values()), meta={"metadata": SPOKEN})
    pen.add(recording_id="ab" * 16, content=content, metadata=None, quality=None)
    detail = await pen.site.until_gone_from_source("ab" * 16)
    assert (detail["segments"][0]["verification"], detail["segments"][0]["quality"]) == ("unread", None)
    (path,) = pen.site.stored_files()
    kept = path.read_bytes()
    (name,) = elsewhere.opening()
    key = elsewhere.private_key(name)
    assert key is not None
    Vault.open(pen.site.settings.keys_directory, None).keep(key)
    assert ask(pen.site.settings.database_url, unread_with, name) == 1
    detail = await pen.site.until("ab" * 16, lambda now: bool(now["segments"][0]["verification"] != "unread"))
    (segment,) = detail["segments"]
    assert (segment["verification"], segment["quality"]["degraded"]) == ("verified", False)
    assert {name: detail[name] for name in SPOKEN} == SPOKEN
    assert path.read_bytes() == kept, "it has no keys in it still"
    assert ask(pen.site.settings.database_url, unread_with, name) == 0


async def test_a_recording_that_failed_before_any_key_opened_it_is_judged_again_when_its_key_comes(
    pen: Pen, tmp_path: Path
) -> None:
    elsewhere = Vault.open(tmp_path / "elsewhere" / "keys", None)
    recipients = list(elsewhere.recipients().values())
    stranger = Ed25519PrivateKey.generate()
    spoiled, unknown = "ab" * 16, "cd" * 16
    pen.add(recording_id=spoiled, content=sasf(spoiled, pen.signer, recipients)[:-1], quality=None)
    pen.add(recording_id=unknown, content=sasf(unknown, stranger, recipients), quality=None)
    for recording_id in (spoiled, unknown):
        (segment,) = (await pen.site.until_gone_from_source(recording_id))["segments"]
        assert (segment["verification"], segment["quality"]) == ("failed", None)
    (pen.site.settings.keys_directory / "signers" / "stranger.pem").write_bytes(public_pem(stranger.public_key()))
    (name,) = elsewhere.opening()
    key = elsewhere.private_key(name)
    assert key is not None
    Vault.open(pen.site.settings.keys_directory, None).keep(key)
    seen = {
        recording_id: (await pen.site.until(recording_id, lambda now: now["segments"][0]["quality"] is not None))
        for recording_id in (spoiled, unknown)
    }
    assert [seen[each]["segments"][0]["verification"] for each in (spoiled, unknown)] == ["failed", "verified"]
    assert ask(pen.site.settings.database_url, unread_with, name) == 0, "nothing is looked at for ever"


async def test_what_was_found_in_files_is_counted_also_after_a_restart(pen: Pen, tmp_path: Path) -> None:
    elsewhere = Vault.open(tmp_path / "elsewhere" / "keys", None)
    unread = sasf("ab" * 16, pen.signer, list(elsewhere.recipients().values()))
    files = [pen.add(), pen.add(recording_id="ab" * 16, content=unread, quality=None), pen.add(spoil_at=9000)]
    for number, file in enumerate(files):
        await stored(pen, file, 10 * number + 1)
    await pen.site.stop()
    await pen.site.start()
    seen = await pen.site.reconciliation()
    assert seen["segments_by_verification"] == {"verified": 1, "unread": 1, "failed": 1}
    assert seen["degraded_segments"] == 1
    while (shown := await pen.site.metrics())["recordings_stored_total"] != 3:
        await asyncio.sleep(0.1)  # the counts follow the catalogue at a distance
    for verification in ("verified", "unread", "failed"):
        assert shown[f'mediaserverd_recorder_verified_segments{{verification="{verification}"}}'] == 1
    assert shown["mediaserverd_recorder_degraded_segments"] == 1


SPOKEN = {
    "call_id": "of the switchboard",
    "kind": "on-demand",
    "policy": "record sales",
    "direction": "inbound",
    "initiation": "anna",
    "calling": {"number": "+431234567", "name": "Ada", "station": "", "line": "trunk"},
    "called": {"number": "101", "name": "Anna", "station": "anna", "line": ""},
}


async def test_what_is_in_an_encrypted_recording_that_nobody_announced_names_the_parties(pen: Pen) -> None:
    file = pen.add(meta={"metadata": SPOKEN}, metadata=None)
    detail = await pen.site.until_gone_from_source(file.report["recording_id"])
    assert detail["announced"] is False
    assert {name: detail[name] for name in SPOKEN} == SPOKEN


async def test_what_a_recording_says_that_was_tampered_with_names_nobody(pen: Pen) -> None:
    file = pen.add(meta={"metadata": SPOKEN}, metadata=None, spoil_at=9000)
    detail = await pen.site.until_gone_from_source(file.report["recording_id"])
    assert (detail["segments"][0]["verification"], detail["calling"]["number"]) == ("failed", "")


async def test_a_recording_whose_writer_died_is_as_long_as_what_is_heard_of_it(pen: Pen) -> None:
    """Its media server cannot look into it, and knows only when the last chunk began."""
    recording_id = "ab" * 16
    torn = io.BytesIO(sasf(recording_id, pen.signer, pen.recipients(), 1.9, closed=False))
    sealed_ms = seal_recovered(torn, pen.signer).duration_ms
    assert sealed_ms < 1700
    file = pen.add(recording_id=recording_id, content=torn.getvalue(), reason="recovered", duration_ms=sealed_ms)
    segment = await stored(pen, file)
    assert (segment["verification"], segment["duration_ms"]) == ("verified", 1920), "its last packet came at 1.9 s"
    assert segment["ended_at"] == "2026-01-02T03:04:06.920000Z", "it began at 03:04:05"


async def test_plaintext_and_keys_of_an_encrypted_recording_are_nowhere_on_the_disk(pen: Pen) -> None:
    file = pen.add()
    voice = bytes(PCMU.encode(speech(CALLING_SEED, 2.0)))[4000:4160]
    assert voice in sasf("00" * 16, pen.signer, [], encrypted=False), "a recording in clear has it"
    await stored(pen, file)
    for path in pen.site.directory.rglob("*"):
        if path.is_file():
            assert voice not in path.read_bytes(), path
