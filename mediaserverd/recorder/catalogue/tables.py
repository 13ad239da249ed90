"""The tables of the catalogue. Only what both SQLite and PostgreSQL do; no queries here.

``recordings`` has one row for each recording as people see it, ``segments`` one for each file of it (a failover makes a
second one). ``keyboxes`` has what opens encrypted files. The rows of ``segments`` are also the durable queue of what is
to be fetched and deleted: see ``fetch``.
``events`` is append-only: what happened with a recording, who listened to it, who deleted it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.schema import ForeignKey, ForeignKeyConstraint


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so there it is stored without one and read back as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


# SQLite makes a row id only for a column of exactly the type INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

recordings = Table(
    "recordings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("announced", Boolean, nullable=False),  # False: found on a media server, never in a ledger
    Column("controller", Text, nullable=False, default=""),
    Column("call_id", Text, nullable=False, default=""),
    Column("policy", Text, nullable=False, default=""),
    Column("direction", String(16), nullable=False, default=""),
    Column("initiation", Text, nullable=False, default=""),
    Column("calling_number", Text, nullable=False, default=""),
    Column("calling_name", Text, nullable=False, default=""),
    Column("calling_station", Text, nullable=False, default=""),
    Column("calling_line", Text, nullable=False, default=""),
    Column("called_number", Text, nullable=False, default=""),
    Column("called_name", Text, nullable=False, default=""),
    Column("called_station", Text, nullable=False, default=""),
    Column("called_line", Text, nullable=False, default=""),
    Column("encoding", String(32), nullable=False, default=""),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("duration_ms", BigInteger),  # of the joined audio
    Column("segment_count", Integer, nullable=False, default=1),
    Column("gap_ms", BigInteger, nullable=False, default=0),
    Column("gaps", JSON(none_as_null=True)),  # between, before and behind its segments: ``timeline.Gap``
    Column("stored_at", Instant),
    Column("deleted_at", Instant),
    Index(None, "started_at", "id"),
    Index(None, "call_id"),
    Index(None, "state", "reason", "stored_at"),  # with the next one, all that the counts need
    Index(None, "gap_ms"),
    Index(None, "calling_number"),
    Index(None, "called_number"),
)

segments = Table(
    "segments",
    metadata,
    Column("recording_id", String(32), ForeignKey("recordings.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("media_server", Text, nullable=False, default=""),
    Column("file", Text, nullable=False, default=""),
    Column("uri", Text, nullable=False, default=""),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("duration_ms", BigInteger),
    # What the controller said, in its own time: ``one_clock.Announced``.
    Column("asked_at", Instant),
    Column("confirmed_at", Instant),
    Column("over_at", Instant),
    Column("lasted_ms", BigInteger),
    Column("look_back_ms", BigInteger),  # of the file, before it was asked for
    Column("ended_because", String(64), nullable=False, default=""),  # in the controller's word, whatever came of it
    Column("heard_from_ms", BigInteger),  # the first packet in it, and the last one
    Column("heard_to_ms", BigInteger),
    Column("media_type", String(64), nullable=False, default=""),
    Column("size", BigInteger),
    Column("sha256", String(64), nullable=False, default=""),
    Column("quality", JSON(none_as_null=True)),
    Column("degraded", Boolean),  # as ``quality`` says; null where it is not known
    Column("store_key", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", Instant),  # null: nothing is to be done
    Column("fetched_at", Instant),
    Column("deleted_at_source", Instant),
    Column("purged_at", Instant),  # the object of a deleted recording is gone from the store
    # Of the object in the store: without its keys, perhaps compressed. ``size`` and ``sha256`` are of what was fetched.
    Column("format", String(16), nullable=False, default=""),  # wav, sasf
    Column("compression", String(16), nullable=False, default=""),  # by this recorder
    Column("stored_size", BigInteger),
    Column("stored_sha256", String(64), nullable=False, default=""),
    Column("encrypted", Boolean, nullable=False, default=False),
    Column("key_ids", Text, nullable=False, default=""),  # space-separated: of the keys that open it
    Column("keys_destroyed_at", Instant),
    Column("verification", String(16), nullable=False, default=""),
    Column("verification_findings", JSON(none_as_null=True)),
    Index(None, "next_attempt_at"),
    Index(None, "state", "media_server"),
    Index(None, "purged_at", "verification", "degraded"),  # all that the counts need
)

# The wrapped keys of encrypted files, which are nowhere else: to delete a row here is to destroy a recording.
keyboxes = Table(
    "keyboxes",
    metadata,
    Column("recording_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("file_id", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    ForeignKeyConstraint(["recording_id", "number"], ["segments.recording_id", "segments.number"]),
)

ledger_positions = Table(
    "ledger_positions",
    metadata,
    Column("controller", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("recording_id", String(32), nullable=False),
    Column("segment", Integer),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", Text, nullable=False, default=""),  # token, controller or media server that caused it
    Column("sequence", BigInteger),  # of a ledger entry
    Column("detail", JSON(none_as_null=True)),
    Index(None, "recording_id", "id"),
    Index(None, "actor", "sequence"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # space-separated, as in RFC 6749 section 3.3
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)
