"""`mediaserverd run`: three supervised children that come up, come back, reload and end in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest

STATUS_PORTS = {"controller": 9501, "media": 9502, "recorder": 9503}
START_LIMIT_S = 30.0


@dataclass
class Daemon:
    """The running supervisor and its log lines."""

    process: subprocess.Popen[str]
    config: Path
    lines: list[dict[str, object]] = field(default_factory=list)

    def read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))

    def events(self, name: str) -> list[dict[str, object]]:
        return [line for line in list(self.lines) if line["event"] == name]

    def wait_for(self, name: str, count: int = 1) -> list[dict[str, object]]:
        deadline = time.monotonic() + START_LIMIT_S
        while len(self.events(name)) < count:
            assert time.monotonic() < deadline, f"no {name} in {self.lines}"
            assert self.process.poll() is None or self.events(name), self.lines
            time.sleep(0.05)
        return self.events(name)

    def child_pids(self) -> dict[str, int]:
        return {str(line["child"]): int(str(line["child_pid"])) for line in self.events("role_starting")}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    run = [sys.executable, "-m", "mediaserverd"]
    subprocess.run([*run, "init", "--directory", str(tmp_path)], check=True, capture_output=True)
    config = tmp_path / "config.yaml"
    process = subprocess.Popen([*run, "run", "--config", str(config)], stderr=subprocess.PIPE, text=True)
    daemon = Daemon(process, config)
    reader = Thread(target=daemon.read_log)
    reader.start()
    try:
        daemon.wait_for("all_roles_ready")
        yield daemon
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(START_LIMIT_S)
        reader.join()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return bool(json.load(answer)["ready"])
    except OSError:
        return False


def _wait_ready(role: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not _is_ready(STATUS_PORTS[role]):
        assert time.monotonic() < deadline, f"{role} did not become ready"
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_all_roles_become_ready_and_end_cleanly(daemon: Daemon) -> None:
    for role in STATUS_PORTS:
        _wait_ready(role)
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(START_LIMIT_S) == 0
    assert not [line for line in daemon.lines if line["level"] in ("error", "critical")]
    assert not any(_is_alive(pid) for pid in daemon.child_pids().values())


@pytest.mark.parametrize("role", ["controller", "media", "recorder"])
def test_a_killed_role_comes_back_by_itself(daemon: Daemon, role: str) -> None:
    first = daemon.child_pids()[role]
    os.kill(first, signal.SIGKILL)
    daemon.wait_for("role_died")
    daemon.wait_for("role_starting", 4)
    _wait_ready(role)
    assert daemon.child_pids()[role] != first


def test_a_good_configuration_is_taken_over_on_hup_and_a_bad_one_changes_nothing(daemon: Daemon) -> None:
    good = daemon.config.read_text()
    daemon.config.write_text(good + "nonsense: true\n")
    daemon.process.send_signal(signal.SIGHUP)
    refused = daemon.wait_for("reload_refused")[0]
    assert "nonsense: unknown key" in str(refused["faults"])
    assert not daemon.events("reloaded")
    daemon.config.write_text(good)
    daemon.process.send_signal(signal.SIGHUP)
    assert {line["role"] for line in daemon.wait_for("reloaded", 3)} == set(STATUS_PORTS)


def test_children_do_not_outlive_a_killed_supervisor(daemon: Daemon) -> None:
    children = daemon.child_pids().values()
    daemon.process.kill()
    deadline = time.monotonic() + START_LIMIT_S
    while any(_is_alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_port_in_use_ends_the_start_with_a_sentence_and_the_configuration_status(daemon: Daemon) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "mediaserverd", "run", "--config", str(daemon.config)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 78
    assert "start_failed" in second.stderr
    assert "in use" in second.stderr
    assert daemon.process.poll() is None
