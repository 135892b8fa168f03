"""RFC 6962 trees as a verifier needs them; on purpose not the code that the log itself runs."""

from collections.abc import Sequence
from hashlib import sha256

HASH_SIZE = 32
TILE_WIDTH = 256
"""Hashes in a full tile, entries in a full bundle (C2SP tlog-tiles)."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 over 0x00 and the leaf's input (RFC 6962 §2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 over 0x01 and two subtree hashes (RFC 6962 §2.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes; O(n), keeps one level in memory."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def tile_levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Hashes at each tile level, lowest first: level L+1 holds the roots of the full tiles of level L."""
    levels: list[list[bytes]] = []
    level = list(leaves)
    while level:
        levels.append(level)
        full = len(level) // TILE_WIDTH * TILE_WIDTH
        level = [root_of(level[i : i + TILE_WIDTH]) for i in range(0, full, TILE_WIDTH)]
    return levels


def inclusion_root(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root to which an inclusion proof leads from a leaf hash (RFC 9162 §2.1.3.2).

    Raises ValueError when the leaf lies outside the tree or the path has the wrong length.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    first, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ValueError("the proof is too long")
        if first & 1 or first == last:
            result = node_hash(sibling, result)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return result


def consistency_holds(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that the tree of `new` leaves extends that of `old` (RFC 9162 §2.1.4.2)."""
    if old == 0 or old == new:
        return not path and (old_root == (EMPTY_ROOT if old == 0 else new_root))
    if old > new or not path:
        return False
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old_result = new_result = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            old_result, new_result = node_hash(sibling, old_result), node_hash(sibling, new_result)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new_result = node_hash(new_result, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and old_result == old_root and new_result == new_root
