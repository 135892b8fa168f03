"""Proofs and roots for any size the log has had, from the rows alone."""

from collections.abc import Sequence

from lykta_audit.merkle import (
    HASH_SIZE,
    Node,
    complete_nodes,
    consistency_ranges,
    fold,
    inclusion_ranges,
    nodes_of,
    resolve,
)
from lykta_audit.store import LogRows
from lykta_audit.tiles import TILE_WIDTH
from lykta_audit.tree import node_in_tile, tile_of


class ProofReader:
    """Computes proofs; reads at most two tiles per level. Works on a standby as well as on the writer."""

    def __init__(self, rows: LogRows) -> None:
        self._rows = rows

    async def root_at(self, size: int) -> bytes:
        """Root of the tree of the first `size` entries. Raises ValueError when the log is smaller."""
        nodes = list(complete_nodes(0, size))
        hashes = await self._hashes(nodes)
        return fold([hashes[node] for node in nodes])

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """RFC 6962 audit path of an entry in the tree of `size`. Raises ValueError for what the tree does not have."""
        return await self._resolve(inclusion_ranges(index, size))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """RFC 6962 proof that the tree of `new` extends that of `old`. Raises ValueError when old > new."""
        return await self._resolve(consistency_ranges(old, new))

    async def _resolve(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        hashes = await self._hashes(nodes_of(ranges))
        return resolve(ranges, hashes.__getitem__)

    async def _hashes(self, nodes: Sequence[Node]) -> dict[Node, bytes]:
        tiles = {place: await self._tile(*place) for place in {tile_of(node) for node in nodes}}
        return {node: node_in_tile(node, tiles[tile_of(node)]) for node in nodes}

    async def _tile(self, level: int, index: int) -> bytes:
        """Bytes of a tile, full or as far as it has come."""
        full = await self._rows.tile(level, index)
        if full is not None and len(full) == TILE_WIDTH * HASH_SIZE:
            return full
        begin, end = index * TILE_WIDTH, (index + 1) * TILE_WIDTH
        if level == 0:
            return b"".join(await self._rows.leaf_hashes(begin, end))
        return b"".join(await self._rows.tile_roots(level - 1, begin, end))
