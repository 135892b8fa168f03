"""Makes a lost or damaged database anew from the published log, after checking that the log holds."""

from collections.abc import AsyncIterator, Callable

from lykta_common.errors import Code, PlatformError, not_found
from lykta_common.logging import get_logger

from lykta_audit.checkpoint import Checkpoint, CheckpointSigner
from lykta_audit.domain import make_entry, record_of
from lykta_audit.errors import data_loss, standing_by
from lykta_audit.merkle import leaf_hash
from lykta_audit.store import LogBucket, LogRows
from lykta_audit.tiles import TILE_WIDTH, TileRef, decode_bundle
from lykta_audit.tree import TreeEdge

log = get_logger(__name__)


async def rebuild(rows: LogRows, bucket: LogBucket, signer: CheckpointSigner, lease_until: Callable[[], int]) -> int:
    """Fill an empty database with every published entry; gives their number.

    Raises FAILED_PRECONDITION when the database is not empty, NOT_FOUND when nothing is published, DATA_LOSS when
    the published log does not hold; then nothing was written. Entries that were never published are not in it.
    """
    if await rows.size():
        message = "the database is not empty; move it away and start with a new one"
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
    checkpoint = await _published(bucket, signer)
    edge = TreeEdge()
    async for leaves in _bundles(bucket, checkpoint.size):
        for leaf in leaves:
            edge.append(leaf_hash(leaf))
    if edge.root() != checkpoint.root:
        raise data_loss(f"the published entries do not give the signed root of {checkpoint.size} entries")
    state = await rows.state(signer.origin)
    lease = await rows.take_lease(state, "rebuild", lease_until())
    if lease is None:
        raise standing_by()
    edge = TreeEdge()
    async for leaves in _bundles(bucket, checkpoint.size):
        entries = [make_entry(record_of(leaf)) for leaf in leaves]
        first = edge.size
        tiles = [tile for leaf in leaves for tile in edge.append(leaf_hash(leaf))]
        async with rows.writing(lease, lease_until()) as transaction:
            await transaction.append(first, entries, tiles)
    async with rows.writing(lease, 0):
        log.info("database_rebuilt", entries=edge.size)
    return edge.size


async def _published(bucket: LogBucket, signer: CheckpointSigner) -> Checkpoint:
    note = await bucket.checkpoint()
    if note is None:
        raise not_found("a published checkpoint")
    try:
        return signer.open(note)
    except ValueError as error:
        raise data_loss(f"the published checkpoint is not of this log and key: {error}") from error


async def _bundles(bucket: LogBucket, size: int) -> AsyncIterator[list[bytes]]:
    """Read the entries of the log, a bundle at a time."""
    for begin in range(0, size, TILE_WIDTH):
        ref = TileRef(None, begin // TILE_WIDTH, min(TILE_WIDTH, size - begin))
        try:
            leaves = decode_bundle(await bucket.get(ref.path))
        except ValueError as error:
            raise data_loss(f"{ref.path}: {error}") from error
        if len(leaves) != ref.width:
            raise data_loss(f"{ref.path} holds {len(leaves)} entries, not {ref.width}")
        yield leaves
