"""Keeps the log: waits to become its one writer, heals what a crash left, writes, publishes, inspects."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta

from lykta_common.backoff import Backoff
from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.logging import get_logger
from lykta_contracts.instants import to_ms

from lykta_audit.domain import Entry, Place
from lykta_audit.errors import LeaseLostError, data_loss, standing_by
from lykta_audit.inspection import Inspection, changed
from lykta_audit.merkle import leaf_hash
from lykta_audit.publisher import Publication, Publisher
from lykta_audit.store import Lease, LogState
from lykta_audit.tree import TreeEdge
from lykta_audit.writer import LogWriter, read_edge

log = get_logger(__name__)

RELEASE_SECONDS = 2.0


class LogKeeper:
    """One process's part in the log: standby, writer, or halted because stored bytes do not hold."""

    def __init__(self, publication: Publication, holder: str, lease: timedelta, inspect_every: timedelta) -> None:
        self._publication = publication
        self._rows = publication.rows
        self._clock: Clock = publication.clock
        self._origin = publication.signer.origin
        self._holder = holder
        self._lease_time = lease
        self._inspect_every = inspect_every
        self._inspect_now = asyncio.Event()
        self._writer: LogWriter | None = None
        self.halted: PlatformError | None = None
        self.on_append: Callable[[float], None] = lambda _: None
        """Called with the seconds that every append took that has its places."""

    @property
    def writing(self) -> bool:
        """True while this process writes the log."""
        return self._writer is not None

    @property
    def standing_by(self) -> bool:
        """True while another process writes the log, or none yet, and this one was not halted."""
        return self._writer is None and self.halted is None

    async def sizes(self) -> tuple[int, int]:
        """Return how many entries the log has, and how many are published; raises UNAVAILABLE."""
        # In this order: entries are written before they are published.
        published = (await self._rows.state(self._origin)).published_size
        return (self._writer.edge.size if self._writer is not None else await self._rows.size()), published

    async def append(self, entries: Sequence[Entry]) -> tuple[Place, ...]:
        """Log entries durably (see LogWriter.append); raises UNAVAILABLE on a standby, DATA_LOSS when halted."""
        if self.halted is not None:
            raise self.halted
        if self._writer is None:
            raise standing_by()
        began = self._clock.monotonic()
        places = await self._writer.append(entries)
        self.on_append(self._clock.monotonic() - began)
        return places

    async def ready(self) -> None:
        """Health check: raises unless this process writes the log."""
        if self.halted is not None:
            raise self.halted
        if self._writer is None:
            raise standing_by()

    def suspect(self) -> None:
        """Somebody read bytes that do not hold: inspect everything now."""
        self._inspect_now.set()

    async def run(self) -> None:
        """Keep the log until cancelled; gives the lease back at the end."""
        backoff = Backoff()
        while True:
            try:
                lease, state = await self._acquire()
                backoff.reset()
                await self._keep(lease, state)
            except LeaseLostError:
                log.warning("lease_lost", holder=self._holder)
            except PlatformError as error:
                if error.code is Code.FAILED_PRECONDITION:
                    raise
                log.warning("log_waits", reason=error.reason, error=error.message)
            await asyncio.sleep(backoff.next())

    async def _acquire(self) -> tuple[Lease, LogState]:
        """Wait until nobody else writes, and become the writer."""
        waiting = False
        while True:
            state = await self._rows.state(self._origin)
            if state.origin != self._origin:
                message = f"the database holds the log {state.origin}, this service is set up for {self._origin}"
                raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
            left = state.lease_until_ms - to_ms(self._clock.now())
            if left <= 0:
                lease = await self._rows.take_lease(state, self._holder, self._lease_until())
                if lease is not None:
                    log.info("lease_taken", holder=self._holder, fence=lease.fence)
                    return lease, state
            if not waiting:
                log.info("standing_by", holder=state.holder)
                waiting = True
            await asyncio.sleep(min(max(left, 50), 500) / 1000)

    async def _keep(self, lease: Lease, state: LogState) -> None:
        """Write, publish and inspect under one lease, until it is lost or something does not hold."""
        try:
            try:
                writer = LogWriter(self._rows, lease, await self._recover(state), self._lease_until)
                publisher = Publisher(self._publication, writer, state)
                self._writer = writer
                await _together(writer.run, publisher.run, lambda: self._renew(lease), self._inspect)
            finally:
                self._writer = None
        except PlatformError as error:
            if error.code is not Code.DATA_LOSS:
                raise
            self.halted = error
            log.error("log_halted", reason=error.reason, error=error.message)
            # The lease is kept, so that no standby goes on where this one had to stop.
            await self._renew(lease)
        finally:
            if self.halted is None:
                await self._release(lease)

    async def _recover(self, state: LogState) -> TreeEdge:
        """Load the tree's edge and check what of it can be checked quickly; the rest is the inspection's."""
        try:
            edge = await read_edge(self._rows)
        except ValueError as error:
            raise data_loss(f"the rows of the log do not belong together: {error}") from error
        if edge.size < state.published_size:
            raise data_loss(f"{state.published_size} entries are published and the database has {edge.size}")
        begin = edge.size - len(edge.partial(0))
        entries = await self._rows.entries(begin, edge.size)
        for entry, hash_ in zip(entries, edge.partial(0), strict=True):
            if leaf_hash(entry.leaf) != hash_:
                raise changed(entry.index)
        return edge

    async def _renew(self, lease: Lease) -> None:
        """Renew the lease well before it ends; a database that does not answer is asked again."""
        while True:
            await asyncio.sleep(self._lease_time.total_seconds() / 3)
            try:
                async with self._rows.writing(lease, self._lease_until()):
                    pass
            except PlatformError as error:
                log.warning("lease_not_renewed", reason=error.reason)

    async def _release(self, lease: Lease) -> None:
        """Let a standby in at once."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS), self._rows.writing(lease, 0):
                pass
        except (LeaseLostError, PlatformError, TimeoutError):
            log.warning("lease_not_released", holder=self._holder)

    async def _inspect(self) -> None:
        """Inspect the database at the start, then regularly, and whenever somebody has reason to suspect it."""
        inspection = Inspection(self._rows, self._publication.signer)
        while True:
            self._inspect_now.clear()
            try:
                await inspection.run()
            except PlatformError as error:
                if error.code is Code.DATA_LOSS:
                    raise
                log.warning("inspection_failed", reason=error.reason, error=error.message)
            try:
                async with asyncio.timeout(self._inspect_every.total_seconds()):
                    await self._inspect_now.wait()
            except TimeoutError:
                continue

    def _lease_until(self) -> int:
        return to_ms(self._clock.now() + self._lease_time)


async def _together(*jobs: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run jobs until one fails, and raise what decides: a lost lease before everything else."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for job in jobs:
                tasks.create_task(job())
    except BaseExceptionGroup as group:
        known, other = group.split((LeaseLostError, PlatformError))
        if known is None or other is not None:
            raise
        raise min(known.exceptions, key=lambda error: isinstance(error, PlatformError)) from group
