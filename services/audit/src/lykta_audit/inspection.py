"""Re-derives the truth from the stored bytes: is the database still what was logged?"""

import asyncio

from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger

from lykta_audit.checkpoint import CheckpointSigner
from lykta_audit.domain import StoredEntry, columns_of, record_of
from lykta_audit.errors import data_loss
from lykta_audit.merkle import leaf_hash
from lykta_audit.store import LogRows
from lykta_audit.tiles import TILE_WIDTH
from lykta_audit.tree import TreeEdge

log = get_logger(__name__)

PAUSE_SECONDS = 0.002
"""Between two tiles of entries, so that an inspection does not hold up appends."""


class Inspection:
    """Walks the whole database: leaf, leaf hash, search columns, tiles, and the root that is published."""

    def __init__(self, rows: LogRows, signer: CheckpointSigner) -> None:
        self._rows = rows
        self._signer = signer

    async def run(self) -> int:
        """Check everything; gives the number of entries. Raises DATA_LOSS that names the first that does not hold."""
        state = await self._rows.state(self._signer.origin)
        size = await self._rows.size()
        edge = TreeEdge()
        published_root = edge.root() if state.published_size == 0 else b""
        for begin in range(0, size, TILE_WIDTH):
            entries = await self._rows.entries(begin, min(begin + TILE_WIDTH, size))
            for index in range(begin, min(begin + TILE_WIDTH, size)):
                position = index - begin
                if position >= len(entries) or entries[position].index != index:
                    raise data_loss(f"entry {index} is missing from the database")
                check_entry(entries[position])
                for tile in edge.append(entries[position].leaf_hash):
                    if await self._rows.tile(tile.level, tile.index) != tile.data:
                        raise data_loss(f"tile {tile.level}/{tile.index} in the database is not that of its entries")
                if edge.size == state.published_size:
                    published_root = edge.root()
            await asyncio.sleep(PAUSE_SECONDS)
        if state.published_size:
            self._check_published(state.checkpoint, published_root)
        log.info("log_inspected", entries=size)
        return size

    def _check_published(self, note: bytes, root: bytes) -> None:
        try:
            checkpoint = self._signer.open(note)
        except ValueError as error:
            raise data_loss(f"the checkpoint in the database does not hold: {error}") from error
        if checkpoint.root != root:
            raise data_loss(f"the database does not give the signed root of {checkpoint.size} entries")


def check_entry(entry: StoredEntry) -> None:
    """Check that an entry's hash and search columns are those of its leaf. Raises DATA_LOSS that names it."""
    if leaf_hash(entry.leaf) != entry.leaf_hash:
        raise changed(entry.index)
    try:
        record = record_of(entry.leaf)
    except ValueError as error:
        raise changed(entry.index) from error
    if (record.entry_id, columns_of(record)) != (entry.entry_id, entry.columns):
        raise data_loss(f"what entry {entry.index} is searched by was changed in the database")


def changed(index: int) -> PlatformError:
    """An entry whose bytes are not those that were logged."""
    return data_loss(f"entry {index} was changed in the database after it was logged")
