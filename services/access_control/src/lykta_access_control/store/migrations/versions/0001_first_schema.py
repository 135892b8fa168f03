"""The first schema: directory, mandates, orders, cases, grants and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table; the change counter starts at 0."""
    _ways()
    _directory()
    _mandates()
    _access()
    op.execute("INSERT INTO revisions (id, value) VALUES (1, 0)")


def downgrade() -> None:
    """Drop every table, with what it holds."""
    for name in (
        "grants",
        "cases",
        "orders",
        "mandates",
        "members",
        "cameras",
        "places",
        "controllers",
        "outbox",
        "revisions",
    ):
        op.drop_table(name)


def _ways() -> None:
    """The change counter and the outbox."""
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=250), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("event_id"),
    )


def _directory() -> None:
    """Controllers, places, cameras and members."""
    op.create_table(
        "controllers",
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("controller"),
    )
    op.create_index("ix_controllers_revision", "controllers", ["revision"], unique=False)
    op.create_table(
        "places",
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("place", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["controller"], ["controllers.controller"]),
        sa.PrimaryKeyConstraint("controller", "place"),
    )
    op.create_table(
        "cameras",
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("camera", sa.String(length=63), nullable=False),
        sa.Column("place", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("credentials_ref", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["controller", "place"], ["places.controller", "places.place"]),
        sa.PrimaryKeyConstraint("controller", "camera"),
    )
    op.create_index("ix_cameras_revision", "cameras", ["revision"], unique=False)
    op.create_table(
        "members",
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("person_id", sa.String(length=255), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["controller"], ["controllers.controller"]),
        sa.PrimaryKeyConstraint("controller", "person_id"),
    )
    op.create_index("ix_members_revision", "members", ["revision"], unique=False)


def _mandates() -> None:
    """Mandates and the signed orders that follow from them."""
    op.create_table(
        "mandates",
        sa.Column("mandate_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("drafted_by", sa.String(length=255), nullable=False),
        sa.Column("authors", sa.Text(), nullable=False),
        sa.Column("drafts", sa.Integer(), nullable=False),
        sa.Column("proposed_by", sa.String(length=255), nullable=False),
        sa.Column("approved_by", sa.String(length=255), nullable=False),
        sa.Column("approved_at", sa.BigInteger()),
        sa.Column("ended_by", sa.String(length=255), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("end_reason", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["controller"], ["controllers.controller"]),
        sa.PrimaryKeyConstraint("mandate_id", "version"),
    )
    op.create_index("ix_mandates_revision", "mandates", ["revision"], unique=False)
    op.create_index(
        "mandates_one_approved",
        "mandates",
        ["mandate_id"],
        unique=True,
        sqlite_where=sa.text("state = 'approved'"),
        postgresql_where=sa.text("state = 'approved'"),
    )
    op.create_index(
        "mandates_one_open",
        "mandates",
        ["mandate_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('draft', 'proposed')"),
        postgresql_where=sa.text("state IN ('draft', 'proposed')"),
    )
    op.create_table(
        "orders",
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("camera", sa.String(length=63), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("mandate_id", sa.String(length=40), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["controller", "camera"], ["cameras.controller", "cameras.camera"]),
        sa.PrimaryKeyConstraint("controller", "camera"),
    )


def _access() -> None:
    """Cases and grants."""
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("opened_by", sa.String(length=255), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_by", sa.String(length=255), nullable=False),
        sa.Column("closed_at", sa.BigInteger()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["controller"], ["controllers.controller"]),
        sa.PrimaryKeyConstraint("case_id"),
    )
    op.create_index("ix_cases_controller", "cases", ["controller"], unique=False)
    op.create_index("ix_cases_revision", "cases", ["revision"], unique=False)
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.String(length=40), nullable=False),
        sa.Column("controller", sa.String(length=63), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=255), nullable=False),
        sa.Column("cameras", sa.Text(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.Column("to_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_ms", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.String(length=255), nullable=False),
        sa.Column("approved_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_by", sa.String(length=255), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("revoke_reason", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"]),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    op.create_index("ix_grants_case_id", "grants", ["case_id"], unique=False)
    op.create_index("ix_grants_controller", "grants", ["controller"], unique=False)
    op.create_index("ix_grants_revision", "grants", ["revision"], unique=False)
