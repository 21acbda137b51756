"""Jobs, tokens, switches."""

import sqlalchemy as sa
from alembic import op

revision = "a0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("media_length", sa.Float(), nullable=False),
        sa.Column("language_used", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("queue_time", sa.Float(), nullable=False),
        sa.Column("start_time", sa.Float(), nullable=False),
        sa.Column("finish_time", sa.Float(), nullable=False),
        sa.Column("processing_time", sa.Float(), nullable=False),
        sa.Column("url_notified", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("claim", sa.String(36), nullable=False),
        sa.Column("lease", sa.Float(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("notification", sa.String(8), nullable=False),
        sa.Column("expiration", sa.Float(), nullable=False),
        sa.Column("notify_at", sa.Float(), nullable=False),
        sa.Column("notify_failures", sa.Integer(), nullable=False),
    )
    op.create_index("job_order", "job", ["state", "priority", "queue_time"])
    op.create_index("job_owner", "job", ["owner", "queue_time"])
    op.create_table(
        "token",
        sa.Column("user", sa.String(100), primary_key=True),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
    op.create_table(
        "switch",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("on", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    for table in ("switch", "token", "job"):
        op.drop_table(table)
