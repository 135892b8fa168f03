"""The first tables: catalogue, hours and their keys, sealed roots, mandate terms and the outbox."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table of the first release."""
    _create_segments()
    _create_fragments()
    _create_gaps()
    _create_hours()
    _create_mandates()
    _create_outbox()


def downgrade() -> None:
    """Drop them."""
    op.drop_table("segments")
    op.drop_table("fragments")
    op.drop_table("gaps")
    op.drop_table("hours")
    op.drop_table("hour_keys")
    op.drop_table("sealed_roots")
    op.drop_table("orders")
    op.drop_table("terms")
    op.drop_table("approvals")
    op.drop_table("endings")
    op.drop_table("outbox")


def _create_segments() -> None:
    op.create_table(
        "segments",
        Column("controller", String(63), primary_key=True),
        Column("segment_id", String(120), primary_key=True),
        Column("camera", String(63), nullable=False),
        Column("hour", String(11), nullable=False),
        Column("place", String(63), nullable=False),
        Column("epoch", BigInteger(), nullable=False),
        Column("fencing_token", BigInteger(), nullable=False),
        Column("mandate_id", String(63), nullable=False),
        Column("mandate_version", Integer(), nullable=False),
        Column("from_ms", BigInteger(), nullable=False),
        Column("to_ms", BigInteger(), nullable=False),
        Column("codec", String(63), nullable=False),
        Column("width", Integer(), nullable=False),
        Column("height", Integer(), nullable=False),
        Column("fragments", Integer(), nullable=False),
        Column("clock_source", String(15), nullable=False),
        Column("clock_offset_ms", BigInteger(), nullable=False),
        Column("clock_uncertainty_ms", BigInteger(), nullable=False),
        Column("object_key", String(400), nullable=False),
        Column("size_bytes", BigInteger(), nullable=False),
        Column("index_sha256", String(64), nullable=False),
        Column("run", String(63), nullable=False),
        Column("seal_first_leaf", Integer(), nullable=False),
        Column("seal_count", Integer(), nullable=False),
        Column("seal_root", String(64), nullable=False),
        Column("seal_key_id", String(120), nullable=False),
        Column("seal_signature", String(120), nullable=False),
        Column("state", String(15), nullable=False),
    )
    op.create_index("segments_by_hour", "segments", ["controller", "camera", "hour", "run"])
    op.create_index("segments_by_time", "segments", ["controller", "camera", "from_ms"])


def _create_fragments() -> None:
    op.create_table(
        "fragments",
        Column("controller", String(63), primary_key=True),
        Column("segment_id", String(120), primary_key=True),
        Column("position", Integer(), primary_key=True),
        Column("camera", String(63), nullable=False),
        Column("hour", String(11), nullable=False),
        Column("run", String(63), nullable=False),
        Column("leaf", Integer(), nullable=False),
        Column("byte_offset", BigInteger(), nullable=False),
        Column("byte_length", BigInteger(), nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("cipher_sha256", String(64), nullable=False),
        Column("plain_length", BigInteger(), nullable=False),
        Column("init_length", Integer(), nullable=False),
        Column("from_ms", BigInteger(), nullable=False),
        Column("to_ms", BigInteger(), nullable=False),
        Column("decode_time", BigInteger(), nullable=False),
        Column("frames", Integer(), nullable=False),
        Column("damaged", Boolean(), nullable=False),
    )
    op.create_index("fragments_by_leaf", "fragments", ["controller", "camera", "hour", "run", "leaf"])
    op.create_index("fragments_by_time", "fragments", ["controller", "camera", "from_ms"])


def _create_gaps() -> None:
    op.create_table(
        "gaps",
        Column("controller", String(63), primary_key=True),
        Column("gap_id", String(200), primary_key=True),
        Column("camera", String(63), nullable=False),
        Column("from_ms", BigInteger(), nullable=False),
        Column("to_ms", BigInteger(), nullable=False),
        Column("cause", String(15), nullable=False),
        Column("detail", Text(), nullable=False),
        Column("fencing_token", BigInteger(), nullable=False),
    )
    op.create_index("gaps_by_time", "gaps", ["controller", "camera", "from_ms"])


def _create_hours() -> None:
    op.create_table(
        "hours",
        Column("controller", String(63), primary_key=True),
        Column("camera", String(63), primary_key=True),
        Column("hour", String(11), primary_key=True),
        Column("state", String(20), nullable=False),
        Column("recipient", String(120), nullable=False),
        Column("destroyed_ms", BigInteger()),
        Column("policy", String(200), nullable=False),
        Column("segment_ids", Text(), nullable=False),
        Column("segment_count", Integer(), nullable=False),
    )
    op.create_index("hours_by_state", "hours", ["state", "hour"])
    op.create_table(
        "hour_keys",
        Column("controller", String(63), primary_key=True),
        Column("camera", String(63), primary_key=True),
        Column("hour", String(11), primary_key=True),
        Column("wrapped", LargeBinary(), nullable=False),
    )
    op.create_table(
        "sealed_roots",
        Column("controller", String(63), primary_key=True),
        Column("camera", String(63), primary_key=True),
        Column("hour", String(11), primary_key=True),
        Column("run", String(63), primary_key=True),
        Column("leaf_count", Integer(), primary_key=True),
        Column("root", String(64), nullable=False),
        Column("key_id", String(120), nullable=False),
        Column("signature", String(120), nullable=False),
        Column("audit_entry_id", String(200), nullable=False),
        Column("audit_index", BigInteger(), nullable=False),
    )


def _create_mandates() -> None:
    op.create_table(
        "orders",
        Column("controller", String(63), primary_key=True),
        Column("camera", String(63), primary_key=True),
        Column("serial", BigInteger(), nullable=False),
        Column("status", String(10), nullable=False),
    )
    op.create_table(
        "terms",
        Column("controller", String(63), primary_key=True),
        Column("camera", String(63), primary_key=True),
        Column("mandate_id", String(63), primary_key=True),
        Column("version", Integer(), primary_key=True),
        Column("serial", BigInteger(), nullable=False),
        Column("document", Text(), nullable=False),
        Column("started_ms", BigInteger()),
        Column("ended_ms", BigInteger()),
    )
    op.create_table(
        "approvals",
        Column("controller", String(63), primary_key=True),
        Column("mandate_id", String(63), primary_key=True),
        Column("version", Integer(), primary_key=True),
        Column("approved_ms", BigInteger(), nullable=False),
    )
    op.create_table(
        "endings",
        Column("controller", String(63), primary_key=True),
        Column("mandate_id", String(63), primary_key=True),
        Column("ended_ms", BigInteger(), nullable=False),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("event_id", String(250), nullable=False, unique=True),
        Column("event", LargeBinary(), nullable=False),
    )
