"""Publishes the log: entry bundles, tiles, and then a checkpoint signed over exactly those."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_contracts.events import CheckpointPublished, CloudEvent, new_event

from lykta_audit.checkpoint import Checkpoint, CheckpointSigner
from lykta_audit.errors import data_loss
from lykta_audit.merkle import leaf_hash
from lykta_audit.proofs import ProofReader
from lykta_audit.store import LockCheck, LogBucket, LogRows, LogState
from lykta_audit.tiles import TILE_WIDTH, TileRef, encode_bundle, tiles_since
from lykta_audit.tree import TreeEdge
from lykta_audit.writer import LogWriter

log = get_logger(__name__)

PUTS_AT_ONCE = 8
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing needs: where from, where to, who signs, how often at most."""

    rows: LogRows
    bucket: LogBucket
    lock: LockCheck
    signer: CheckpointSigner
    clock: Clock
    source: str
    interval_seconds: float
    announce: Callable[[], None]


class Publisher:
    """Publishes what one writer commits; nothing is signed that is not in the bucket."""

    def __init__(self, publication: Publication, writer: LogWriter, state: LogState) -> None:
        self._to = publication
        self._writer = writer
        self._state = state
        self._published = state.published_size
        self._bucket_known = False

    async def run(self) -> None:
        """Publish whenever the log has grown, until cancelled.

        Raises DATA_LOSS when database, bucket and checkpoint do not agree, and LeaseLostError. Everything else is
        tried again: what cannot be published stays safe in the database.
        """
        while True:
            self._writer.grown.clear()
            pause = self._to.interval_seconds
            try:
                await self.publish()
            except PlatformError as error:
                if error.reason == "INTEGRITY":
                    raise
                log.warning("publication_waits", reason=error.reason, error=error.message)
                self._writer.grown.set()
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)
            await self._writer.grown.wait()

    async def publish(self) -> None:
        """Publish the log as committed now; nothing happens when that is published already. Idempotent."""
        if not self._bucket_known:
            await self._meet_bucket()
            self._bucket_known = True
        edge = self._writer.edge
        if edge.size <= self._published:
            return
        await self._put_objects(edge)
        note = self._to.signer.sign(edge.size, edge.root())
        # The lease is looked at as late as can be: a writer that was replaced must not set the checkpoint back.
        async with self._writer.transaction():
            pass
        await self._to.bucket.put_checkpoint(note)
        async with self._writer.transaction() as transaction:
            await transaction.publish(edge.size, note, self._event(edge, note))
        self._published = edge.size
        self._to.announce()
        log.info("checkpoint_published", size=edge.size)

    async def _meet_bucket(self) -> None:
        """Compare the bucket with the database, after a start: heal what a crash left, stop at what cannot be."""
        await self._to.lock.require()
        note = await self._to.bucket.checkpoint()
        if note is None:
            self._published = 0
            return
        try:
            found: Checkpoint = self._to.signer.open(note)
        except ValueError as error:
            raise data_loss(f"the published checkpoint is not of this log and key: {error}") from error
        size = self._writer.edge.size
        if found.size > size:
            raise data_loss(f"{found.size} entries are published and the database has {size}: entries were lost")
        if await ProofReader(self._to.rows).root_at(found.size) != found.root:
            raise data_loss(f"the database does not give the published root of {found.size} entries")
        if found.size < self._state.published_size:
            await self._to.bucket.put_checkpoint(self._state.checkpoint)

    async def _put_objects(self, edge: TreeEdge) -> None:
        """Write every object that this size needs and an earlier one did not."""
        slots = asyncio.Semaphore(PUTS_AT_ONCE)

        async def put(ref: TileRef) -> None:
            async with slots:
                await self._to.bucket.put_once(ref.path, await self._bytes_of(ref, edge))

        first, *rest = tiles_since(self._published, edge.size)
        # Alone: a fresh SeaweedFS takes 5-8 s when its very first writes come at once, and 0.2 s otherwise.
        await put(first)
        try:
            async with asyncio.TaskGroup() as tasks:
                for ref in rest:
                    tasks.create_task(put(ref))
        except ExceptionGroup as group:
            known, other = group.split(PlatformError)
            if known is None or other is not None:
                raise
            errors = [error for error in known.exceptions if isinstance(error, PlatformError)]
            raise next((error for error in errors if not error.retryable), errors[0]) from group

    async def _bytes_of(self, ref: TileRef, edge: TreeEdge) -> bytes:
        """Make one object from the database, checked against the tree that is about to be signed."""
        if ref.level is None:
            return await self._bundle(ref, edge)
        if ref.width < TILE_WIDTH:
            return b"".join(edge.partial(ref.level)[: ref.width])
        data = await self._to.rows.tile(ref.level, ref.index)
        if data is None:
            raise data_loss(f"the full tile {ref.path} is missing from the database")
        return data

    async def _bundle(self, ref: TileRef, edge: TreeEdge) -> bytes:
        """Make an entry bundle; each entry must have the hash that the tree holds for it."""
        begin = ref.index * TILE_WIDTH
        entries = await self._to.rows.entries(begin, begin + ref.width)
        if [entry.index for entry in entries] != list(range(begin, begin + ref.width)):
            raise data_loss(f"entries of {ref.path} are missing from the database")
        hashes = b"".join(leaf_hash(entry.leaf) for entry in entries)
        tile = b"".join(edge.partial(0)) if ref.width < TILE_WIDTH else await self._to.rows.tile(0, ref.index)
        if tile is None or tile[: len(hashes)] != hashes:
            raise data_loss(f"an entry of {ref.path} was changed in the database after it was logged")
        return encode_bundle([entry.leaf for entry in entries])

    def _event(self, edge: TreeEdge, note: bytes) -> CloudEvent:
        origin = self._to.signer.origin
        data = CheckpointPublished(origin=origin, size=edge.size, root=edge.root().hex(), checkpoint=note.decode())
        return new_event(data, f"checkpoint.{origin}.{edge.size}", self._to.source, self._to.clock.now())
