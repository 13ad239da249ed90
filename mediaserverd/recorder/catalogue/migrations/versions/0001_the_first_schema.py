"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _recordings()
    _segments()
    _ledger_and_events()
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )


def _recordings() -> None:
    texts = [
        "controller", "call_id", "policy", "initiation",
        "calling_number", "calling_name", "calling_station", "calling_line",
        "called_number", "called_name", "called_station", "called_line",
    ]  # fmt: skip
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("announced", sa.Boolean, nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("encoding", sa.String(32), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("stored_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_recordings"),
    )
    op.create_index("ix_recordings_started_at_id", "recordings", ["started_at", "id"])
    op.create_index("ix_recordings_call_id", "recordings", ["call_id"])
    op.create_index("ix_recordings_state_reason_stored_at", "recordings", ["state", "reason", "stored_at"])
    op.create_index("ix_recordings_calling_number", "recordings", ["calling_number"])
    op.create_index("ix_recordings_called_number", "recordings", ["called_number"])


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("recording_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("media_server", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("quality", sa.JSON),
        sa.Column("store_key", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("fetched_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at_source", sa.DateTime(timezone=True)),
        sa.Column("purged_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name="fk_segments_recording_id"),
        sa.PrimaryKeyConstraint("recording_id", "number", name="pk_segments"),
    )
    op.create_index("ix_segments_next_attempt_at", "segments", ["next_attempt_at"])
    op.create_index("ix_segments_state_media_server", "segments", ["state", "media_server"])


def _ledger_and_events() -> None:
    op.create_table(
        "ledger_positions",
        sa.Column("controller", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller", name="pk_ledger_positions"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("recording_id", sa.String(32), nullable=False),
        sa.Column("segment", sa.Integer),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("detail", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_recording_id_id", "events", ["recording_id", "id"])
    op.create_index("ix_events_actor_sequence", "events", ["actor", "sequence"])


def downgrade() -> None:
    for table in ("tokens", "events", "ledger_positions", "segments", "recordings"):
        op.drop_table(table)
