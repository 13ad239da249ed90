"""The packet engine in a process of its own, with no daemon around it: each line on stdin is a mode to change to.

python -m bench.engine_process FIRST CALLS FOLDER
"""

from __future__ import annotations

import secrets
import select
import sys
import time
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.rtp_load import LoadSide, LoadTarget, phone_address
from mediaserverd.media.engine import Engine, RecordingClosed
from mediaserverd.protocol.sasf.header import Header
from mediaserverd.protocol.sasf.opening import open_file

Mode = Literal["relay", "clear", "encrypted"]
RECORDING: Final[tuple[Mode, ...]] = ("clear", "encrypted")

_ADDRESS: Final = "127.0.0.1"
_FIRST_PORT: Final = 20_000
_CLOSED_WITHIN_S: Final = 10.0


def target(call: int) -> LoadTarget:
    port = _FIRST_PORT + 4 * call
    return LoadTarget(
        LoadSide(phone_address(call, "caller"), (_ADDRESS, port)),
        LoadSide(phone_address(call, "called"), (_ADDRESS, port + 2)),
    )


class EngineProcess:
    def __init__(self, engine: Engine, first: int, calls: int, folder: Path) -> None:
        self._engine = engine
        self._calls = calls
        self._folder = folder
        self._signer = Ed25519PrivateKey.generate()
        self._recipient = X25519PrivateKey.generate().public_key()
        self._running: list[int] = []
        self._started = 0
        for call in range(calls):
            one = target(first + call)
            engine.open_session(call + 1, one.caller.remote, one.called.remote)
            engine.set_remote(call + 1, 0, one.caller.local)
            engine.set_remote(call + 1, 1, one.called.local)

    def change_to(self, mode: Mode) -> None:
        for recording in self._running:
            self._engine.stop_recording(recording, "stopped")
        self._wait_until_closed()
        if mode != "relay":
            self._running = [self._record(call + 1, encrypt=mode == "encrypted") for call in range(self._calls)]

    def _wait_until_closed(self) -> None:
        """What ends belongs to no round."""
        open_still = set(self._running)
        while open_still:
            select.select([self._engine], [], [], _CLOSED_WITHIN_S)
            events = self._engine.poll_events()
            open_still -= {event.recording for event in events if isinstance(event, RecordingClosed)}
        self._running = []

    def _record(self, session: int, *, encrypt: bool) -> int:
        self._started += 1
        key = secrets.token_bytes(32) if encrypt else None
        header = Header(
            file_id=secrets.token_bytes(16),
            recording_id=secrets.token_hex(16),
            segment=1,
            call_id="bench",
            created_ns=time.time_ns(),
            suite="aes-256-gcm" if encrypt else "clear",
            content="received",
            writer="bench",
        )
        opening = open_file(header, self._signer, key, [self._recipient] if encrypt else [])
        path = self._folder / f"{self._started}.spool"
        seed = self._signer.private_bytes_raw()
        self._engine.start_recording(session, self._started, path, opening, key, seed, {})
        return self._started


def main() -> None:
    first, calls, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    with Engine() as engine:
        process = EngineProcess(engine, first, calls, folder)
        print("ready", flush=True)
        for line in sys.stdin:
            (mode,) = (known for known in ("relay", *RECORDING) if known == line.strip())
            process.change_to(mode)
            print("done", flush=True)


if __name__ == "__main__":
    main()
