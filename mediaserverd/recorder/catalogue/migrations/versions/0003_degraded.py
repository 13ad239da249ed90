"""Which segments are degraded, where it can be counted without reading every quality report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTED = ["purged_at", "verification", "degraded"]


def upgrade() -> None:
    with op.batch_alter_table("segments") as table:
        table.add_column(sa.Column("degraded", sa.Boolean))
    segments = sa.table("segments", sa.column("quality", sa.JSON), sa.column("degraded", sa.Boolean))
    told = segments.c.quality["degraded"].as_boolean()
    op.execute(segments.update().where(told.is_not(None)).values(degraded=told))
    op.drop_index("ix_segments_verification", "segments")
    op.create_index("ix_segments_purged_at_verification_degraded", "segments", _COUNTED)


def downgrade() -> None:
    op.drop_index("ix_segments_purged_at_verification_degraded", "segments")
    op.create_index("ix_segments_verification", "segments", ["verification"])
    with op.batch_alter_table("segments") as table:
        table.drop_column("degraded")
