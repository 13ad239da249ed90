"""Builds the engine's C++ tests with sanitizers, once, and runs them."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUZZ_SECONDS = 5


def built(preset: str, target: str) -> Path:
    """The program; the second time only what changed is built."""
    folder = ROOT / "build" / f"engine-{preset}"
    folder.mkdir(parents=True, exist_ok=True)
    tools = Path(sys.executable).parent
    cmake = str(tools / "cmake") if (tools / "cmake").exists() else "cmake"
    ninja = tools / "ninja"
    use_ninja = [f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja.exists() else []
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            [cmake, "--preset", preset, *use_ninja],
            [cmake, "--build", "--preset", preset, "--target", target],
        ):
            run = subprocess.run(command, cwd=ROOT / "engine", capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
    return folder / target


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("preset", "tests"), [("asan", "engine_tests"), ("asan", "codec_tests"), ("tsan", "engine_tests")]
)
def test_the_engine_and_the_codecs_keep_their_promises_under_sanitizers(preset: str, tests: str) -> None:
    """The codecs know no threads."""
    program = built(preset, tests)
    # Without address space randomisation: GCC 12's thread sanitizer knows no kernel with more than 28 bits of it.
    run = subprocess.run(["setarch", "-R", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " 0 failed checks" in run.stdout


@pytest.mark.timeout(600)
def test_the_packet_function_withstands_a_fuzzer(tmp_path: Path) -> None:
    program = built("fuzz", "session_fuzz")
    run = subprocess.run(
        [program, f"-max_total_time={FUZZ_SECONDS}", "-max_len=4096", "-seed=1", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-4000:]
