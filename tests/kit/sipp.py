"""Runs SIPp with the scenarios of this project and tells what went wrong in a readable way."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SCENARIOS = Path(__file__).parents[2] / "sipp_scenarios"
CALLER_ADDRESS = "127.0.0.2"
FAR_END_ADDRESS = "127.0.0.3"
STOP_LIMIT_S = 10.0


class SippError(AssertionError):
    """A scenario did not go as it says; the text has SIPp's own error file."""


@dataclass(frozen=True)
class Account:
    """The station that SIPp calls as."""

    user: str
    password: str


@dataclass
class Sipp:
    """One running SIPp."""

    name: str
    process: subprocess.Popen[bytes]
    directory: Path

    def wait(self, limit_s: float) -> None:
        """Raises SippError unless every call went as the scenario says."""
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise SippError(f"{self.name} did not end within {limit_s:.0f} s\n{self.errors()}") from None
        if status:
            raise SippError(f"{self.name}: SIPp exit status {status}\n{self.errors()}")

    def errors(self) -> str:
        texts = [file.read_text(errors="replace")[:4000] for file in self.directory.glob("*errors.log")]
        return "\n".join(texts) or (self.directory / "output").read_text(errors="replace")[-2000:]

    def statistics(self) -> dict[str, float]:
        """The last line of SIPp's statistics file: its column names -> values, where they are numbers."""
        lines = (self.directory / "statistics.csv").read_text().splitlines()
        found: dict[str, float] = {}
        for key, value in zip(lines[0].split(";"), lines[-1].split(";"), strict=False):
            with contextlib.suppress(ValueError):
                found[key] = float(value)
        return found


@contextlib.contextmanager
def sipp(scenario: str, server: str, address: str, directory: Path, options: Sequence[str] = ()) -> Iterator[Sipp]:
    """A scenario on its own loopback address, port 5060, towards a server (address:port). Ended when left."""
    directory.mkdir(parents=True, exist_ok=True)
    command = ["sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", address, "-p", "5060", "-mi", address]
    command += ["-nostdin", "-trace_err", "-error_file", str(directory / "errors.log")]
    command += ["-trace_stat", "-stf", str(directory / "statistics.csv"), "-fd", "1", *options, server]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
    try:
        yield Sipp(scenario, process, directory)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_LIMIT_S)


def account_file(directory: Path, account: Account) -> Path:
    """An injection file: field0 is the user, field1 the digest keyword of SIPp."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "users.csv"
    credentials = f"[authentication username={account.user} password={account.password}]"
    file.write_text(f"SEQUENTIAL\n{account.user};{credentials}\n")
    return file
