"""The transactional outbox: a fact is written with the change it reports, and published until JetStream has it."""

import asyncio
from typing import Final

from lykta_contracts.events import CloudEvent
from prometheus_client import Gauge
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_common.backoff import Backoff
from lykta_common.database import Database
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import Messaging

log = get_logger(__name__)

BATCH: Final = 100
POLL_SECONDS: Final = 2.0
"""Another process's rows, or rows of an earlier life, are found at this interval."""


def outbox_table(metadata: MetaData) -> Table:
    """Return the table; a service puts it into its metadata and creates it in its first migration."""
    return Table(
        "outbox",
        metadata,
        # Every fact takes a number: 32 bits are used up within months. SQLite counts in 64 bits under this name only.
        Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("event_id", String(250), nullable=False, unique=True),
        Column("event", LargeBinary, nullable=False),
    )


class Outbox:
    """Rows waiting to be published, in order; `pending` shows how many."""

    def __init__(self, database: Database, messaging: Messaging, table: Table, pending: Gauge | None = None) -> None:
        self._database = database
        self._messaging = messaging
        self._table = table
        self._pending = pending
        self._wake = asyncio.Event()

    async def add(self, connection: AsyncConnection, event: CloudEvent) -> None:
        """Write an event in the caller's transaction; the same event id twice is one row."""
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        await connection.execute(
            insert(self._table)
            .values(event_id=event.id, event=event.to_json())
            .on_conflict_do_nothing(index_elements=["event_id"])
        )
        self._wake.set()

    def wake(self) -> None:
        """Look for rows now; for whoever knows that a transaction has just been committed."""
        self._wake.set()

    async def run(self) -> None:
        """Publish rows until cancelled; a row is deleted when JetStream has confirmed it."""
        backoff = Backoff()
        while True:
            self._wake.clear()
            try:
                more = await self._publish_some()
            except PlatformError as error:
                log.warning("outbox_waiting", reason=error.reason, error=error.message)
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            if not more:
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        # The wake comes from inside a transaction: give it a moment to commit.
        await asyncio.sleep(0.01)

    async def _publish_some(self) -> bool:
        table = self._table
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(table).order_by(table.c.sequence).limit(BATCH))).all()
            waiting = len(rows)
            if waiting == BATCH and self._pending is not None:
                waiting = int(await connection.scalar(select(func.count()).select_from(table)) or 0)
        self._show(waiting)
        for row in rows:
            await self._messaging.publish(CloudEvent.from_json(row.event))
            async with self._database.transaction() as connection:
                await connection.execute(delete(table).where(table.c.sequence == row.sequence))
            waiting -= 1
            self._show(waiting)
        return len(rows) == BATCH

    def _show(self, waiting: int) -> None:
        if self._pending is not None:
            self._pending.set(waiting)
