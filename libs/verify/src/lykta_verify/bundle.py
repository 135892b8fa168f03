"""Entry bundles: splitting them into entries, and saying what is wrong with one."""

from dataclasses import dataclass

from lykta_verify.locate import changed_byte, fitting_length
from lykta_verify.merkle import leaf_hash

SEARCHES = 3
"""In how many entries of one bundle the changed byte or length is searched for; the others are named only."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry and where its bytes (after the length field) begin in its bundle."""

    offset: int
    data: bytes


class BundleError(ValueError):
    """A bundle that does not split into its entries; `position` is the first entry that does not fit."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def split(bundle: bytes, width: int) -> list[Entry]:
    """Split a bundle of `width` entries, each after its u16 length. Raises BundleError unless it fits exactly."""
    entries: list[Entry] = []
    offset = 0
    for position in range(width):
        start = offset + 2
        end = start + int.from_bytes(bundle[offset:start], "big")
        if start > len(bundle) or end > len(bundle):
            raise BundleError(position, "its length field points past the end of the file")
        entries.append(Entry(start, bundle[start:end]))
        offset = end
    if offset != len(bundle):
        raise BundleError(width, f"{len(bundle) - offset} bytes follow the last entry")
    return entries


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with one entry of a bundle."""

    position: int
    message: str


def diagnose(bundle: bytes, leaves: list[bytes], *, whole: bool) -> list[Damage]:
    """Compare a bundle with the leaf hashes it should have; name entries and, where it can be found, the byte.

    `whole` says that the bundle must end with the last of them. No damage means that all entries are right.
    """
    damages: list[Damage] = []
    offset = 0
    for position, leaf in enumerate(leaves):
        start = offset + 2
        end = start + int.from_bytes(bundle[offset:start], "big")
        if start > len(bundle):
            return [*damages, Damage(position, f"the file ends before it, at byte {len(bundle)}")]
        if end <= len(bundle) and leaf_hash(bundle[start:end]) == leaf:
            offset = end
            continue
        search = len(damages) < SEARCHES
        length = fitting_length(bundle[start : start + 0xFFFF], leaf) if search else None
        if length is not None:
            at = offset if (end - start) >> 8 != length >> 8 else offset + 1
            wrong = f"its length field was changed at byte {at}: it says {end - start}, {length} bytes were logged"
            damages.append(Damage(position, wrong))
            offset = start + length
            continue
        damages.append(Damage(position, _describe(bundle[start:end], start, leaf, search=search)))
        if end > len(bundle):
            return damages
        offset = end
    if whole and offset != len(bundle):
        damages.append(Damage(len(leaves), f"{len(bundle) - offset} bytes follow the last entry"))
    return damages


def _describe(data: bytes, start: int, leaf: bytes, *, search: bool) -> str:
    """Say how an entry differs from the one that was logged, as exactly as the leaf hash allows."""
    found = changed_byte(data, leaf) if search else None
    if found is None:
        return f"bytes {start}–{start + len(data) - 1} are not those that were logged"
    offset, value = found
    return f"byte {start + offset} was changed: it is 0x{data[offset]:02x}, logged was 0x{value:02x}"
