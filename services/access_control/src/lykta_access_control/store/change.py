"""One change: rows, facts and audit entries in one transaction; the view and the relays hear of it at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from lykta_common.clock import Clock
from lykta_common.database import Database
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.outbox import Outbox
from lykta_common.telemetry import traceparent
from lykta_contracts.audit import AuditRecord
from lykta_contracts.events import AuditObserved, new_event
from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.model import Message
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_access_control.store import tables as t
from lykta_access_control.store.directory_rows import DirectoryRows
from lykta_access_control.store.grant_rows import GrantRows
from lykta_access_control.store.mandate_rows import MandateRows
from lykta_access_control.store.projection import Projection

log = get_logger(__name__)


@dataclass(frozen=True)
class Change:
    """What a use case works with inside its transaction; `now` is the instant of the change, in milliseconds."""

    connection: AsyncConnection
    revision: int
    now: datetime
    directory: DirectoryRows
    mandates: MandateRows
    grants: GrantRows
    outbox: Outbox
    source: str

    async def state(self, fact: Message, event_id: str) -> None:
        """State a fact with this change; the same event id is stated once."""
        event = new_event(fact, event_id, self.source, self.now, traceparent())
        await self.outbox.add(self.connection, event)

    async def audit(self, record: AuditRecord) -> None:
        """Have the step logged; the entry id makes it one entry however often it is delivered.

        The instant is in the id: over a database restored older, what is decided again is another entry of the log.
        """
        entry_id = f"{record.entry_id}/{to_ms(record.occurred_at)}"
        named = record.model_copy(update={"entry_id": entry_id})
        await self.state(AuditObserved(record=named), f"audit.observed/{entry_id}")


@dataclass(frozen=True)
class Reading:
    """What a use case reads with, outside any change."""

    directory: DirectoryRows
    mandates: MandateRows
    grants: GrantRows


class Store:
    """The database as the use cases see it."""

    def __init__(self, database: Database, outbox: Outbox, projection: Projection, clock: Clock, source: str) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._source = source
        self._after: list[Callable[[], None]] = [outbox.wake]
        self.projection = projection

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back after every committed change."""
        self._after.append(callback)

    def now(self) -> datetime:
        """Return the instant, in whole milliseconds as rows and the wire hold it."""
        return from_ms(to_ms(self._clock.now()))

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Change]:
        """Run a block in one transaction; changes take turns, so what is read inside is the newest there is."""
        async with self._database.transaction() as connection:
            # Raising the counter first takes the turn, on SQLite and on PostgreSQL alike.
            raised = update(t.revisions).where(t.revisions.c.id == 1).values(value=t.revisions.c.value + 1)
            revision = int((await connection.execute(raised.returning(t.revisions.c.value))).scalar_one())
            yield self._open(connection, revision)
        await self._committed()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """Run a block that only reads."""
        async with self._database.reading() as connection:
            yield Reading(DirectoryRows(connection), MandateRows(connection), GrantRows(connection))

    async def log_only(self, record: AuditRecord) -> None:
        """Have something logged that changed nothing: a denied attempt."""
        async with self._database.transaction() as connection:
            await self._open(connection, 0).audit(record)
        self._outbox.wake()

    def _open(self, connection: AsyncConnection, revision: int) -> Change:
        return Change(
            connection,
            revision,
            self.now(),
            DirectoryRows(connection, revision),
            MandateRows(connection, revision),
            GrantRows(connection, revision),
            self._outbox,
            self._source,
        )

    async def _committed(self) -> None:
        for callback in self._after:
            callback()
        self.projection.distrust()
        try:
            await self.projection.refresh()
        except PlatformError as error:
            # The change stands; the view stays distrusted, so nothing is answered from before it.
            log.warning("view_not_refreshed", reason=error.reason)
