"""Takes in a file that has been fetched whole: decides what is stored of it, and what the catalogue is told.

WAV is stored as it came. SASF is examined first (``examination``, in a process of its own); one that is not what it
should be is stored as evidence, with an alarm, and is never dropped. Not responsible for fetching or storing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog

from mediaserverd.audio.workshop import Workshop
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.keys import Keybox
from mediaserverd.protocol.sasf.opening import MAGIC, MAX_OPENING_BYTES, Opening, parse_opening
from mediaserverd.recorder.catalogue.segments import Segment
from mediaserverd.recorder.examination import Examined, Press, Task, evidence, examine
from mediaserverd.recorder.keyfiles import KeyFault, public_pem
from mediaserverd.recorder.settings import Compression
from mediaserverd.recorder.states import Verification
from mediaserverd.recorder.vault import Vault

log = structlog.get_logger()

TAKEN: Final = ".taken"  # a part that is no longer what was fetched: its keys are out
ATTEMPTS: Final = 2  # a process may be killed for want of memory once; a file that ends it twice is to blame


@dataclass(frozen=True, slots=True)
class Admitted:
    """``key_ids``: of the keys that open it."""

    format: Literal["wav", "sasf"]
    examined: Examined
    key_ids: tuple[str, ...] = ()


class Intake:
    def __init__(self, vault: Vault, workshop: Workshop, compression: Compression, name: str) -> None:
        self._vault = vault
        self._workshop = workshop
        self._compression = compression
        self._name = name

    async def admit(self, part: Path, segment: Segment) -> Admitted:
        """``part`` is what was fetched, whole; it is changed and renamed. Raises OSError."""
        if not await asyncio.to_thread(_is_sasf, part, segment.file):
            return Admitted("wav", Examined(part, segment.size or 0, segment.sha256, Verification.NONE))
        taken = part.with_suffix(TAKEN)
        await asyncio.to_thread(part.replace, taken)
        examined = await self._examined(taken, segment)
        key_ids = _key_ids(examined.keybox)
        _tell(segment, examined, key_ids)
        return Admitted("sasf", examined, key_ids)

    async def _examined(self, taken: Path, segment: Segment) -> Examined:
        for attempt in range(1, ATTEMPTS + 1):
            task = await asyncio.to_thread(self._task, taken, segment)
            try:
                return await self._workshop.run(examine, task)
            except Exception as fault:
                if isinstance(fault, OSError) and not isinstance(fault, TimeoutError):
                    raise  # of the disk, not of the file
                log.error("examination_failed", file=segment.file, fault=repr(fault), attempt=attempt)
                told = f"reading it failed: {fault!r}"
        return await asyncio.to_thread(evidence, taken, [told])

    def _task(self, taken: Path, segment: Segment) -> Task:
        return Task(
            path=taken,
            recording_id=segment.recording_id,
            segment=segment.number,
            key=self._key(taken),
            trusted=self._vault.trusted_signers(),
            press=Press(
                compression=self._compression,
                signing_key=self._vault.signer().private_bytes_raw(),
                recipients=tuple(public_pem(key) for key in self._vault.recipients().values()),
                writer=self._name,
            ),
        )

    def _key(self, taken: Path) -> bytes | None:
        try:
            opening = _opening(taken)
            return self._vault.unlock(Keybox.parse(opening.keybox), opening.header.file_id)
        except SasfError:
            return None  # the examination says what is wrong with it
        except KeyFault as fault:
            log.error("vault_unusable", fault=str(fault))
            return None


def _is_sasf(path: Path, name: str) -> bool:
    with path.open("rb") as file:
        return name.endswith(".sasf") or file.read(len(MAGIC)) == MAGIC


def _opening(path: Path) -> Opening:
    with path.open("rb") as file:
        return parse_opening(file.read(MAX_OPENING_BYTES))


def _key_ids(keybox: bytes) -> tuple[str, ...]:
    try:
        return tuple(wrapped.key_id[:64] for wrapped in Keybox.parse(keybox).keys) if keybox else ()
    except SasfError:
        return ()


def _tell(segment: Segment, examined: Examined, key_ids: tuple[str, ...]) -> None:
    named = {"recording_id": segment.recording_id, "segment": segment.number, "media_server": segment.media_server}
    match examined.verification:
        case Verification.FAILED:
            log.error("verification_failed", **named, findings=examined.findings[:5], kept="as evidence")
        case Verification.UNREAD:
            log.warning("recording_unread", **named, encrypted_for=key_ids, advice="`mediaserverd keys import` a key")
