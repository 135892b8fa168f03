"""Group commit: the one writer that gives records their places, many appends per transaction."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from lykta_common.errors import PlatformError, unavailable
from lykta_common.logging import get_logger

from lykta_audit.domain import Entry, Place, Plan, plan_batch
from lykta_audit.errors import entry_conflict, standing_by, too_much
from lykta_audit.store import Lease, LogRows, LogTransaction
from lykta_audit.tree import FullTile, TreeEdge

log = get_logger(__name__)

BATCH_RECORDS = 2000
"""A transaction takes this many records and then ends with the request it is at."""
WAITING_RECORDS = 20_000
"""Bound of records that wait for a transaction; beyond it appends are refused as RESOURCE_EXHAUSTED."""
WAITING_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Waiting:
    entries: Sequence[Entry]
    done: asyncio.Future[tuple[Place, ...]]

    @property
    def size_bytes(self) -> int:
        return sum(len(entry.leaf) for entry in self.entries)


class LogWriter:
    """Writes under one lease; `edge` is always the tree as committed, never changed in place."""

    def __init__(self, rows: LogRows, lease: Lease, edge: TreeEdge, lease_until: Callable[[], int]) -> None:
        self._rows = rows
        self._lease = lease
        self._lease_until = lease_until
        self.edge = edge
        self._waiting: deque[_Waiting] = deque()
        self._waiting_records = 0
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._closed: PlatformError | None = None
        self.grown = asyncio.Event()

    async def append(self, entries: Sequence[Entry]) -> tuple[Place, ...]:
        """Give every entry its durable place, in order; all of them or none.

        Idempotent by entry id. Raises CONFLICT for an id with another leaf, RESOURCE_EXHAUSTED when too much
        waits, UNAVAILABLE when the commit failed or its outcome is not known (repeat it then).
        """
        waiting = _Waiting(entries, asyncio.get_running_loop().create_future())
        if self._closed is not None:
            raise self._closed
        full = self._waiting_records + len(entries) > WAITING_RECORDS
        if full or self._waiting_bytes + waiting.size_bytes > WAITING_BYTES:
            raise too_much()
        self._waiting.append(waiting)
        self._waiting_records += len(entries)
        self._waiting_bytes += waiting.size_bytes
        self._wake.set()
        return await waiting.done

    def transaction(self) -> AbstractAsyncContextManager[LogTransaction]:
        """Open a transaction under this writer's lease, which it renews; raises LeaseLostError."""
        return self._rows.writing(self._lease, self._lease_until())

    async def run(self) -> None:
        """Commit batches until cancelled. Raises when the lease is lost; every waiting append is then refused."""
        try:
            while True:
                await self._wake.wait()
                batch = self._take()
                if batch:
                    await self._commit(batch)
        finally:
            self.close(standing_by())

    def close(self, error: PlatformError) -> None:
        """Refuse everything that waits, and everything to come."""
        self._closed = self._closed or error
        _fail(self._waiting, self._closed)
        self._waiting.clear()

    def _take(self) -> list[_Waiting]:
        """Take waiting requests for one transaction; callers that gave up are left out."""
        batch: list[_Waiting] = []
        records = 0
        while self._waiting and records < BATCH_RECORDS:
            waiting = self._waiting.popleft()
            self._waiting_records -= len(waiting.entries)
            self._waiting_bytes -= waiting.size_bytes
            if not waiting.done.done():
                batch.append(waiting)
                records += len(waiting.entries)
        if not self._waiting:
            self._wake.clear()
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Write one batch and tell every caller its outcome, whatever that is."""
        plan: Plan | None = None
        try:
            plan, edge = await self._write(batch)
        except PlatformError as error:
            log.warning("commit_failed", reason=error.reason, error=error.message)
            _fail(batch, error)
            await self._reread()
            return
        finally:
            if plan is None:
                _fail(batch, unavailable("the audit log"))
        self.edge = edge
        for waiting, outcome in zip(batch, plan.outcomes, strict=True):
            if isinstance(outcome, str):
                _fail([waiting], entry_conflict(outcome))
            elif not waiting.done.done():
                waiting.done.set_result(outcome)
        if plan.fresh:
            self.grown.set()

    async def _write(self, batch: list[_Waiting]) -> tuple[Plan, TreeEdge]:
        """Decide and write one batch in one transaction."""
        entry_ids = list({entry.entry_id for waiting in batch for entry in waiting.entries})
        edge = self.edge.copy()
        async with self.transaction() as transaction:
            known = await transaction.known(entry_ids)
            plan = plan_batch((waiting.entries for waiting in batch), known, edge.size)
            first = edge.size
            tiles: list[FullTile] = []
            for entry in plan.fresh:
                tiles += edge.append(entry.leaf_hash)
            await transaction.append(first, plan.fresh, tiles)
        return plan, edge

    async def _reread(self) -> None:
        """After a commit whose outcome is not known: continue from what the database holds."""
        while True:
            try:
                self.edge = await read_edge(self._rows)
            except PlatformError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.2)
            else:
                self.grown.set()
                return


def _fail(batch: Iterable[_Waiting], error: PlatformError) -> None:
    """Refuse appends, except those that were answered and those whose caller is gone."""
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)


async def read_edge(rows: LogRows) -> TreeEdge:
    """Load the tree's edge from the rows. Raises ValueError when they do not make a tree of their number."""
    size = await rows.size()
    partials = [await rows.leaf_hashes(size >> 8 << 8, size)] if size else []
    level, count = 1, size >> 8
    while count:
        partials.append(await rows.tile_roots(level - 1, count >> 8 << 8, count))
        level, count = level + 1, count >> 8
    return TreeEdge(size, partials)
