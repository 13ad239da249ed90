"""Recordings on disk: sealed in the background, whole at every moment, recovered, deleted for good."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mediaserverd.audio.formats import find_format
from mediaserverd.audio.workshop import Job
from mediaserverd.media import rendering
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report, media_type_of, parsed_stem, stem_of
from mediaserverd.media.sealing import Ended, Sealer
from mediaserverd.media.wanted import WAV_ENCODINGS
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.verify import verify
from tests.kit.g711 import PCMU
from tests.kit.judge import judge
from tests.kit.speech import speech
from tests.kit.wav import read_wav
from tests.media.spools import RECIPIENT, SIGNER, RunningFile, identity_file, padded, stream, write

STEM = stem_of("ab" * 16, 1)
FILE, WAV_FILE = STEM + ".sasf", STEM + ".wav"
VOICE = padded(speech(1, 3))
PACKETS = stream(0, PCMU.encode(VOICE))
ENCRYPTED = RunningFile(PACKETS, 3000, "call-ended", encoding="audio/opus", recipients=[RECIPIENT.public_key()])
ENCRYPTED_WITH_SECRET = replace(ENCRYPTED, metadata={"Patient": "Dr. Secret"}).encode()
WAV = RunningFile(PACKETS, 3000, "call-ended", format="wav", metadata={"Case": "7"})
CONTENT = ENCRYPTED.encode()
COUNTED = {"degraded": False, "tap_overflow": 0, "sides": [{"packets": 150}, {"packets": 0}]}
RUNNING = Report(
    FILE,
    "ab" * 16,
    1,
    "call-1",
    "running",
    "",
    media_type_of(FILE),
    "audio/opus",
    True,
    "2026-01-01T00:00:00.000Z",
    None,
)


def ended(reason: str = "call-ended", failure: str | None = None) -> Ended:
    return Ended(reason, failure, COUNTED)


@pytest.fixture
async def sealer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sealer]:
    one = Sealer(identity_file(tmp_path_factory.mktemp("secrets")))
    yield one
    await one.close()


async def opened(directory: Path, sealer: Sealer, retry_s: float = 60) -> Recordings:
    recordings = Recordings(directory, sealer, retry_s)
    await recordings.open()
    return recordings


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_an_ended_recording_becomes_a_file_with_its_report(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT)
    recordings.complete(FILE, ended())
    during = recordings.report(FILE)
    assert during is not None
    assert during.state == "sealing"
    await recordings.settled()
    done = recordings.report(FILE)
    assert done is not None
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert (done.state, done.reason, done.duration_ms) == ("finished", "call-ended", 3000)
    assert (done.size, done.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (done.media_type, done.encrypted) == ("application/vnd.mediaserverd.sasf", True)
    assert (done.started_at, done.ended_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:03.000Z")
    assert done.quality == COUNTED
    assert names(tmp_path) == [STEM + ".json", FILE]


async def test_what_was_given_in_confidence_is_in_the_encrypted_file_alone(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", ENCRYPTED_WITH_SECRET)
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    assert [each.metadata for each in recordings.reports()] == [None]
    assert all(b"Dr. Secret" not in path.read_bytes() for path in tmp_path.iterdir())
    assert SasfReader(ENCRYPTED_WITH_SECRET, [RECIPIENT]).contents().meta["metadata"] == {"Patient": "Dr. Secret"}


async def test_a_wav_file_is_made_of_the_running_file_which_goes(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", WAV.encode())
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    [report] = recordings.reports()
    assert (report.file, report.media_type, report.encoding) == (WAV_FILE, "audio/wav", "audio/L16")
    assert (report.metadata, report.reason, report.encrypted) == ({"Case": "7"}, "call-ended", False)
    assert report.sha256 == hashlib.sha256((tmp_path / WAV_FILE).read_bytes()).hexdigest()
    assert report.quality is not None
    assert (report.quality["degraded"], report.quality["sides"][0]["packets"]) == (False, 150)
    left, right = read_wav(tmp_path / WAV_FILE)
    assert judge(VOICE, left).faults(seconds=2, correlation=0.99) == []
    assert not right.any()
    assert names(tmp_path) == [STEM + ".json", WAV_FILE]


@pytest.mark.parametrize("kind", [ENCRYPTED, WAV, replace(WAV, format="sasf")], ids=["encrypted", "wav", "clear"])
async def test_files_left_by_an_earlier_life_are_sealed_as_recovered(
    tmp_path: Path, sealer: Sealer, kind: RunningFile
) -> None:
    whole = replace(kind, end_ms=None).encode()
    opening = SasfReader(whole).opening.size
    for segment in range(1, 6):
        cut = opening + (len(whole) - opening) * segment // 6
        write(tmp_path / f"{stem_of('cd' * 16, segment)}.spool", whole[:cut])
    recordings = await opened(tmp_path, sealer)
    assert {each.state for each in recordings.reports()} == {"sealing"}
    assert {each.call_id for each in recordings.reports()} == {"call-1"}
    await recordings.settled()
    reports = recordings.reports()
    assert [(each.state, each.reason) for each in reports] == [("finished", "recovered")] * 5
    for each in reports:
        assert 0 <= 3000 * each.segment / 6 - each.duration_ms < 900  # the chunk that was torn, and the one before
        if each.file.endswith(".sasf"):
            reader = SasfReader((tmp_path / each.file).read_bytes(), [RECIPIENT])
            verdict = verify(reader, {SIGNER.public_key().public_bytes_raw()})
            assert (reader.state, verdict.findings) == ("recovered", ())
            assert each.quality is None
        else:
            assert len(read_wav(tmp_path / each.file)) == 2
    assert not list(tmp_path.glob("*.spool"))


async def test_a_file_that_was_closed_keeps_its_own_reason(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", CONTENT)
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    assert [each.reason for each in recordings.reports()] == ["call-ended"]
    assert (tmp_path / FILE).read_bytes() == CONTENT


async def test_a_file_of_an_identity_that_is_gone_is_offered_as_it_is(tmp_path: Path, sealer: Sealer) -> None:
    torn = replace(ENCRYPTED, end_ms=None, signer=Ed25519PrivateKey.generate()).encode()
    write(tmp_path / f"{STEM}.spool", torn)
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    [report] = recordings.reports()
    assert (report.state, report.reason) == ("finished", "recovered")
    assert 2000 < report.duration_ms <= 3000
    assert (tmp_path / FILE).read_bytes() == torn


@pytest.mark.parametrize("content", [b"", b"MSDSPOOL", CONTENT[:20], CONTENT[:200]])
async def test_a_file_without_a_beginning_is_told_and_kept(tmp_path: Path, sealer: Sealer, content: bytes) -> None:
    write(tmp_path / f"{STEM}.spool", content)
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    [report] = recordings.reports()
    assert (report.state, report.reason, report.size, report.sha256) == ("failed", "spool-unreadable", 0, None)
    assert (tmp_path / f"{STEM}.unreadable").read_bytes() == content
    assert await recordings.delete(FILE)
    assert names(tmp_path) == []


async def test_what_is_listed_survives_a_restart(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", CONTENT)
    before = await sealer.seal(tmp_path, STEM, ended())
    recordings = await opened(tmp_path, sealer)
    assert recordings.reports() == [before]


@pytest.mark.parametrize("step", ["before the report", "before the file has its name", "before the running file goes"])
@pytest.mark.parametrize("kind", [ENCRYPTED, WAV], ids=["sasf", "wav"])
async def test_a_sealing_cut_off_at_any_step_is_done_again(
    tmp_path: Path, sealer: Sealer, kind: RunningFile, step: str
) -> None:
    spool = tmp_path / f"{STEM}.spool"
    write(spool, kind.encode())
    whole = await sealer.seal(tmp_path, STEM, ended())
    if kind.format == "wav":
        write(spool, kind.encode())
        if step != "before the running file goes":
            (tmp_path / whole.file).rename(tmp_path / f".{whole.file}.part")
    elif step != "before the running file goes":  # of a SASF file that is the same step as the one before
        (tmp_path / whole.file).rename(spool)
    if step == "before the report":
        (tmp_path / f"{STEM}.json").unlink()
        whole = replace(whole, quality=whole.quality if kind.format == "wav" else None)
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    assert recordings.reports() == [whole]
    assert names(tmp_path) == [STEM + ".json", whole.file]


async def test_running_and_sealing_recordings_are_not_deleted_and_the_rest_is_for_good(
    tmp_path: Path, sealer: Sealer
) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    assert not await recordings.delete(FILE)
    write(recordings.spool_path(FILE), CONTENT)
    recordings.complete(FILE, ended("stopped"))
    assert not await recordings.delete(FILE)
    await recordings.settled()
    assert await recordings.delete(FILE)
    assert await recordings.delete(FILE)
    assert (recordings.reports(), names(tmp_path)) == ([], [])


async def test_a_discarded_recording_leaves_nothing(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT)
    recordings.complete(FILE, ended("stopped"), discard=True)
    await recordings.settled()
    assert (recordings.reports(), names(tmp_path)) == ([], [])


async def test_a_failed_recording_keeps_the_part_that_was_written(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT[: len(CONTENT) // 2])
    recordings.complete(FILE, ended("disk-full", "disk-full"))
    await recordings.settled()
    report = recordings.report(FILE)
    assert report is not None
    assert (report.state, report.reason) == ("failed", "disk-full")
    assert report.quality is not None
    assert report.quality["degraded"]
    assert 700 < report.duration_ms < 1600  # up to where its last whole chunk begins
    assert report.size == (tmp_path / FILE).stat().st_size


async def test_a_file_that_the_disk_does_not_take_is_tried_again(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer, retry_s=0.3)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT)
    obstacle = tmp_path / f".{STEM}.json.part"
    obstacle.mkdir()  # in the way of the report that is to be written
    recordings.complete(FILE, ended("stopped"))
    await recordings.settled()
    first = recordings.report(FILE)
    assert first is not None
    assert first.state == "failed"
    assert first.reason.startswith("sealing failed")
    assert recordings.spool_path(FILE).read_bytes() == CONTENT
    obstacle.rmdir()
    await state_becomes(recordings, "finished")
    await recordings.close()


async def state_becomes(recordings: Recordings, state: str) -> None:
    deadline = time.monotonic() + 10
    while (report := recordings.report(FILE)) is None or report.state != state:
        assert time.monotonic() < deadline, report
        await asyncio.sleep(0.02)


def who(_: Job) -> int:
    return os.getpid()


async def test_a_sealing_process_that_is_killed_is_replaced(tmp_path: Path, sealer: Sealer) -> None:
    await sealer.warm_up()
    os.kill(await sealer.workshop.run(who), signal.SIGKILL)  # as the kernel would when memory runs out
    write(tmp_path / f"{STEM}.spool", CONTENT)
    assert (await sealer.seal(tmp_path, STEM)).state == "finished"


def test_names_are_exactly_ours() -> None:
    assert parsed_stem(STEM) == ("ab" * 16, 1)
    for bad in ("", "../" + STEM, STEM + "\n", STEM.upper(), STEM + "/x", "ab" * 16, "ab" * 16 + "-0", "é" * 32 + "-1"):
        assert parsed_stem(bad) is None


def test_a_report_survives_its_file_and_ignores_what_is_new() -> None:
    report = replace(RUNNING, quality={"degraded": False})
    assert Report.decode(report.encode()) == report
    assert Report.decode(report.encode()[:-1] + b', "later": 1}') == report
    for bad in (b"", b"[]", b"{}", b'{"file": "x"}'):
        with pytest.raises(ValueError):
            Report.decode(bad)


def test_every_encoding_that_a_wav_file_may_be_asked_for_can_be_rendered() -> None:
    formats = {encoding: find_format(name) for encoding, name in rendering.FORMATS.items()}
    assert set(formats) == set(WAV_ENCODINGS)
    assert {each.media_type for each in formats.values()} == {"audio/wav"}
    assert all(8000 in each.sample_rates for each in formats.values())
