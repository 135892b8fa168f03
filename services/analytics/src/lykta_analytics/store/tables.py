"""The tables of analytics."""

from typing import Final

from lykta_common.outbox import outbox_table
from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, text

METADATA: Final = MetaData()

INCIDENTS: Final = Table(
    "incidents",
    METADATA,
    Column("incident_id", String(40), primary_key=True),
    Column("controller", String(63), nullable=False),
    Column("camera", String(63), nullable=False),
    Column("rule_key", String(500), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("step", Integer, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("event", Text, nullable=False),
)
# One open incident for a rule of a camera, whoever writes: two replicas or a restart cannot double it.
Index(
    "one_open_incident",
    INCIDENTS.c.controller,
    INCIDENTS.c.camera,
    INCIDENTS.c.rule_key,
    unique=True,
    sqlite_where=text("is_open"),
    postgresql_where=text("is_open"),
)
Index("incidents_by_time", INCIDENTS.c.controller, INCIDENTS.c.started_ms, INCIDENTS.c.incident_id)

ORDERS: Final = Table(
    "mandate_orders",
    METADATA,
    Column("controller", String(63), primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("envelope", Text, nullable=False),
)

OUTBOX: Final = outbox_table(METADATA)
