"""Tile paths, entry bundles and the list of objects to publish follow C2SP tlog-tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_audit.tiles import (
    MAX_ENTRY_SIZE,
    TileRef,
    decode_bundle,
    encode_bundle,
    encode_index,
    parse_path,
    tiles_since,
)


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (TileRef(0, 0), "tile/0/000"),
        (TileRef(0, 1234067), "tile/0/x001/x234/067"),
        (TileRef(1, 999, 3), "tile/1/999.p/3"),
        (TileRef(None, 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(ref: TileRef, path: str) -> None:
    """Known objects have the paths that the specification gives them."""
    assert ref.path == path
    assert parse_path(path) == ref


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 1 << 56), st.integers(1, 256))
def test_paths_read_back(level: int | None, index: int, width: int) -> None:
    """Every path reads back as the object that wrote it."""
    assert parse_path(TileRef(level, index, width).path) == TileRef(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/00/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/64/000",
    ],
)
def test_other_spellings_are_refused(path: str) -> None:
    """A path that the log would not write is not read as one that it would."""
    with pytest.raises(ValueError, match="not a tile path"):
        parse_path(path)


def test_a_negative_index_is_refused() -> None:
    """Tile indexes start at zero."""
    with pytest.raises(ValueError, match="not negative"):
        encode_index(-1)


@given(st.lists(st.binary(max_size=600), max_size=256))
def test_bundles_read_back(entries: list[bytes]) -> None:
    """An entry bundle gives back exactly the entries it was made of."""
    assert decode_bundle(encode_bundle(entries)) == entries


def test_bundle_limits() -> None:
    """The longest entry fits; one more byte, or one more entry than a tile is wide, does not."""
    assert decode_bundle(encode_bundle([bytes(MAX_ENTRY_SIZE)])) == [bytes(MAX_ENTRY_SIZE)]
    with pytest.raises(ValueError, match="bytes"):
        encode_bundle([bytes(MAX_ENTRY_SIZE + 1)])
    with pytest.raises(ValueError, match="at most 256"):
        encode_bundle([b""] * 257)


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x02a", b"\x00\x01a\x00"])
def test_a_cut_bundle_is_refused(data: bytes) -> None:
    """A bundle that ends within an entry or a length is an error."""
    with pytest.raises(ValueError, match="runs past"):
        decode_bundle(data)


@given(st.integers(0, 70000), st.integers(0, 70000))
def test_publication_covers_every_size(first: int, second: int) -> None:
    """Publishing in two steps leaves every object that a client of either size needs, and nothing twice."""
    old, new = sorted((first, first + second))
    step_one, step_two = list(tiles_since(0, old)), list(tiles_since(old, new))
    assert not set(step_one) & set(step_two)
    published = set(step_one) | set(step_two)
    for size in (old, new):
        for level, width in ((None, size), (0, size), (1, size >> 8), (2, size >> 16)):
            needed = {TileRef(level, index) for index in range(width // 256)}
            if width % 256:
                needed.add(TileRef(level, width // 256, width % 256))
            assert needed <= published
