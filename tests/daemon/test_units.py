"""The systemd units are valid, and every role's unit is hardened."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
EXPOSURE_LIMIT = "20"  # of 100, as systemd-analyze security counts it


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that exists: verify looks for it."""
    directory = tmp_path_factory.mktemp("units")
    program = shutil.which("true")
    assert program
    for unit in UNITS.iterdir():
        (directory / unit.name).write_text(unit.read_text().replace("/usr/bin/mediaserverd", program))
    return directory


def test_systemd_accepts_every_unit(installed: Path) -> None:
    units = sorted(str(unit) for unit in installed.iterdir() if unit.suffix in (".service", ".target"))
    assert len(units) == 4
    found = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("role", ["controller", "media", "recorder"])
def test_a_role_is_hardened(installed: Path, role: str) -> None:
    unit = str(installed / f"mediaserverd-{role}.service")
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_the_service_user_has_no_more_than_its_directories() -> None:
    assert "/var/lib/mediaserverd" in (UNITS / "mediaserverd.sysusers").read_text()
    assert " 0750 " in (UNITS / "mediaserverd.tmpfiles").read_text()


@pytest.mark.parametrize("role", ["controller", "media"])
def test_private_keys_of_recordings_are_out_of_reach_of_other_roles(role: str) -> None:
    unit = (UNITS / f"mediaserverd-{role}.service").read_text()
    (hidden,) = [line for line in unit.splitlines() if line.startswith("InaccessiblePaths=")]
    assert "keys/private" in hidden
    assert "vault.password" in hidden


def test_a_host_starts_the_roles_that_are_enabled_on_it_and_no_others(tmp_path: Path) -> None:
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for unit in UNITS.iterdir():
        shutil.copy(unit, units / unit.name)
    enable = ["systemctl", f"--root={tmp_path}", "enable", "mediaserverd-media.service"]
    subprocess.run(enable, capture_output=True, text=True, check=True)
    assert [unit.name for unit in (units / "mediaserverd.target.wants").iterdir()] == ["mediaserverd-media.service"]
    assert (units / "multi-user.target.wants" / "mediaserverd.target").is_symlink()
    assert "mediaserverd-" not in (UNITS / "mediaserverd.target").read_text(), "the target itself brings none"


def test_a_restart_of_the_controller_hands_its_calls_over_and_a_stop_does_not() -> None:
    unit = (UNITS / "mediaserverd-controller.service").read_text().splitlines()
    assert "RestartKillSignal=SIGUSR2" in unit
    assert not [line for line in unit if line.startswith("KillSignal=")]
