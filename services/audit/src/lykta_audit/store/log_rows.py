"""The log's rows: entries, full tiles, the published state, and the writer's fenced lease."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lykta_common.database import Database
from lykta_common.errors import unavailable
from lykta_common.outbox import Outbox
from lykta_contracts.events import CloudEvent
from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from lykta_audit.domain import Entry, Place, SearchColumns, SearchQuery, StoredEntry
from lykta_audit.errors import LeaseLostError
from lykta_audit.merkle import HASH_SIZE, perfect_root
from lykta_audit.store import tables
from lykta_audit.tree import FullTile

DEADLINE_SECONDS = 20.0
"""For one transaction of the writer; a lost answer is resolved by reading again."""
_LOOKUP = 500
_ONLY_ROW = 1


@dataclass(frozen=True, slots=True)
class LogState:
    """The log's row: who it is, what is published, who may write."""

    origin: str
    published_size: int
    checkpoint: bytes
    fence: int
    holder: str
    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write: transactions are refused once another fence is in the database."""

    fence: int
    holder: str


class LogTransaction:
    """What the writer does within one transaction that holds the lease."""

    def __init__(self, connection: AsyncConnection, outbox: Outbox | None) -> None:
        self._connection = connection
        self._outbox = outbox

    async def known(self, entry_ids: Sequence[str]) -> dict[str, Place]:
        """Places of those entry ids that are in the log."""
        found: dict[str, Place] = {}
        columns = tables.entry.c
        for begin in range(0, len(entry_ids), _LOOKUP):
            some = columns.entry_id.in_(entry_ids[begin : begin + _LOOKUP])
            rows = await self._connection.execute(select(columns.entry_id, columns.idx, columns.leaf_hash).where(some))
            found |= {row.entry_id: Place(row.idx, _bytes(row.leaf_hash)) for row in rows}
        return found

    async def append(self, first: int, entries: Sequence[Entry], tiles: Sequence[FullTile]) -> None:
        """Write entries from index `first` on, and the tiles they completed."""
        rows = [
            {
                "idx": index,
                "entry_id": item.entry_id,
                "leaf": item.leaf,
                "leaf_hash": item.leaf_hash,
                "controller": item.columns.controller,
                "action": item.columns.action,
                "actor_id": item.columns.actor_id,
                "case_id": item.columns.case_id,
                "object": item.columns.object,
                "occurred_ms": item.columns.occurred_ms,
            }
            for index, item in enumerate(entries, first)
        ]
        if rows:
            await self._connection.execute(insert(tables.entry), rows)
        full = [
            {"level": item.level, "idx": item.index, "data": item.data, "root": _tile_root(item.data)} for item in tiles
        ]
        if full:
            await self._connection.execute(insert(tables.tile), full)

    async def publish(self, size: int, checkpoint: bytes, event: CloudEvent) -> None:
        """Note what is published, and tell of it."""
        values = {"published_size": size, "checkpoint": checkpoint}
        await self._connection.execute(update(tables.log).where(tables.log.c.id == _ONLY_ROW).values(values))
        if self._outbox is not None:
            await self._outbox.add(self._connection, event)


class LogRows:
    """The audit database. Failures are PlatformError UNAVAILABLE."""

    def __init__(self, database: Database, outbox: Outbox | None) -> None:
        self._database = database
        self._outbox = outbox

    async def state(self, origin: str) -> LogState:
        """Read the log's row; the first time, make it for this origin."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(tables.log))).first()
        if row is None:
            values = {
                "id": _ONLY_ROW,
                "origin": origin,
                "published_size": 0,
                "checkpoint": b"",
                "fence": 0,
                "holder": "",
                "lease_until_ms": 0,
            }
            async with self._database.transaction() as connection:
                make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
                await connection.execute(make(tables.log).values(values).on_conflict_do_nothing())
                row = (await connection.execute(select(tables.log))).one()
        return LogState(
            row.origin, row.published_size, _bytes(row.checkpoint), row.fence, row.holder, row.lease_until_ms
        )

    async def take_lease(self, state: LogState, holder: str, until_ms: int) -> Lease | None:
        """Become the writer, unless somebody did since `state` was read; the new fence shuts out all before."""
        table = tables.log
        taking = (
            update(table)
            .where(
                table.c.id == _ONLY_ROW, table.c.fence == state.fence, table.c.lease_until_ms == state.lease_until_ms
            )
            .values(fence=state.fence + 1, holder=holder, lease_until_ms=until_ms)
        )
        async with self._database.transaction() as connection:
            taken = (await connection.execute(taking)).rowcount
        return Lease(state.fence + 1, holder) if taken else None

    @asynccontextmanager
    async def writing(self, lease: Lease, until_ms: int) -> AsyncIterator[LogTransaction]:
        """Run a block in one transaction under the lease, which it renews.

        Raises LeaseLostError before anything is written when another process has become the writer. The first
        statement writes, so that no other writer can come in between.
        """
        table = tables.log
        renewing = update(table).where(table.c.id == _ONLY_ROW, table.c.fence == lease.fence)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), self._database.transaction() as connection:
                held = (await connection.execute(renewing.values(lease_until_ms=until_ms))).rowcount
                if not held:
                    raise LeaseLostError(lease.holder)
                yield LogTransaction(connection, self._outbox)
        except TimeoutError as error:
            raise unavailable("the database") from error

    async def size(self) -> int:
        """Entries in the log."""
        async with self._database.reading() as connection:
            last = (await connection.execute(select(func.max(tables.entry.c.idx)))).scalar()
        return 0 if last is None else int(last) + 1

    async def entries(self, begin: int, end: int) -> list[StoredEntry]:
        """Entries [begin, end) as far as they exist, in order."""
        columns = tables.entry.c
        return await self._stored(
            select(tables.entry).where(columns.idx >= begin, columns.idx < end).order_by(columns.idx)
        )

    async def entry_by_id(self, entry_id: str) -> StoredEntry | None:
        """Find an entry by its id."""
        found = await self._stored(select(tables.entry).where(tables.entry.c.entry_id == entry_id))
        return found[0] if found else None

    async def leaf_hashes(self, begin: int, end: int) -> list[bytes]:
        """Leaf hashes of entries [begin, end) as far as they exist."""
        columns = tables.entry.c
        query = select(columns.leaf_hash).where(columns.idx >= begin, columns.idx < end).order_by(columns.idx)
        async with self._database.reading() as connection:
            return [_bytes(row.leaf_hash) for row in await connection.execute(query)]

    async def tile(self, level: int, index: int) -> bytes | None:
        """Bytes of a full tile; None when the tile is not full yet."""
        columns = tables.tile.c
        query = select(columns.data).where(columns.level == level, columns.idx == index)
        async with self._database.reading() as connection:
            data = (await connection.execute(query)).scalar()
        return None if data is None else _bytes(data)

    async def tile_roots(self, level: int, begin: int, end: int) -> list[bytes]:
        """Roots of the full tiles [begin, end) of a level: hashes of the level above."""
        columns = tables.tile.c
        query = select(columns.root).where(columns.level == level, columns.idx >= begin, columns.idx < end)
        async with self._database.reading() as connection:
            return [_bytes(row.root) for row in await connection.execute(query.order_by(columns.idx))]

    async def search(self, query: SearchQuery) -> list[StoredEntry]:
        """Entries that fit, newest first, one more than a page when there is a next one."""
        columns = tables.entry.c
        found = select(tables.entry).where(columns.controller == query.controller)
        if query.action.endswith("."):
            found = found.where(columns.action.startswith(query.action, autoescape=True))
        elif query.action:
            found = found.where(columns.action == query.action)
        for column, wanted in (
            (columns.actor_id, query.actor_id),
            (columns.case_id, query.case_id),
            (columns.object, query.object),
        ):
            if wanted:
                found = found.where(column == wanted)
        if query.from_ms is not None:
            found = found.where(columns.occurred_ms >= query.from_ms)
        if query.to_ms is not None:
            found = found.where(columns.occurred_ms < query.to_ms)
        if query.below is not None:
            found = found.where(columns.idx < query.below)
        return await self._stored(found.order_by(columns.idx.desc()).limit(query.page_size + 1))

    async def _stored(self, query: Select[tuple[object, ...]]) -> list[StoredEntry]:
        async with self._database.reading() as connection:
            return [_stored_entry(row) for row in await connection.execute(query)]


def _stored_entry(row: Row[tuple[object, ...]]) -> StoredEntry:
    columns = SearchColumns(row.controller, row.action, row.actor_id, row.case_id, row.object, row.occurred_ms)
    return StoredEntry(row.idx, row.entry_id, _bytes(row.leaf), _bytes(row.leaf_hash), columns)


def _bytes(value: bytes | str) -> bytes:
    """Take a BLOB as bytes: in SQLite a hand in the data can turn one into text, which must be found, not crash."""
    return value.encode() if isinstance(value, str) else value


def _tile_root(data: bytes) -> bytes:
    return perfect_root([data[i : i + HASH_SIZE] for i in range(0, len(data), HASH_SIZE)])
