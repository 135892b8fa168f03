"""The tables; instants are unix milliseconds, lists are JSON, and `revision` says which change wrote the row."""

from typing import Final

from lykta_common.outbox import outbox_table
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()

_SLUG: Final = String(63)
_ID: Final = String(40)
_PERSON: Final = String(255)

# One row; raising its value is the first statement of every change, so that changes take turns and are ordered.
revisions = Table(
    "revisions", METADATA, Column("id", Integer, primary_key=True), Column("value", BigInteger, nullable=False)
)

controllers = Table(
    "controllers",
    METADATA,
    Column("controller", _SLUG, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_by", _PERSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

places = Table(
    "places",
    METADATA,
    Column("controller", _SLUG, primary_key=True),
    Column("place", _SLUG, primary_key=True),
    Column("name", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("timezone", String(64), nullable=False),
    ForeignKeyConstraint(["controller"], ["controllers.controller"]),
)

cameras = Table(
    "cameras",
    METADATA,
    Column("controller", _SLUG, primary_key=True),
    Column("camera", _SLUG, primary_key=True),
    Column("place", _SLUG, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("credentials_ref", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    ForeignKeyConstraint(["controller", "place"], ["places.controller", "places.place"]),
)

# A person who left keeps a row without roles, so that other processes see the change.
members = Table(
    "members",
    METADATA,
    Column("controller", _SLUG, primary_key=True),
    Column("person_id", _PERSON, primary_key=True),
    Column("roles", Text, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    ForeignKeyConstraint(["controller"], ["controllers.controller"]),
)

mandates = Table(
    "mandates",
    METADATA,
    Column("mandate_id", _ID, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("controller", _SLUG, nullable=False),
    Column("state", String(16), nullable=False),
    Column("document", Text, nullable=False),
    Column("drafted_by", _PERSON, nullable=False),
    Column("authors", Text, nullable=False),
    Column("drafts", Integer, nullable=False),
    Column("proposed_by", _PERSON, nullable=False),
    Column("approved_by", _PERSON, nullable=False),
    Column("approved_at", BigInteger),
    Column("ended_by", _PERSON, nullable=False),
    Column("ended_at", BigInteger),
    Column("end_reason", Text, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    ForeignKeyConstraint(["controller"], ["controllers.controller"]),
)
# At most one version of a mandate is in force, and at most one is being written.
_APPROVED: Final = mandates.c.state == "approved"
_OPEN: Final = mandates.c.state.in_(("draft", "proposed"))
_BY_ID: Final = mandates.c.mandate_id
Index("mandates_one_approved", _BY_ID, unique=True, sqlite_where=_APPROVED, postgresql_where=_APPROVED)
Index("mandates_one_open", _BY_ID, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)

# The newest signed order of each camera; `published` is false until the KV bucket has it.
orders = Table(
    "orders",
    METADATA,
    Column("controller", _SLUG, primary_key=True),
    Column("camera", _SLUG, primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("status", String(8), nullable=False),
    Column("mandate_id", _ID, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("published", Boolean, nullable=False),
    ForeignKeyConstraint(["controller", "camera"], ["cameras.controller", "cameras.camera"]),
)

cases = Table(
    "cases",
    METADATA,
    Column("case_id", _ID, primary_key=True),
    Column("controller", _SLUG, nullable=False, index=True),
    Column("reference", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("opened_by", _PERSON, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_by", _PERSON, nullable=False),
    Column("closed_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
    ForeignKeyConstraint(["controller"], ["controllers.controller"]),
)

grants = Table(
    "grants",
    METADATA,
    Column("grant_id", _ID, primary_key=True),
    Column("controller", _SLUG, nullable=False, index=True),
    Column("case_id", _ID, nullable=False, index=True),
    Column("person_id", _PERSON, nullable=False),
    Column("cameras", Text, nullable=False),
    Column("actions", Text, nullable=False),
    Column("from_at", BigInteger, nullable=False),
    Column("to_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("valid_ms", BigInteger, nullable=False),
    Column("approved_by", _PERSON, nullable=False),
    Column("approved_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("revoked_by", _PERSON, nullable=False),
    Column("revoked_at", BigInteger),
    Column("revoke_reason", Text, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    ForeignKeyConstraint(["case_id"], ["cases.case_id"]),
)

outbox = outbox_table(METADATA)
