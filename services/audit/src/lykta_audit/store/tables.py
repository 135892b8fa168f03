"""The tables of the audit database."""

from lykta_common.outbox import outbox_table
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

entry = Table(
    "entry",
    metadata,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String(200), nullable=False, unique=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("controller", String(200), nullable=False),
    Column("action", String(200), nullable=False),
    Column("actor_id", String(500), nullable=False),
    Column("case_id", String(200), nullable=False),
    Column("object", String(500), nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),
)
Index("entry_by_controller", entry.c.controller, entry.c.idx)
Index(
    "entry_by_case",
    entry.c.case_id,
    entry.c.idx,
    sqlite_where=entry.c.case_id != "",
    postgresql_where=entry.c.case_id != "",
)

tile = Table(
    "tile",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
)
"""Full tiles only; `root` is the hash of the tile in the level above."""

log = Table(
    "log",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("origin", String(200), nullable=False),
    Column("published_size", BigInteger, nullable=False),
    Column("checkpoint", LargeBinary, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("holder", String(200), nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
)
"""One row: what is published, and who may write."""

outbox = outbox_table(metadata)
