"""Recordings in SASF: what is in the store beside what was fetched, what verifying it found, the wrapped keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ADDED = ("format", "compression", "encrypted", "key_ids", "verification", "verification_findings", "keys_destroyed_at")
_STORED = ("stored_size", "stored_sha256")


def upgrade() -> None:
    with op.batch_alter_table("segments") as table:
        table.add_column(sa.Column("format", sa.String(16), nullable=False, server_default=""))
        table.add_column(sa.Column("compression", sa.String(16), nullable=False, server_default=""))
        table.add_column(sa.Column("encrypted", sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("key_ids", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("verification", sa.String(16), nullable=False, server_default=""))
        table.add_column(sa.Column("verification_findings", sa.JSON))
        table.add_column(sa.Column("keys_destroyed_at", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("stored_size", sa.BigInteger))
        table.add_column(sa.Column("stored_sha256", sa.String(64), nullable=False, server_default=""))
    # Until now what was fetched was stored as it came, and it was WAV.
    op.execute("UPDATE segments SET format = 'wav', stored_size = size, stored_sha256 = sha256 WHERE state = 'stored'")
    op.create_table(
        "keyboxes",
        sa.Column("recording_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("file_id", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_id", "number"], ["segments.recording_id", "segments.number"], name="fk_keyboxes_recording_id"
        ),
        sa.PrimaryKeyConstraint("recording_id", "number", name="pk_keyboxes"),
    )
    op.create_index("ix_segments_verification", "segments", ["verification"])


def downgrade() -> None:
    op.drop_index("ix_segments_verification", "segments")
    op.drop_table("keyboxes")
    with op.batch_alter_table("segments") as table:
        for column in (*_ADDED, *_STORED):
            table.drop_column(column)
