from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mediaserverd.audio.formats import encode, find_format
from mediaserverd.audio.workshop import Job, WorkerDied, WorkFailed, Workshop, WorkshopFull
from tests.audio.listening import Spoken, conversation, heard


class Odd(Exception):
    """Takes two arguments, and so does not survive a pickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def encoding(job: Job, sound: Spoken, name: str) -> str:
    encode(sound, find_format(name), job.target, job.progress)
    return name


def who(job: Job) -> tuple[int, int, int]:
    return os.getpid(), os.nice(0), resource.getrlimit(resource.RLIMIT_CORE)[0]


def failing(job: Job, odd: bool) -> None:
    job.target.write(b"half of it")
    raise Odd("very", "odd") if odd else FileNotFoundError("no such recording")


def dying(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waiting(job: Job, file: Path) -> None:
    file.write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


def flooding(job: Job, parts: int) -> None:
    for _ in range(parts):
        job.target.write(bytes(100_000))


def breaking_off(job: Job) -> None:
    job.target.write(bytes(200_000))
    job.target.flush()
    raise ValueError("no more")


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    async with Workshop(2) as made:
        yield made


async def _appears(file: Path) -> int:
    async with asyncio.timeout(60):
        while not (file.exists() and file.read_text()):
            await asyncio.sleep(0.02)
    return int(file.read_text())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_work_is_done_in_another_process_that_is_nice_and_dumps_no_core(workshop: Workshop) -> None:
    pid, niceness, core = await workshop.run(who)
    assert pid != os.getpid()
    assert niceness >= os.nice(0) + 10 or niceness == 19
    assert core == 0
    assert (await workshop.run(who))[0] == pid, "an idle worker is used again"


async def test_a_file_is_streamed_as_it_is_made(workshop: Workshop) -> None:
    sound = conversation(90.0)
    parts = [part async for part in workshop.stream(encoding, sound, "webm-opus")]
    assert len(parts) > 3
    got = heard(b"".join(parts))
    assert (got.codec, got.channels, len(got.samples)) == ("opus", 2, 90 * 48_000)


async def test_progress_reaches_the_asker_before_the_end(workshop: Workshop) -> None:
    told: list[float] = []
    assert await workshop.run(encoding, conversation(65.0), "ogg-opus", progress=told.append) == "ogg-opus"
    assert len(told) >= 2
    assert told == sorted(told)
    assert told[-1] == 1.0


async def test_a_fault_of_the_work_is_raised_and_the_worker_goes_on(workshop: Workshop) -> None:
    pid = (await workshop.run(who))[0]
    with pytest.raises(FileNotFoundError, match="no such recording"):
        await workshop.run(failing, False)
    with pytest.raises(WorkFailed, match="Odd: very odd"):
        await workshop.run(failing, True)
    assert (await workshop.run(who))[0] == pid
    whole = b"".join([part async for part in workshop.stream(flooding, 3)])
    assert whole == bytes(300_000), "nothing of the failed work is left over"


async def test_a_worker_ends_with_its_workshop_that_is_killed_in_the_middle_of_its_work(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = (
        "import asyncio, pathlib, sys\nfrom mediaserverd.audio.workshop import Workshop\n"
        "from tests.audio.test_workshop import waiting\n"
        "asyncio.run(Workshop(1).run(waiting, pathlib.Path(sys.argv[1])))"
    )
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(file), cwd=Path(__file__).parents[2])
    async with asyncio.timeout(30):
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.02)
        owner.kill()
        await owner.wait()
        worker = Path("/proc", file.read_text(), "stat")
        while worker.exists() and worker.read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.sleep(0.02)


async def test_a_worker_that_dies_fails_its_own_work_only(workshop: Workshop) -> None:
    results = await asyncio.gather(
        workshop.run(dying), workshop.run(encoding, conversation(5.0), "wav-pcm"), return_exceptions=True
    )
    assert isinstance(results[0], WorkerDied)
    assert "-9" in str(results[0])
    assert (await workshop.run(who))[0] > 0


async def test_cancelled_work_ends_with_its_process(workshop: Workshop, tmp_path: Path) -> None:
    task = asyncio.create_task(workshop.run(waiting, tmp_path / "pid"))
    pid = await _appears(tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _is_alive(pid)
    assert (await workshop.run(who))[0] != pid


async def test_work_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with Workshop(1, deadline_s=4.0) as workshop:
        await workshop.run(who)  # a worker has started: that is no part of the four seconds
        with pytest.raises(TimeoutError):
            await workshop.run(waiting, tmp_path / "pid")
        assert not _is_alive(int((tmp_path / "pid").read_text()))


async def test_who_stops_listening_ends_the_work(workshop: Workshop) -> None:
    stream = workshop.stream(flooding, 10_000)
    assert len(await anext(stream)) > 0
    await stream.aclose()
    assert workshop.waiting == 0
    assert (await workshop.run(who))[1] >= 0


async def test_a_slow_listener_keeps_no_worker_until_it_is_far_ahead() -> None:
    async with Workshop(1) as workshop:
        short, endless = workshop.stream(flooding, 100), workshop.stream(flooding, 1_000_000)
        heard_bytes = len(await anext(short))
        async with asyncio.timeout(60):
            await workshop.run(who)  # the only worker is done with the first stream, that nobody reads on
        assert sum([len(part) async for part in short]) == 100 * 100_000 - heard_bytes
        await anext(endless)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(workshop.run(who), 2.0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await asyncio.sleep(1.0)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KB
        await endless.aclose()
        assert (await workshop.run(who))[0] > 0


async def test_a_fault_behind_a_part_of_a_stream_is_raised_behind_that_part(workshop: Workshop) -> None:
    got = bytearray()

    async def listen() -> None:
        async for part in workshop.stream(breaking_off):
            got.extend(part)

    with pytest.raises(ValueError, match="no more"):
        await listen()
    assert got == bytes(200_000)


async def test_more_than_can_wait_is_refused_and_no_more_than_the_workers_run_at_once(tmp_path: Path) -> None:
    async with Workshop(1, waiting_limit=1) as workshop:
        tasks = [asyncio.create_task(workshop.run(waiting, tmp_path / str(number))) for number in range(2)]
        await _appears(tmp_path / "0")
        assert workshop.waiting == 1
        with pytest.raises(WorkshopFull, match="1 pieces of work are waiting already"):
            await workshop.run(who)
        assert not (tmp_path / "1").exists()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert workshop.waiting == 0


async def test_a_signal_to_the_whole_group_is_left_to_the_workshop(workshop: Workshop) -> None:
    pid = (await workshop.run(who))[0]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert (await workshop.run(who))[0] == pid
