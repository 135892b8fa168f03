"""The tables of storage; instants are unix milliseconds, a camera-hour is three columns."""

from typing import Any

from lykta_common.outbox import outbox_table
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()
outbox = outbox_table(metadata)

segments = Table(
    "segments",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("segment_id", String(120), primary_key=True),
    Column("camera", String(63), nullable=False),
    Column("hour", String(11), nullable=False),
    Column("place", String(63), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("fencing_token", BigInteger, nullable=False),
    Column("mandate_id", String(63), nullable=False),
    Column("mandate_version", Integer, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("codec", String(63), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("fragments", Integer, nullable=False),
    Column("clock_source", String(15), nullable=False),
    Column("clock_offset_ms", BigInteger, nullable=False),
    Column("clock_uncertainty_ms", BigInteger, nullable=False),
    Column("object_key", String(400), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("index_sha256", String(64), nullable=False),
    Column("run", String(63), nullable=False),
    Column("seal_first_leaf", Integer, nullable=False),
    Column("seal_count", Integer, nullable=False),
    Column("seal_root", String(64), nullable=False),
    Column("seal_key_id", String(120), nullable=False),
    Column("seal_signature", String(120), nullable=False),
    Column("state", String(15), nullable=False),
    Index("segments_by_time", "controller", "camera", "from_ms"),
    Index("segments_by_hour", "controller", "camera", "hour", "run"),
)

fragments = Table(
    "fragments",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("segment_id", String(120), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("camera", String(63), nullable=False),
    Column("hour", String(11), nullable=False),
    Column("run", String(63), nullable=False),
    Column("leaf", Integer, nullable=False),
    Column("byte_offset", BigInteger, nullable=False),
    Column("byte_length", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("cipher_sha256", String(64), nullable=False),
    Column("plain_length", BigInteger, nullable=False),
    Column("init_length", Integer, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("decode_time", BigInteger, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("damaged", Boolean, nullable=False),
    Index("fragments_by_time", "controller", "camera", "from_ms"),
    Index("fragments_by_leaf", "controller", "camera", "hour", "run", "leaf"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("gap_id", String(200), primary_key=True),
    Column("camera", String(63), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("cause", String(15), nullable=False),
    Column("detail", Text, nullable=False),
    Column("fencing_token", BigInteger, nullable=False),
    Index("gaps_by_time", "controller", "camera", "from_ms"),
)

hours = Table(
    "hours",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("hour", String(11), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("recipient", String(120), nullable=False),
    Column("destroyed_ms", BigInteger),
    Column("policy", String(200), nullable=False),
    Column("segment_ids", Text, nullable=False),
    Column("segment_count", Integer, nullable=False),
    Index("hours_by_state", "state", "hour"),
)

hour_keys = Table(
    "hour_keys",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("hour", String(11), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

sealed_roots = Table(
    "sealed_roots",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("hour", String(11), primary_key=True),
    Column("run", String(63), primary_key=True),
    Column("leaf_count", Integer, primary_key=True),
    Column("root", String(64), nullable=False),
    Column("key_id", String(120), nullable=False),
    Column("signature", String(120), nullable=False),
    Column("audit_entry_id", String(200), nullable=False),
    Column("audit_index", BigInteger, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("status", String(10), nullable=False),
)

terms = Table(
    "terms",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("mandate_id", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
)

approvals = Table(
    "approvals",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("mandate_id", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("approved_ms", BigInteger, nullable=False),
)

endings = Table(
    "endings",
    metadata,
    Column("controller", String(63), primary_key=True),
    Column("mandate_id", String(63), primary_key=True),
    Column("ended_ms", BigInteger, nullable=False),
)


async def insert_new(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; one whose primary key is there already is left as it is."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns)), rows)
