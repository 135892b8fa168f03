"""The hour tree against an independent implementation of RFC 6962."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lykta_storage.domain.hour_tree import HourTree, root_from_path
from pymerkle import InmemoryTree

leaves = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


@given(leaves)
@settings(deadline=None)
def test_the_root_is_that_of_an_independent_library(data: list[bytes]) -> None:
    """Our root equals pymerkle's for every number of leaves."""
    other = InmemoryTree(algorithm="sha256")
    for leaf in data:
        other.append_entry(leaf)
    assert HourTree(data).root == other.get_root()


@given(leaves, st.integers(0, 69))
@settings(deadline=None)
def test_a_path_leads_every_leaf_to_the_root(data: list[bytes], index: int) -> None:
    """The inclusion path of any leaf leads to the root, and to no other root when the leaf is changed."""
    index %= len(data)
    tree = HourTree(data)
    assert root_from_path(data[index], index, len(data), tree.path(index)) == tree.root
    forged = sha256(data[index]).digest()
    assert root_from_path(forged, index, len(data), tree.path(index)) != tree.root


@given(leaves, st.integers(0, 69))
@settings(deadline=None)
def test_a_path_of_the_wrong_length_is_refused(data: list[bytes], index: int) -> None:
    """A path with a hash too many or too few is an error, never a root."""
    index %= len(data)
    path = HourTree(data).path(index)
    with pytest.raises(ValueError, match="too long"):
        root_from_path(data[index], index, len(data), [*path, b"\0" * 32])
    if path:
        with pytest.raises(ValueError, match="too short"):
            root_from_path(data[index], index, len(data), path[:-1])


def test_an_empty_tree_is_refused() -> None:
    """There is no tree without leaves, and no path of a leaf outside it."""
    with pytest.raises(ValueError, match="needs a leaf"):
        HourTree([])
    with pytest.raises(IndexError):
        HourTree([b"a"]).path(1)
