"""What the controller's clock says of each segment, so that gaps do not depend on clocks of media servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENTS = ("asked_at", "confirmed_at", "over_at")
_LENGTHS = ("lasted_ms", "look_back_ms")


def upgrade() -> None:
    with op.batch_alter_table("segments") as table:
        for column in _MOMENTS:
            table.add_column(sa.Column(column, sa.DateTime(timezone=True)))
        for column in _LENGTHS:
            table.add_column(sa.Column(column, sa.BigInteger))


def downgrade() -> None:
    with op.batch_alter_table("segments") as table:
        for column in (*_LENGTHS, *_MOMENTS):
            table.drop_column(column)
