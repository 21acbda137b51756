"""How far a running job is."""

import sqlalchemy as sa
from alembic import op

revision = "a0003"
down_revision = "a0002"


def upgrade() -> None:
    op.add_column("job", sa.Column("progress", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("job", "progress")
