"""The RFC 6962 Merkle tree: hashing, the shape of its proofs, and the checks a client makes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves (RFC 6962 §2.1)."""


def leaf_hash(data: bytes) -> bytes:
    """Hash one log entry: SHA-256 over 0x00 and the entry (RFC 6962 §2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent: SHA-256 over 0x01, left, right (RFC 6962 §2.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Node:
    """A complete subtree of 2**level leaves whose first leaf is index * 2**level."""

    level: int
    index: int


NodeSource = Callable[[Node], bytes]
"""Gives the hash of a complete subtree that lies within the tree."""


def complete_nodes(begin: int, end: int) -> Iterator[Node]:
    """Split the leaf range [begin, end) into its maximal complete subtrees, left to right."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield Node(level, begin >> level)
        begin += 1 << level


def fold(hashes: Sequence[bytes]) -> bytes:
    """Join the maximal complete subtrees of a range (widest first) into the root of the range.

    An empty sequence is the empty tree.
    """
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of sibling hashes, as when a full tile is folded into the level above."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def _split(width: int) -> int:
    """Give the largest power of two smaller than `width` (RFC 6962's k)."""
    return 1 << (width - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Leaf ranges whose roots are the inclusion proof of leaf `index` in the tree of `size`, lowest first.

    Raises ValueError unless 0 <= index < size. RFC 6962 §2.1.1.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    begin, end = 0, size
    ranges: list[tuple[int, int]] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Leaf ranges whose roots are the proof that the tree of `new` extends the tree of `old`, lowest first.

    Nothing is needed for old = 0 or old = new. Raises ValueError unless 0 <= old <= new. RFC 6962 §2.1.2.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} cannot extend one of {old}")
    if old in (0, new):
        return []
    begin, end = 0, new
    ranges: list[tuple[int, int]] = []
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    if begin:
        ranges.append((begin, end))
    return ranges[::-1]


def nodes_of(ranges: Sequence[tuple[int, int]]) -> list[Node]:
    """Every complete subtree that `resolve` will ask for, so that a store can fetch them beforehand."""
    return [node for begin, end in ranges for node in complete_nodes(begin, end)]


def resolve(ranges: Sequence[tuple[int, int]], source: NodeSource) -> list[bytes]:
    """Turn proof ranges into proof hashes."""
    return [fold([source(node) for node in complete_nodes(begin, end)]) for begin, end in ranges]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Root that an inclusion proof leads to; the caller compares it with a signed one.

    `leaf` is the leaf's hash. Raises ValueError when the proof has the wrong length. RFC 9162 §2.1.3.2.
    """
    ranges = inclusion_ranges(index, size)
    if len(proof) != len(ranges):
        raise ValueError(f"inclusion proof has {len(proof)} hashes, {len(ranges)} are needed")
    result = leaf
    for (begin, _), sibling in zip(ranges, proof, strict=True):
        result = node_hash(result, sibling) if begin > index else node_hash(sibling, result)
    return result


def consistency_holds(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the proof shows that the tree of `new` extends the tree of `old`. RFC 9162 §2.1.4.2."""
    ranges = consistency_ranges(old, new)
    if len(proof) != len(ranges):
        return False
    if old == 0:
        return old_root == EMPTY_ROOT
    if not ranges:
        return old_root == new_root
    hashes = list(zip(ranges, proof, strict=True))
    if old & (old - 1) == 0:
        old_result = new_result = old_root
    else:
        old_result = new_result = hashes.pop(0)[1]
    for (begin, _), sibling in hashes:
        if begin >= old:
            new_result = node_hash(new_result, sibling)
        else:
            old_result = node_hash(sibling, old_result)
            new_result = node_hash(sibling, new_result)
    return old_result == old_root and new_result == new_root
