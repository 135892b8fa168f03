"""The Merkle tree of a camera-hour (RFC 6962, SHA-256) whose leaf inputs are raw fragment hashes."""

from collections.abc import Sequence
from hashlib import sha256


class HourTree:
    """A tree over at least one leaf input; building hashes every node once, a path costs nothing more."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Hash the leaves; raises ValueError when there are none."""
        if not leaves:
            raise ValueError("an hour tree needs a leaf")
        level = [_leaf(data) for data in leaves]
        self._levels = [level]
        while len(level) > 1:
            pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            # A node without a sibling rises unchanged: the same tree as RFC 6962's split at a power of two.
            level = [*pairs, level[-1]] if len(level) % 2 else pairs
            self._levels.append(level)

    @property
    def count(self) -> int:
        """Leaves in the tree."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """Root hash, 32 bytes (RFC 6962 §2.1)."""
        return self._levels[-1][0]

    def path(self, index: int) -> list[bytes]:
        """Return the inclusion path from the leaf up (RFC 6962 §2.1.1); raises IndexError outside the tree."""
        if not 0 <= index < self.count:
            raise IndexError(f"leaf {index} is not in a tree of {self.count}")
        hashes: list[bytes] = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                hashes.append(level[sibling])
            index //= 2
        return hashes


def root_from_path(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """Compute the root that a leaf input and its path lead to (RFC 9162 §2.1.3.2).

    Raises ValueError when the path does not fit the index and the count.
    """
    if not 0 <= index < count:
        raise ValueError(f"leaf {index} is not in a tree of {count}")
    result, remaining = _leaf(leaf), list(path)
    last = count - 1
    while last:
        if index % 2 or index < last:
            if not remaining:
                raise ValueError("the path is too short")
            sibling = remaining.pop(0)
            result = _node(sibling, result) if index % 2 else _node(result, sibling)
        index, last = index // 2, last // 2
    if remaining:
        raise ValueError("the path is too long")
    return result


def _leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
