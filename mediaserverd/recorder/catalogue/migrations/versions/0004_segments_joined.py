"""Segments of one recording as one: what is heard of each, why it ended, and the gaps between them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("segments") as table:
        table.add_column(sa.Column("ended_because", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("heard_from_ms", sa.BigInteger))
        table.add_column(sa.Column("heard_to_ms", sa.BigInteger))
    with op.batch_alter_table("recordings") as table:
        table.add_column(sa.Column("segment_count", sa.Integer, nullable=False, server_default="1"))
        table.add_column(sa.Column("gap_ms", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("gaps", sa.JSON))
    op.create_index("ix_recordings_gap_ms", "recordings", ["gap_ms"])
    op.execute(
        "UPDATE recordings SET segment_count = (SELECT count(*) FROM segments WHERE recording_id = recordings.id)"
    )


def downgrade() -> None:
    op.drop_index("ix_recordings_gap_ms", "recordings")
    with op.batch_alter_table("recordings") as table:
        for column in ("gaps", "gap_ms", "segment_count"):
            table.drop_column(column)
    with op.batch_alter_table("segments") as table:
        for column in ("ended_because", "heard_from_ms", "heard_to_ms"):
            table.drop_column(column)
