"""Looks again at stored recordings that no key opened when they came, once a key that does has been imported.

Also at those that failed then: what is left of their audio is heard, and a cause that has gone is no cause. They are
verified and judged as all others are when they are taken in. The objects in the store stay as they are: what would have
been compressed then is not compressed now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from mediaserverd.audio.workshop import WorkerDied, WorkFailed, Workshop, WorkshopFull
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.keys import Keybox
from mediaserverd.recorder.catalogue import custody
from mediaserverd.recorder.catalogue.custody import Unread
from mediaserverd.recorder.catalogue.database import Database
from mediaserverd.recorder.catalogue.segments import file_stem, times_of
from mediaserverd.recorder.examination import Examined, Task, examine_again
from mediaserverd.recorder.keyfiles import KeyFault
from mediaserverd.recorder.states import Verification
from mediaserverd.recorder.store import Store, StoreFault
from mediaserverd.recorder.vault import Vault

log = structlog.get_logger()


class SecondLook:
    """``on_change``: the catalogue has another verdict than before."""

    def __init__(
        self,
        database: Database,
        store: Store,
        vault: Vault,
        workshop: Workshop,
        incoming: Path,
        poll_s: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._store = store
        self._vault = vault
        self._workshop = workshop
        self._incoming = incoming
        self._poll_s = poll_s
        self._on_change = on_change
        self._looked_at: tuple[frozenset[str], int] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
            except (SQLAlchemyError, KeyFault) as fault:
                log.error("second_look_failed", fault=str(fault).partition("\n")[0])
            await asyncio.sleep(self._poll_s())

    async def _look(self) -> None:
        """Only if there are other keys, or other unread recordings, than at the last look: all takes long."""
        keys = await asyncio.to_thread(self._vault.opening)
        state = keys, await self._database.read(custody.count_unread)
        if state == self._looked_at:
            return
        waiting = [each for each in await self._database.read(custody.unread) if each.key_ids & keys]
        if all([await self._try(each) for each in waiting]):
            self._looked_at = keys, await self._database.read(custody.count_unread)

    async def _try(self, each: Unread) -> bool:
        """False: not now, but perhaps later."""
        named = {"recording_id": each.key[0], "segment": each.key[1]}
        try:
            examined = await self._examined(each)
        except SasfError as fault:
            if each.verification is not Verification.FAILED:  # else it was told when the file came
                log.error("second_look_failed", **named, fault=str(fault))
            return True
        except (StoreFault, OSError, WorkerDied, WorkFailed, WorkshopFull) as fault:
            log.error("second_look_failed", **named, fault=str(fault))
            return not isinstance(fault, StoreFault | WorkshopFull)
        if examined is None or not _says_more(examined, each.verification):
            return True
        if await self._database.write(custody.keep_reading, each.key, examined, datetime.now(UTC)):
            tell = log.info if examined.verification is Verification.VERIFIED else log.error
            tell("recording_read", **named, verification=examined.verification)
            self._on_change()
        return True

    async def _examined(self, each: Unread) -> Examined | None:
        """None: the key of that name does not open it."""
        recording_id, segment = each.key
        key = await asyncio.to_thread(self._vault.unlock, Keybox.parse(each.custody.content), each.custody.file_id)
        if key is None:
            return None
        trusted = await asyncio.to_thread(self._vault.trusted_signers)
        path = self._store.path(each.store_key)
        if path is not None:
            return await self._workshop.run(examine_again, Task(path, recording_id, segment, key, trusted))
        copy = self._incoming / f"{file_stem(*each.key)}~again"
        try:
            await self._fetch(each, copy)
            return await self._workshop.run(examine_again, Task(copy, recording_id, segment, key, trusted))
        finally:
            copy.unlink(missing_ok=True)

    async def _fetch(self, each: Unread, copy: Path) -> None:
        """It has no keys in it, and is encrypted."""
        with copy.open("wb") as file:
            async for piece in await self._store.read(each.store_key, 0, each.size):
                await asyncio.to_thread(file.write, piece)


def _says_more(examined: Examined, before: Verification) -> bool:
    match examined.verification:
        case Verification.UNREAD:
            return False
        case Verification.FAILED:
            return before is not Verification.FAILED or times_of(examined.quality or {})["heard_from_ms"] is not None
    return True
