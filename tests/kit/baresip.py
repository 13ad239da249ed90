"""Debian's baresip as a softphone: a directory of configuration, a WAV file for its mouth, commands over ctrl_tcp.

It has no player that writes a file; what it hears is what its ``sndfile`` filter sees: the decoded packets one after
the other, as they leave its jitter buffer. A lost packet is therefore a missing piece, and a held call leaves no gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import soxr

from tests.kit.account import LOOPBACK, Account
from tests.kit.child import Child
from tests.kit.speech import RATE, Samples, silence
from tests.kit.wav import read_wav, write_wav

_STEP_S: Final = 15.0

# Modules are loaded in this order. Without stdio it needs no terminal; without alsa no sound card.
_CONFIG: Final = """\
poll_method epoll
sip_listen {listen}
sip_cafile {authority}
call_local_timeout 120
call_max_calls 4
audio_path {directory}/no-tones
audio_player aubridge,ear
audio_source aufile,{directory}/spoken.wav
audio_alert aubridge,bell
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
audio_buffer 20-200
jitter_buffer_delay 2-10
rtp_ports {rtp_first}-{rtp_last}
net_interface {address}
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module gsm.so
module l16.so
module opus.so
module aufile.so
module aubridge.so
module sndfile.so
snd_path {directory}/heard
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
ringback_disabled yes
menu_bell no
"""


class Baresip:
    """One baresip with one account. Use as ``async with await Baresip.start(...)``."""

    SETTLING_S: Final = 0.0

    def __init__(self, directory: Path, account: Account, child: Child) -> None:
        self.directory = directory
        self.account = account
        self._child = child
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._seen: list[str] = []
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    @classmethod
    async def start(
        cls,
        directory: Path,
        account: Account,
        spoken: Samples,
        *,
        address: str = LOOPBACK,
        listen: int = 0,
        rtp_first: int = 40000,
    ) -> Self:
        """``address`` is its own, ``listen`` its SIP port there for UDP and TCP [any]; ``rtp_first``: the first of its
        20 RTP ports."""
        (directory / "heard").mkdir(parents=True)
        control = _free_port()
        rate = _sample_rate(account.codecs[0])
        write_wav(directory / "spoken.wav", soxr.resample(spoken, RATE, rate), rate=rate)
        (directory / "contacts").write_text("")
        (directory / "accounts").write_text(_account_line(account))
        (directory / "config").write_text(
            _CONFIG.format(
                directory=directory,
                address=address,
                listen=f"{address}:{listen}",
                authority=account.authority or "",
                rtp_first=rtp_first,
                rtp_last=rtp_first + 19,
                control=control,
                rate=rate,
            )
        )
        child = await Child.start("baresip", ["baresip", "-4", "-v", "-s", "-f", directory], directory)
        phone = cls(directory, account, child)
        await phone._connect(control)
        return phone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def register(self) -> None:
        """Read from its output: it may have registered before anybody could ask it for events."""
        await self._child.wait_for(r"\} 200 .*\[\d+ binding", _STEP_S)

    async def dial(self, uri: str) -> None:
        # It adds the account's transport by itself, and a parameter that is there twice is malformed.
        await self._command("dial", uri.partition(";")[0])

    async def rings(self) -> None:
        await self._event("CALL_INCOMING")

    async def answer(self) -> None:
        await self._command("accept")

    async def established(self) -> None:
        await self._event("CALL_ESTABLISHED")

    async def hold(self) -> None:
        await self._command("hold")

    async def resume(self) -> None:
        await self._command("resume")

    async def hang_up(self) -> None:
        await self._command("hangup")

    async def cleared(self) -> None:
        await self._event("CALL_CLOSED")

    async def close(self) -> None:
        """Ends it as a user would: it unregisters first, so that no stale contact is left behind."""
        with contextlib.suppress(OSError):
            await self._command("quit")
            await asyncio.wait_for(self._child.process.wait(), 5)
        if self._reader:
            self._reader.cancel()
        if self._writer:
            self._writer.close()
        await self._child.stop()

    def heard(self) -> Samples:
        """What reached its ear piece; complete when the call has ended."""
        pieces = [read_wav(path)[0] for path in sorted((self.directory / "heard").glob("dump-*-dec.wav"))]
        return np.concatenate((silence(0), *pieces))

    async def _connect(self, port: int) -> None:
        async with self._child.patience(_STEP_S, "to open its control port"):
            while True:
                try:
                    reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.05)
        self._reader = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Netstrings with a JSON object each: events and answers to commands."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message: dict[str, Any] = json.loads((await reader.readexactly(length + 1))[:-1])
                if "event" in message:
                    self._events.put_nowait(str(message.get("type", "")))

    async def _command(self, name: str, parameters: str = "") -> None:
        assert self._writer is not None
        body = json.dumps({"command": name, "params": parameters}).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        await self._writer.drain()

    async def _event(self, name: str) -> None:
        """Events may come before they are waited for, so all that were seen and not yet waited for count."""
        async with self._child.patience(_STEP_S, f"to {name} (seen: {self._seen})"):
            while name not in self._seen:
                self._seen.append(await self._events.get())
        self._seen.remove(name)


def _account_line(account: Account) -> str:
    register = f";auth_pass={account.password};regint=60" if account.password else ";regint=0"
    return f"<{account.uri}>{register};answermode=manual;audio_codecs={','.join(account.codecs)};ptime=20\n"


def _sample_rate(codec: str) -> int:
    """Its own resampler leaves images that spoil every comparison, so it gets speech at the rate of its codec."""
    _, _, rate = codec.partition("/")
    return int(rate.partition("/")[0]) if rate else RATE


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
