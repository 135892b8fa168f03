"""The incident book, the archive of mandate orders and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(40), primary_key=True),
        sa.Column("controller", sa.String(63), nullable=False),
        sa.Column("camera", sa.String(63), nullable=False),
        sa.Column("rule_key", sa.String(500), nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
    )
    where = sa.text("is_open")
    op.create_index(
        "one_open_incident",
        "incidents",
        ["controller", "camera", "rule_key"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index("incidents_by_time", "incidents", ["controller", "started_ms", "incident_id"])
    op.create_table(
        "mandate_orders",
        sa.Column("controller", sa.String(63), primary_key=True),
        sa.Column("camera", sa.String(63), primary_key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.Text, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(250), nullable=False, unique=True),
        sa.Column("event", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drops the tables."""
    for table in ("outbox", "mandate_orders", "incidents"):
        op.drop_table(table)
