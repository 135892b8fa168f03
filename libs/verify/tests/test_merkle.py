"""The verifier's own tree code follows RFC 6962 and RFC 9162."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_verify.merkle import (
    EMPTY_ROOT,
    consistency_holds,
    inclusion_root,
    leaf_hash,
    node_hash,
    root_of,
    tile_levels,
)
from pymerkle import InmemoryTree

LEAVES = st.lists(st.binary(max_size=20), min_size=1, max_size=40)


@given(LEAVES)
def test_root_agrees_with_pymerkle(inputs: list[bytes]) -> None:
    """The root over any leaves is the one that an independent library computes."""
    tree = InmemoryTree(algorithm="sha256")
    for item in inputs:
        tree.append_entry(item)
    assert root_of([leaf_hash(item) for item in inputs]) == tree.get_root()


def test_known_hashes() -> None:
    """Leaves, nodes and the empty tree are hashed with RFC 6962's prefixes."""
    assert EMPTY_ROOT == root_of([]) == sha256().digest()
    assert leaf_hash(b"") == sha256(b"\x00").digest()
    assert node_hash(b"l", b"r") == sha256(b"\x01lr").digest()


def test_inclusion_holds_for_its_leaf_only(builders: Any) -> None:
    """For every leaf of every small tree the proof leads to the root, and a changed, cut or grown one does not."""
    for size in range(1, 20):
        leaves = [leaf_hash(bytes((number,))) for number in range(size)]
        for index in range(size):
            path = builders.proof(leaves, index)
            assert inclusion_root(leaves[index], index, size, path) == root_of(leaves)
            for other in range(size):
                if other != index:
                    with_other = _root_or_none(leaves[other], index, size, path)
                    assert with_other != root_of(leaves)
            for wrong in (path[:-1] if path else [b""], [*path, bytes(32)]):
                with pytest.raises(ValueError, match="too"):
                    inclusion_root(leaves[index], index, size, wrong)


def _root_or_none(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    try:
        return inclusion_root(leaf, index, size, path)
    except ValueError:
        return None


def _subproof(old: int, leaves: list[bytes], *, complete: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 §2.1.2, over leaf hashes."""
    if old == len(leaves):
        return [] if complete else [root_of(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*_subproof(old, leaves[:split], complete=complete), root_of(leaves[split:])]
    return [*_subproof(old - split, leaves[split:], complete=False), root_of(leaves[:split])]


def test_consistency_holds_for_prefixes_only() -> None:
    """For every pair of small trees the proof holds, and not for another root or a proof that was changed."""
    leaves = [leaf_hash(bytes((number,))) for number in range(18)]
    for new in range(1, 19):
        for old in range(1, new + 1):
            path = _subproof(old, leaves[:new], complete=True)
            old_root, new_root = root_of(leaves[:old]), root_of(leaves[:new])
            assert consistency_holds(old, new, old_root, new_root, path)
            assert not consistency_holds(old, new, leaf_hash(old_root), new_root, path)
            assert not consistency_holds(old, new, old_root, leaf_hash(new_root), path)
            assert not consistency_holds(old, new, old_root, new_root, [*path, bytes(32)])
            for cut in range(len(path)):
                assert not consistency_holds(old, new, old_root, new_root, path[:cut] + path[cut + 1 :])
    assert consistency_holds(0, 3, EMPTY_ROOT, root_of(leaves[:3]), [])
    assert not consistency_holds(3, 2, root_of(leaves[:3]), root_of(leaves[:2]), [bytes(32)])


def test_tile_levels_hold_the_roots_of_full_tiles() -> None:
    """Level 1 has one hash for each full tile of level 0, and there is no level without hashes."""
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(600)]
    assert tile_levels(leaves) == [leaves, [root_of(leaves[:256]), root_of(leaves[256:512])]]
    assert tile_levels([]) == []
