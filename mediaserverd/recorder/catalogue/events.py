"""The append-only history of recordings: from ledger, fetching, people. Written in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from mediaserverd.recorder.catalogue.tables import events

EVENTS_SHOWN = 1000  # of one recording; a player that seeks makes one for each range it asks for


def add_event(
    connection: Connection,
    recording_id: str,
    segment: int | None,
    kind: str,
    at: datetime,
    *,
    actor: str = "",
    sequence: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        insert(events).values(
            recording_id=recording_id,
            segment=segment,
            at=at,
            kind=kind,
            actor=actor,
            sequence=sequence,
            detail=dict(detail) if detail else None,
        )
    )


def events_of(connection: Connection, recording_id: str) -> list[Mapping[str, Any]]:
    """The latest events of a recording, oldest first."""
    query = select(events).where(events.c.recording_id == recording_id).order_by(events.c.id.desc()).limit(EVENTS_SHOWN)
    return [dict(row) for row in reversed(connection.execute(query).mappings().all())]


def recordings_of_sequences(connection: Connection, controller: str, sequences: Collection[int]) -> dict[int, str]:
    """Ledger sequence -> recording id, of those entries of a controller that were applied before."""
    query = select(events.c.sequence, events.c.recording_id).where(
        events.c.actor == controller, events.c.sequence.in_(sequences)
    )
    return {int(sequence): recording_id for sequence, recording_id in connection.execute(query.order_by(events.c.id))}
