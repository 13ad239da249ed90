"""What the catalogue keeps of the object in the store: what verifying it found, and the keys of encrypted ones.

The wrapped keys of an encrypted recording are in these rows and nowhere else; to delete them is to destroy the audio,
wherever copies of the file are (crypto-shredding). Not responsible for the keys that open them (``vault``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from mediaserverd.recorder.catalogue.events import add_event
from mediaserverd.recorder.catalogue.segments import Key, Segment, degraded, refresh_recording, times_of
from mediaserverd.recorder.catalogue.tables import keyboxes, segments
from mediaserverd.recorder.catalogue.unannounced import complete
from mediaserverd.recorder.states import SegmentState, Verification

if TYPE_CHECKING:  # the command line reads custody, and has no need of what reads recordings
    from mediaserverd.recorder.examination import Examined
    from mediaserverd.recorder.intake import Admitted


@dataclass(frozen=True, slots=True)
class Custody:
    """``content``: the keybox as it stood in the file."""

    file_id: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Unread:
    """A file in the store that no key here opened when it came. ``verification``: what was found without one."""

    key: Key
    verification: Verification
    store_key: str
    size: int
    key_ids: frozenset[str]
    custody: Custody


def keep_admitted(connection: Connection, segment: Segment, admitted: Admitted, now: datetime) -> None:
    """Before the object is put into the store: an object without this row could never be opened."""
    examined = admitted.examined
    connection.execute(
        update(segments)
        .where(_is(segment.recording_id, segment.number))
        .values(
            format=admitted.format,
            compression=examined.compression,
            stored_size=examined.size,
            stored_sha256=examined.sha256,
            encrypted=examined.encrypted,
            key_ids=" ".join(admitted.key_ids),
            **_found(examined),
        )
    )
    complete(connection, segment.recording_id, examined.metadata)
    connection.execute(delete(keyboxes).where(_of(segment.recording_id, segment.number)))
    if examined.keybox:
        values = {"file_id": examined.file_id, "content": examined.keybox}
        connection.execute(insert(keyboxes).values(recording_id=segment.recording_id, number=segment.number, **values))
    if examined.verification:
        _tell(connection, segment.key, examined, now)


def unread(connection: Connection) -> list[Unread]:
    """Those whose keys are not destroyed."""
    query = select(segments, keyboxes.c.file_id, keyboxes.c.content).join(keyboxes, _has_keybox())
    rows = connection.execute(query.where(_is_unread()))
    return [
        Unread((row.recording_id, row.number), Verification(row.verification), row.store_key, row.stored_size,
               frozenset(row.key_ids.split()), Custody(row.file_id, row.content))
        for row in rows
    ]  # fmt: skip


def count_unread(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(segments).where(_is_unread())).scalar_one())


def unread_with(connection: Connection, key_id: str) -> int:
    """How many files are unread that this key opens."""
    return sum(key_id in each.key_ids for each in unread(connection))


def keep_reading(connection: Connection, key: Key, examined: Examined, now: datetime) -> bool:
    """What a look at an unread file has found that could be read by then. False: its keys were destroyed meanwhile."""
    if custody_of(connection, *key) is None:
        return False
    connection.execute(update(segments).where(_is(*key), _is_unread()).values(**_found(examined)))
    complete(connection, key[0], examined.metadata)
    _tell(connection, key, examined, now)
    refresh_recording(connection, key[0], now)
    return True


def custody_of(connection: Connection, recording_id: str, number: int) -> Custody | None:
    """None: it is in clear, or its keys were destroyed."""
    row = connection.execute(select(keyboxes).where(_of(recording_id, number))).one_or_none()
    return None if row is None else Custody(row.file_id, row.content)


def destroy_keys(connection: Connection, recording_id: str, who: str, now: datetime) -> int:
    """Makes the encrypted segments of a recording unreadable for ever. How many there were."""
    destroyed = connection.execute(delete(keyboxes).where(keyboxes.c.recording_id == recording_id)).rowcount
    if destroyed:
        connection.execute(
            update(segments)
            .where(segments.c.recording_id == recording_id, segments.c.encrypted)
            .values(keys_destroyed_at=now)
        )
        add_event(connection, recording_id, None, "keys-destroyed", now, actor=who, detail={"segments": destroyed})
    return destroyed


def lost_with(connection: Connection, key_id: str, others: Collection[str]) -> int:
    """How many segments nobody here could read any more without this key, having the others."""
    query = select(segments.c.key_ids).join(keyboxes, _has_keybox())
    rows = connection.execute(query.where(segments.c.key_ids.contains(key_id, autoescape=True))).scalars()
    return sum(key_id in (ids := row.split()) and not set(ids) & set(others) for row in rows)


def _found(examined: Examined) -> dict[str, Any]:
    """Columns of ``segments``. What could not be known leaves what the media server said."""
    told = {
        "quality": examined.quality,
        "degraded": degraded(examined.quality),
        "duration_ms": examined.duration_ms,
        "ended_at": examined.ended_at,
        **times_of(examined.quality or {}),
    }
    return {
        "verification": examined.verification,
        "verification_findings": list(examined.findings) or None,
        **{name: value for name, value in told.items() if value is not None},
    }


def _tell(connection: Connection, key: Key, examined: Examined, now: datetime) -> None:
    detail = {"findings": list(examined.findings[:5]), "compression": examined.compression}
    add_event(connection, *key, f"verification-{examined.verification}", now, detail=detail)


def _has_keybox() -> ColumnElement[bool]:
    return and_(keyboxes.c.recording_id == segments.c.recording_id, keyboxes.c.number == segments.c.number)


def _is_unread() -> ColumnElement[bool]:
    """Stored by now, as its row says what to open it with only then. One that failed may be unread as well."""
    failed = and_(segments.c.verification == Verification.FAILED, segments.c.encrypted)
    unread = or_(segments.c.verification == Verification.UNREAD, and_(failed, segments.c.heard_from_ms.is_(None)))
    return and_(segments.c.purged_at.is_(None), unread, segments.c.state == SegmentState.STORED)


def _is(recording_id: str, number: int) -> Any:
    return and_(segments.c.recording_id == recording_id, segments.c.number == number)


def _of(recording_id: str, number: int) -> Any:
    return and_(keyboxes.c.recording_id == recording_id, keyboxes.c.number == number)
