"""The tree agrees with RFC 6962 as an independent library computes it, and its proofs prove only what is so."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_audit import merkle
from lykta_audit.tree import TreeEdge, node_in_tile, tile_of
from pymerkle import InmemoryTree

LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def node_of(leaves: list[bytes], node: merkle.Node) -> bytes:
    """Hash of a complete subtree, by definition."""
    begin = node.index << node.level
    return merkle.perfect_root([merkle.leaf_hash(leaf) for leaf in leaves[begin : begin + (1 << node.level)]])


def root_of(leaves: list[bytes]) -> bytes:
    """Root of the tree over these leaves."""
    return merkle.fold([node_of(leaves, node) for node in merkle.complete_nodes(0, len(leaves))])


def foreign_tree(leaves: list[bytes]) -> InmemoryTree:
    """Build the same tree with pymerkle."""
    tree = InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    return tree


def subproof(old: int, leaves: list[bytes], *, complete: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 §2.1.2, word for word."""
    if old == len(leaves):
        return [] if complete else [root_of(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*subproof(old, leaves[:split], complete=complete), root_of(leaves[split:])]
    return [*subproof(old - split, leaves[split:], complete=False), root_of(leaves[:split])]


@given(LEAVES)
def test_root_agrees_with_pymerkle(leaves: list[bytes]) -> None:
    """The root of any tree is the one that pymerkle computes."""
    assert root_of(leaves) == foreign_tree(leaves).get_root()


@given(LEAVES, st.data())
def test_inclusion_proof_agrees_with_pymerkle(leaves: list[bytes], data: st.DataObject) -> None:
    """An inclusion proof has pymerkle's hashes, leads to the root, and does so for no other leaf."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = merkle.resolve(merkle.inclusion_ranges(index, len(leaves)), partial(node_of, leaves))
    theirs = foreign_tree(leaves).prove_inclusion(index + 1)
    assert proof == theirs.path[1:]
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.root_from_inclusion(leaf, index, len(leaves), proof) == root_of(leaves)
    other = merkle.leaf_hash(leaves[index] + b"x")
    assert merkle.root_from_inclusion(other, index, len(leaves), proof) != root_of(leaves)


@given(LEAVES, st.data())
def test_consistency_proof_holds_between_pymerkle_s_roots(leaves: list[bytes], data: st.DataObject) -> None:
    """A consistency proof holds between the tree and its prefix, and not for another prefix's root."""
    old = data.draw(st.integers(1, len(leaves)))
    proof = merkle.resolve(merkle.consistency_ranges(old, len(leaves)), partial(node_of, leaves))
    tree = foreign_tree(leaves)
    old_root, new_root = tree.get_root(old), tree.get_root()
    assert proof == subproof(old, leaves, complete=True)
    assert merkle.consistency_holds(old, len(leaves), old_root, new_root, proof)
    assert not merkle.consistency_holds(old, len(leaves), merkle.leaf_hash(old_root), new_root, proof)
    assert not merkle.consistency_holds(old, len(leaves), old_root, merkle.leaf_hash(new_root), proof)
    assert not merkle.consistency_holds(old, len(leaves), old_root, new_root, [*proof, old_root])


def test_the_empty_tree_is_a_prefix_of_every_tree() -> None:
    """Consistency with size 0 needs no hashes and only the empty root."""
    assert merkle.consistency_holds(0, 3, merkle.EMPTY_ROOT, root_of([b"a", b"b", b"c"]), [])
    assert not merkle.consistency_holds(0, 3, merkle.leaf_hash(b""), root_of([b"a", b"b", b"c"]), [])


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_inclusion_outside_the_tree_is_refused(index: int, size: int) -> None:
    """There is no proof for a leaf that the tree does not have."""
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_ranges(index, size)


def test_consistency_with_a_larger_tree_is_refused() -> None:
    """A tree never extends a larger one."""
    with pytest.raises(ValueError, match="cannot extend"):
        merkle.consistency_ranges(5, 4)


def test_a_short_inclusion_proof_is_refused() -> None:
    """A proof with a hash missing is an error, not another root."""
    with pytest.raises(ValueError, match="are needed"):
        merkle.root_from_inclusion(merkle.leaf_hash(b""), 0, 4, [])


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 65535, 65536, 66000])
def test_edge_keeps_root_and_tiles_across_tile_boundaries(size: int) -> None:
    """The edge's root and full tiles equal those computed from all leaves, and a copy goes on from there."""
    leaves = [i.to_bytes(4, "big") for i in range(size)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    edge = TreeEdge()
    tiles = {(t.level, t.index): t.data for leaf in hashes for t in edge.append(leaf)}
    assert edge.size == size
    assert edge.root() == merkle.fold(
        [
            merkle.perfect_root(hashes[n.index << n.level : (n.index + 1) << n.level])
            for n in merkle.complete_nodes(0, size)
        ]
    )
    assert sorted(tiles) == [(0, i) for i in range(size // 256)] + [(1, i) for i in range(size // 65536)]
    for (level, index), data in tiles.items():
        assert len(data) == 256 * 32
        if level == 0:
            assert data == b"".join(hashes[index * 256 : index * 256 + 256])
    again = edge.copy()
    again.append(merkle.leaf_hash(b"one more"))
    assert (edge.size, again.size) == (size, size + 1)


@given(st.integers(1, 700), st.data())
def test_any_node_is_found_in_its_tile(size: int, data: st.DataObject) -> None:
    """A complete subtree's hash comes out of the one tile that holds it, full or partial."""
    hashes = [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(size)]
    edge = TreeEdge()
    tiles = {(t.level, t.index): t.data for leaf in hashes for t in edge.append(leaf)}
    for level in range(2):
        width = size >> 8 * level
        tiles.setdefault((level, width // 256), b"".join(edge.partial(level)))
    level = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> level) - 1))
    expected = merkle.perfect_root(hashes[index << level : (index + 1) << level])
    node = merkle.Node(level, index)
    assert node_in_tile(node, tiles[tile_of(node)]) == expected


def test_a_node_beyond_its_tile_is_refused() -> None:
    """A tile that is too narrow for a subtree is an error, never a hash of something else."""
    with pytest.raises(ValueError, match="too narrow"):
        node_in_tile(merkle.Node(1, 1), bytes(96))


def test_partials_of_another_size_are_refused() -> None:
    """An edge is not continued with hashes that belong to a tree of another size."""
    with pytest.raises(ValueError, match="do not belong"):
        TreeEdge(3, [[bytes(32)]])
