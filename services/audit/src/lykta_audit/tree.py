"""The growing edge of the log's tree: what must stay in memory to append, name the root and cut tiles."""

from dataclasses import dataclass

from lykta_audit.merkle import HASH_SIZE, Node, complete_nodes, fold, perfect_root
from lykta_audit.tiles import TILE_HEIGHT, TILE_WIDTH


@dataclass(frozen=True, slots=True)
class FullTile:
    """A tile of 256 hashes that will never change again."""

    level: int
    index: int
    data: bytes


class TreeEdge:
    """The rightmost, still partial tile of every level; at most 255 hashes each.

    Appending is amortised O(1), the root O(log n). Not safe for concurrent use: one writer owns it.
    """

    def __init__(self, size: int = 0, partials: list[list[bytes]] | None = None) -> None:
        """Continue a tree of `size` leaves; `partials[level]` are the hashes of that level's partial tile."""
        self._size = size
        self._partials = [list(level) for level in partials or []]
        expected = [count % TILE_WIDTH for count in _level_counts(size)]
        if [len(level) for level in self._partials] != expected:
            raise ValueError(f"the partial tiles do not belong to a tree of {size} leaves")

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._size

    def copy(self) -> "TreeEdge":
        """Give an independent copy, to try a batch that may not be committed."""
        return TreeEdge(self._size, self._partials)

    def partial(self, level: int) -> list[bytes]:
        """Hashes of the partial tile of `level`; empty when the level ends with a full tile."""
        return list(self._partials[level]) if level < len(self._partials) else []

    def append(self, leaf: bytes) -> list[FullTile]:
        """Add a leaf hash; give the tiles that it completed, lowest level first."""
        self._size += 1
        completed: list[FullTile] = []
        hash_, level = leaf, 0
        while True:
            if level == len(self._partials):
                self._partials.append([])
            tile = self._partials[level]
            tile.append(hash_)
            if len(tile) < TILE_WIDTH:
                return completed
            index = (self._size >> TILE_HEIGHT * (level + 1)) - 1
            completed.append(FullTile(level, index, b"".join(tile)))
            self._partials[level] = []
            hash_, level = perfect_root(tile), level + 1

    def root(self) -> bytes:
        """Root hash of the whole tree."""
        return fold([self._edge_node(node) for node in complete_nodes(0, self._size)])

    def _edge_node(self, node: Node) -> bytes:
        """Hash of one of the maximal complete subtrees: they all lie in partial tiles."""
        return node_in_tile(node, b"".join(self._partials[node.level // TILE_HEIGHT]))


def _level_counts(size: int) -> list[int]:
    """Hashes at each tile level of a tree of `size` leaves, lowest level first."""
    counts: list[int] = []
    while size:
        counts.append(size)
        size >>= TILE_HEIGHT
    return counts


def tile_of(node: Node) -> tuple[int, int]:
    """(tile level, tile index) of the tile that holds the leaves of this subtree."""
    return node.level // TILE_HEIGHT, node.index >> (TILE_HEIGHT - node.level % TILE_HEIGHT)


def node_in_tile(node: Node, data: bytes) -> bytes:
    """Compute a subtree's hash from the bytes of its tile. Raises ValueError when the tile is too narrow."""
    within = node.level % TILE_HEIGHT
    width = 1 << within
    begin = (node.index << within) % TILE_WIDTH
    if (begin + width) * HASH_SIZE > len(data):
        raise ValueError(f"the tile of node {node.level}/{node.index} is too narrow")
    return perfect_root([data[i * HASH_SIZE : (i + 1) * HASH_SIZE] for i in range(begin, begin + width)])
