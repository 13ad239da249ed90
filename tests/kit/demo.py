"""``make run``: starts the daemon on the embedded default and shows with one real call that it records.

Responsible for the tour: what is shown, in which order, and whether it held. The phones, the doors and the judge are
the kit's; the daemon is the real command, and keeps running until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import yaml
from rich.console import Console
from rich.table import Table

from mediaserverd.config import Config, ConfigError, load_config
from tests.kit.account import Account
from tests.kit.child import Child, ChildFailed
from tests.kit.doors import Json, RecorderApi, Retrieval, Status
from tests.kit.judge import StereoVerdict, judge_stereo
from tests.kit.phone import Call, Phone, Refused
from tests.kit.rtp import Voice
from tests.kit.speech import speech
from tests.kit.wav import WavError, read_wav

_TALK_S: Final = 6.0
_READY_S: Final = 60.0
_STOP_S: Final = 60.0  # longer than the daemon's own drain time
_STORED_S: Final = 30.0
_CALLER_SAYS: Final = speech(100, 30)
_CALLED_SAYS: Final = speech(101, 30)
_SCOPES: Final = ("recordings:read", "recordings:audio")

out = Console()


class DemoFailed(Exception):
    """The demonstration cannot go on; the message says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """The running daemon, and where its doors are."""

    config: Config
    stations: tuple[Json, ...]  # with the passwords that stand in the file

    @property
    def address(self) -> str:
        return self.config.address

    @property
    def authority(self) -> Path:
        return self.config.recorder.certificate_authority

    @property
    def ports(self) -> dict[str, int]:
        config = self.config
        return {
            "controller": config.controller.status_port,
            "media": config.media.status_port,
            "recorder": config.recorder.status_port,
        }

    @property
    def api_url(self) -> str:
        return f"https://{self.address}:{self.config.recorder.api_port}"

    @property
    def retrieval_url(self) -> str:
        return f"https://{self.address}:{self.config.media.retrieval_port}"

    def account(self, station: Json) -> Account:
        return Account(station["name"], self.address, self.config.controller.sip.udp_port, station["password"])


async def prepare(directory: Path) -> Site:
    """A first start writes configuration, certificates and stations; later ones keep them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediaserverd", "init", "--directory", str(directory)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise DemoFailed(output.decode().strip())
    file = directory / "config.yaml"
    entries = yaml.safe_load(file.read_text()).get("stations", [])
    return Site(load_config(file), tuple(one for one in entries if one.get("password")))


@contextlib.asynccontextmanager
async def running(site: Site) -> AsyncIterator[Child]:
    """The daemon, ready; at the end of the block it is asked to stop, and waited for."""
    directory = site.config.file.parent
    words = [sys.executable, "-m", "mediaserverd", "run", "--config", str(site.config.file)]
    child = await Child.start("mediaserverd", words, directory)
    try:
        await _wait_until_ready(site, child)
        yield child
    finally:
        with out.status("stopping the daemon: running calls may end first"):
            if child.running:
                os.kill(child.pid, signal.SIGTERM)
            with contextlib.suppress(ChildFailed):
                await child.ended(_STOP_S)
            await child.stop()
        out.print("the daemon has stopped")


async def _wait_until_ready(site: Site, child: Child) -> None:
    status = Status(site.ports)
    missing: list[str] = []
    try:
        with out.status("starting the daemon") as shown:
            async with asyncio.timeout(_READY_S):
                while missing := [text for role in site.ports if (text := await status.missing(role))]:
                    if not child.running:
                        raise child.failure(f"ended with {child.process.returncode}")
                    shown.update(f"starting the daemon: waiting for {', '.join(one.split(':')[0] for one in missing)}")
                    await asyncio.sleep(0.1)
    except TimeoutError:
        raise child.failure(f"is not ready after {_READY_S:.0f} s ({missing})") from None
    finally:
        await status.close()


def show_doors(site: Site) -> None:
    sip = site.config.controller.sip
    table = Table("phone", "user", "password", "server", title="Register a phone", title_justify="left")
    server = f"{site.address}, UDP and TCP {sip.udp_port}, TLS {sip.tls_port}"
    for station in site.stations:
        table.add_row(station["extension"], station["name"], station["password"], server)
    out.print(table)
    out.print(f"For TLS let the phone trust {site.authority}")
    out.print(f"Recordings, with the API's own page: {site.api_url}/docs")
    out.print(f"Log: {site.config.file.parent / 'mediaserverd.log'}", highlight=False)


# -- the call ------------------------------------------------------------------------------------------------------


class Demonstration:
    """One call, followed until its recording is on this disk. Every step that holds is shown as it passes."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self.directory = directory

    async def run(self) -> bool:
        """Whether everything held."""
        if len(self.site.stations) < 2:
            raise DemoFailed(f"a call needs two stations with a password in {self.site.config.file}; add one")
        api = RecorderApi(self.site.api_url, self.site.authority, await self._token())
        retrieval = Retrieval(self.site.retrieval_url, self.site.authority, self._secret("retrieval"))
        try:
            known = {one["id"] for one in await api.recordings()}
            caller, called = await self._talk(retrieval)
            recording = await self._stored(api, known)
            [segment] = (await api.recording(recording["id"]))["segments"]
            unproven = _show_proof(segment)
            audio = await api.audio(recording["id"])
            _passed(f"downloaded by HTTPS: {len(audio)} octets, their SHA-256 is the one stated")
            await retrieval.empty_of(recording["id"])
            _passed("gone from the media server")
        finally:
            await api.close()
            await retrieval.close()
        path = self.directory / f"demonstration-{recording['id'][:8]}.wav"
        path.write_bytes(audio)
        offset_ms = 1000 * ((called.voice.speaks_from or 0) - (caller.voice.speaks_from or 0))
        verdict = judge_stereo(_CALLER_SAYS, _CALLED_SAYS, read_wav(audio), called_starts_ms=offset_ms)
        faults = [*unproven, *verdict.faults(seconds=int(_TALK_S) - 1), *_heard_faults(caller, called)]
        _show_verdict(recording, verdict, path, faults)
        return not faults

    async def _talk(self, retrieval: Retrieval) -> tuple[Call, Call]:
        first, second = self.site.stations[:2]
        local = (self.site.address, 0)
        voice = functools.partial(Voice.open, self.site.address)
        async with (
            await Phone.open(self.site.account(first), voice, local=local) as one,
            await Phone.open(self.site.account(second), voice, local=local) as two,
        ):
            await one.register()
            await two.register()
            _passed(f"stations {first['name']} and {second['name']} registered")
            ours = await one.dial(second["extension"])
            theirs = await two.rings()
            theirs.answer()
            await ours.established()
            await theirs.established()
            ours.voice.speak(_CALLER_SAYS)
            theirs.voice.speak(_CALLED_SAYS)
            _passed(f"{first['extension']} called {second['extension']}, who answered")
            with out.status(f"both speak for {_TALK_S:.0f} s"):
                await asyncio.sleep(_TALK_S / 2)
                running = [one["file"] for one in await retrieval.recordings() if one["state"] == "running"]
                await asyncio.sleep(_TALK_S / 2)
            if not running:
                raise DemoFailed("the call runs, and the media server lists no running recording")
            _passed(f"recorded, and listed by the media server while it runs: {running[-1]}")
            await ours.hang_up()
            await theirs.ended()
            _passed("hung up")
        return ours, theirs

    async def _stored(self, api: RecorderApi, known: set[str]) -> Json:
        with out.status("waiting until the recording is stored"):
            found = [one for one in await api.settled(len(known) + 1, _STORED_S) if one["id"] not in known]
        if not found or found[0]["state"] != "stored":
            raise DemoFailed(f"the recording was not stored: {[(one['state'], one['reason']) for one in found]}")
        _passed(f"listed by the recorder: {found[0]['id']}, stored")
        return found[0]

    async def _token(self) -> str:
        """Made once, kept beside the daemon's own secrets; made anew when the recorder does not know it any more."""
        file = self.site.config.secrets_directory / "demo.token"
        if file.exists():
            api = RecorderApi(self.site.api_url, self.site.authority, file.read_text())
            response = await api.get("/api/v1/recordings", limit=1)
            await api.close()
            if response.status_code == 200:
                return file.read_text()
        options = [word for scope in _SCOPES for word in ("--scope", scope)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mediaserverd", "token", "create", "--name", "demonstration", *options),
            *("--config", str(self.site.config.file)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise DemoFailed("no token could be made; see above")
        file.touch(mode=0o600)
        file.write_text(output.decode().strip())
        return file.read_text()

    def _secret(self, name: str) -> str:
        return (self.site.config.secrets_directory / f"{name}.token").read_text().strip()


def _passed(step: str) -> None:
    out.print(f"[green]ok[/green]  {step}", highlight=False, soft_wrap=True)


def _heard_faults(caller: Call, called: Call) -> list[str]:
    """The phones must have heard each other as well, all but what was on its way when they hung up."""
    pairs = (("caller", caller, called), ("called party", called, caller))
    return [
        f"the {name} heard {here.voice.ear.received} of {there.voice.sent} packets"
        for name, here, there in pairs
        if not there.voice.sent - 2 <= here.voice.ear.received <= there.voice.sent
    ]


def _show_proof(segment: Json) -> list[str]:
    """What the recorder found when it took the recording in, in its own words; what is wrong with it is returned."""
    sentence, quality = " ".join(segment["verification_findings"] or ()), segment["quality"] or {}
    if segment["verification"] != "verified" or not quality:
        return [f"the recording is not verified: {sentence or segment['verification']}"]
    _passed(f"verified: it {sentence}")
    sides = quality["sides"]
    counts = [f"{side['received']} of {side['expected']} packets, jitter {side['jitter_ms']:.1f} ms" for side in sides]
    worth = "degraded" if quality["degraded"] else "not degraded"
    _passed(f"quality: {worth}; caller {counts[0]}; called {counts[1]}; at most {quality['skew_ms']:.1f} ms apart")
    return ["the recording is degraded"] if quality["degraded"] else []


def _show_verdict(recording: Json, verdict: StereoVerdict, path: Path, faults: list[str]) -> None:
    table = Table("", "left: caller", "right: called", title="What was recorded", title_justify="left")
    sides = (verdict.left, verdict.right)
    table.add_row("seconds compared", *(str(len(side.correlations)) for side in sides))
    table.add_row("worst correlation of a second", *(f"{side.worst:.3f}" for side in sides))
    table.add_row("speech begins at", *(f"{side.lag_ms:.1f} ms" for side in sides))
    table.add_row("drift", *(f"{side.drift_ms:.1f} ms" for side in sides))
    out.print(table)
    out.print(f"duration {recording['duration_ms'] / 1000:.2f} s, the channels are {verdict.skew_ms:+.1f} ms apart")
    out.print(f"file {path}", highlight=False, soft_wrap=True)
    for fault in faults:
        out.print(f"[red]not as it should be:[/red] {fault}", highlight=False)
    if not faults:
        _passed("both channels carry what was spoken, in every second")


# -- the whole -----------------------------------------------------------------------------------------------------


async def tour(directory: Path, *, call: bool, once: bool) -> int:
    site = await prepare(directory)
    async with running(site) as daemon:
        show_doors(site)
        held = True
        if call:
            try:
                held = await Demonstration(site, directory).run()
            except (DemoFailed, Refused, TimeoutError, WavError, OSError, httpx.HTTPError) as fault:
                out.print(f"[red]the demonstration failed:[/red] {type(fault).__name__}: {fault}", highlight=False)
                held = False
        if not once:
            out.print("The daemon keeps running. Ctrl-C ends it.")
            await daemon.process.wait()
            raise daemon.failure(f"ended with {daemon.process.returncode}")
    return 0 if held else 1


async def until_signal(directory: Path, *, call: bool, once: bool) -> int:
    """Ctrl-C and SIGTERM are an ordinary end, but not of a demonstration that was to be completed."""
    task = asyncio.create_task(tour(directory, call=call, once=once))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 130 if once else 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Run mediaserverd and show with one call that it records.")
    parser.add_argument("--directory", type=Path, default=Path("var"), help="configuration and data [var]")
    parser.add_argument("--no-call", action="store_true", help="only run the daemon")
    parser.add_argument("--once", action="store_true", help="end after the call; status 0 only if every check held")
    words = parser.parse_args()
    try:
        sys.exit(asyncio.run(until_signal(words.directory.resolve(), call=not words.no_call, once=words.once)))
    except (DemoFailed, ChildFailed) as fault:
        sys.exit(str(fault))
    except ConfigError as error:
        sys.exit("\n".join(str(fault) for fault in error.faults))


if __name__ == "__main__":
    main()
