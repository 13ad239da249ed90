"""The README tells the truth: its commands are run as they stand, against a daemon that `make run` would start."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mediaserverd.config import load_config
from tests.kit.demo import Demonstration, prepare, running
from tests.kit.wav import read_wav

ROOT = Path(__file__).parents[2]
LIMIT_S = 240  # twenty commands, each a process that begins anew: half a minute, unless others work here too


def _blocks() -> list[str]:
    """The fenced blocks of language sh: what a reader pastes into a shell."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory that looks like the checkout to the commands, with a ``var`` of its own."""
    for name in ("config", "selection_rules"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.mark.timeout(LIMIT_S + 120)
async def test_every_command_of_the_readme_works_as_it_stands(checkout: Path) -> None:
    site = await prepare(checkout / "var")
    async with running(site):
        assert await Demonstration(site, checkout / "var").run()
        script = "set -euo pipefail\n" + "\n".join(_blocks())
        run = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            cwd=checkout,
            env={**os.environ, "HOME": str(checkout)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    left, right = read_wav(checkout / "call.wav")
    assert len(left) == len(right) > 5 * 8000
    assert "repr-digest: sha-256=" in run.stdout.lower()
    part = read_wav(checkout / "part.wav")
    assert [len(channel) for channel in part] == [2 * 8000, 2 * 8000]
    assert "carol" in run.stdout
    assert "102" in {station.extension for station in load_config(checkout / "var" / "config.yaml").controller.stations}


def test_the_readme_has_a_command_for_each_thing_that_it_promises() -> None:
    text = "\n".join(_blocks())
    for command in (
        "station add",
        "site invite",
        "media-server show",
        "token create",
        "/audio",
        "--request DELETE",
        ":8102/recordings",
        "check --config",
    ):
        assert command in text


def test_every_file_that_the_documents_link_to_exists() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"
