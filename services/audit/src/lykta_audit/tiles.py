"""C2SP tlog-tiles: how the tree and its entries are cut into immutable objects with paths.

Source: https://c2sp.org/tlog-tiles.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_ENTRY_SIZE = 0xFFFF
"""Bytes; the length prefix of an entry is a u16."""

_NUMBER = re.compile(r"(?:x\d{3}/)*\d{3}")
_PATH = re.compile(rf"tile/(?P<level>0|[1-9]\d?|entries)/(?P<number>{_NUMBER.pattern})(?:\.p/(?P<width>[1-9]\d*))?")
MAX_LEVEL = 63
CHECKPOINT_PATH = "checkpoint"


@dataclass(frozen=True, slots=True)
class TileRef:
    """One object of the log: a tile of hashes (`level` >= 0) or an entry bundle (`level` None)."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Path below the log's prefix."""
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{encode_index(self.index)}{partial}"


def encode_index(index: int) -> str:
    """Write a tile index as path elements of three digits, all but the last with an x: 1234067 → x001/x234/067."""
    if index < 0:
        raise ValueError("a tile index is not negative")
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    return "/".join(reversed(parts))


def parse_path(path: str) -> TileRef:
    """Read a tile path back. Raises ValueError for anything `TileRef.path` would not write."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("not a tile path")
    index = int(match["number"].replace("/", "").replace("x", ""))
    width = int(match["width"]) if match["width"] else TILE_WIDTH
    level = None if match["level"] == "entries" else int(match["level"])
    ref = TileRef(level, index, width)
    if ref.path != path or width > TILE_WIDTH or (level or 0) > MAX_LEVEL:
        raise ValueError("not a tile path in its only spelling")
    return ref


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries back to back, each after its length as u16 big-endian.

    Raises ValueError for an entry above `MAX_ENTRY_SIZE` and for more than a tile's worth of them.
    """
    if len(entries) > TILE_WIDTH:
        raise ValueError(f"an entry bundle holds at most {TILE_WIDTH} entries")
    if any(len(entry) > MAX_ENTRY_SIZE for entry in entries):
        raise ValueError(f"an entry holds at most {MAX_ENTRY_SIZE} bytes")
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry))


def decode_bundle(data: bytes) -> list[bytes]:
    """Read an entry bundle. Raises ValueError when it does not end with its last entry."""
    entries: list[bytes] = []
    offset = 0
    while offset < len(data):
        start = offset + 2
        end = start + int.from_bytes(data[offset:start], "big")
        if start > len(data) or end > len(data):
            raise ValueError(f"entry {len(entries)} runs past the end of the bundle")
        entries.append(data[start:end])
        offset = end
    return entries


def tiles_since(old: int, new: int) -> Iterator[TileRef]:
    """Objects that a log grown from `old` to `new` leaves has to publish, entries first, then levels upwards.

    Full tiles that were completed on the way come once; each level ends with its partial tile, if it has one.
    """
    if old >= new:
        return
    for level in (None, *range(MAX_LEVEL + 1)):
        shift = TILE_HEIGHT * (level or 0)
        before, after = old >> shift, new >> shift
        if after == 0:
            return
        if before == after:
            continue
        for index in range(before // TILE_WIDTH, after // TILE_WIDTH):
            yield TileRef(level, index)
        if after % TILE_WIDTH:
            yield TileRef(level, after // TILE_WIDTH, after % TILE_WIDTH)
