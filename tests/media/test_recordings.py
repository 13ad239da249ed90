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

from mediaserverd.media import sealing
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report, parsed_stem, stem_of
from mediaserverd.media.sealing import Sealer, seal
from tests.kit.g711 import PCMU
from tests.kit.speech import speech
from tests.kit.wav import read_wav
from tests.media.spools import end_frame, padded, spool_bytes, stream, write

STEM = stem_of("ab" * 16, 1)
FILE = STEM + ".wav"
VOICE = padded(speech(1, 3))
CONTENT = spool_bytes(stream(0, PCMU.encode(VOICE)), end=end_frame(3000, "call-ended"), metadata={"Case": "7"})
RUNNING = Report(FILE, "ab" * 16, 1, "call-1", "running", "", "audio/wav", "audio/L16", "2026-01-01T00:00:00.000Z", {})


@pytest.fixture
async def sealer() -> AsyncIterator[Sealer]:
    one = Sealer()
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
    recordings.complete(FILE, "call-ended", None)
    during = recordings.report(FILE)
    assert during is not None
    assert during.state == "sealing"
    await recordings.settled()
    done = recordings.report(FILE)
    assert done is not None
    data = (tmp_path / FILE).read_bytes()
    assert (done.state, done.reason, done.duration_ms) == ("finished", "call-ended", 3000)
    assert (done.size, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert done.metadata == {"Case": "7"}
    assert (done.started_at, done.ended_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:03.000Z")
    assert names(tmp_path) == [STEM + ".json", FILE]


async def test_spools_left_by_an_earlier_life_are_sealed_as_recovered(tmp_path: Path, sealer: Sealer) -> None:
    for segment in range(1, 6):
        stem = stem_of("cd" * 16, segment)
        cut = CONTENT[: len(CONTENT) * segment // 7]
        write(tmp_path / f"{stem}.spool", cut)
    recordings = await opened(tmp_path, sealer)
    assert {each.state for each in recordings.reports()} == {"sealing"}
    assert {each.call_id for each in recordings.reports()} == {"call-1"}
    await recordings.settled()
    reports = recordings.reports()
    assert [each.state for each in reports] == ["finished"] * 5
    assert {each.reason for each in reports} == {"recovered"}
    for each in reports:
        assert abs(each.duration_ms - 3000 * each.segment / 7) < 60  # META and codecs are part of the bytes
        assert len(read_wav(tmp_path / each.file)) == 2


async def test_a_spool_with_an_end_keeps_its_own_reason(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", CONTENT)
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    assert [each.reason for each in recordings.reports()] == ["call-ended"]


async def test_a_spool_without_a_beginning_is_told_and_kept(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", CONTENT[:20])
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    [report] = recordings.reports()
    assert (report.state, report.reason, report.size, report.sha256) == ("failed", "spool-unreadable", 0, None)
    assert (tmp_path / f"{STEM}.unreadable").read_bytes() == CONTENT[:20]
    assert await recordings.delete(FILE)
    assert names(tmp_path) == []


async def test_what_is_listed_survives_a_restart(tmp_path: Path, sealer: Sealer) -> None:
    write(tmp_path / f"{STEM}.spool", CONTENT)
    before = seal(tmp_path, STEM, None)
    recordings = await opened(tmp_path, sealer)
    assert recordings.reports() == [before]


@pytest.mark.parametrize("step", ["before the report", "before the audio has its name", "before the spool is gone"])
async def test_a_sealing_cut_off_at_any_step_is_done_again(tmp_path: Path, sealer: Sealer, step: str) -> None:
    write(tmp_path / f"{STEM}.spool", CONTENT)
    whole = seal(tmp_path, STEM, None)
    write(tmp_path / f"{STEM}.spool", CONTENT)
    if step != "before the spool is gone":
        (tmp_path / FILE).rename(tmp_path / f".{FILE}.part")
    if step == "before the report":
        (tmp_path / f"{STEM}.json").unlink()
    recordings = await opened(tmp_path, sealer)
    await recordings.settled()
    assert recordings.reports() == [whole]
    assert names(tmp_path) == [STEM + ".json", FILE]


async def test_running_and_sealing_recordings_are_not_deleted_and_the_rest_is_for_good(
    tmp_path: Path, sealer: Sealer
) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    assert not await recordings.delete(FILE)
    write(recordings.spool_path(FILE), CONTENT)
    recordings.complete(FILE, "stopped", None)
    assert not await recordings.delete(FILE)
    await recordings.settled()
    assert await recordings.delete(FILE)
    assert await recordings.delete(FILE)
    assert (recordings.reports(), names(tmp_path)) == ([], [])


async def test_a_discarded_recording_leaves_nothing(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT)
    recordings.complete(FILE, "stopped", None, discard=True)
    await recordings.settled()
    assert (recordings.reports(), names(tmp_path)) == ([], [])


async def test_a_failed_recording_keeps_the_part_that_was_written(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT[: len(CONTENT) // 2])
    recordings.complete(FILE, "disk-full", "disk-full")
    await recordings.settled()
    report = recordings.report(FILE)
    assert report is not None
    assert (report.state, report.reason) == ("failed", "disk-full")
    assert report.quality is not None
    assert report.quality["degraded"]
    assert 1400 < report.duration_ms < 1600
    assert report.size == (tmp_path / FILE).stat().st_size


async def test_a_file_that_the_disk_does_not_take_is_tried_again(tmp_path: Path, sealer: Sealer) -> None:
    recordings = await opened(tmp_path, sealer, retry_s=0.3)
    recordings.begin(RUNNING)
    write(recordings.spool_path(FILE), CONTENT)
    obstacle = tmp_path / f".{FILE}.part"
    obstacle.mkdir()  # in the way of the file that is to be written
    recordings.complete(FILE, "stopped", None)
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


async def test_a_sealing_process_that_is_killed_is_replaced(tmp_path: Path, sealer: Sealer) -> None:
    await sealer.warm_up()
    [victim] = sealer._pool._processes  # a real one, killed as the kernel would when memory runs out
    os.kill(victim, signal.SIGKILL)
    await asyncio.sleep(0.1)
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


def test_every_wav_encoding_has_a_container() -> None:
    assert set(sealing.CONTAINERS) == {"audio/L16", "audio/PCMU", "audio/PCMA"}
