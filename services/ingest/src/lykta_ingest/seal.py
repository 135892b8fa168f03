"""The hour tree: an RFC 6962 Merkle tree over fragment hashes, and the recorder's signature over its root."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from lykta_contracts.media import Seal, seal_statement


class HourTree:
    """The right-hand frontier of an RFC 6962 tree; appending and the root cost O(log n) hashes, memory O(log n)."""

    __slots__ = ("count", "frontier")

    def __init__(self, count: int = 0, frontier: tuple[bytes, ...] = ()) -> None:
        self.count = count
        self.frontier = frontier

    def with_leaf(self, leaf_input: bytes) -> HourTree:
        """Return the tree with one more leaf (RFC 6962 section 2.1: leaf prefix 0x00, node prefix 0x01)."""
        node = hashlib.sha256(b"\x00" + leaf_input).digest()
        stack = list(self.frontier)
        full = self.count
        while full & 1:
            node = hashlib.sha256(b"\x01" + stack.pop() + node).digest()
            full >>= 1
        stack.append(node)
        return HourTree(self.count + 1, tuple(stack))

    def root(self) -> bytes:
        """Return the Merkle tree hash; of an empty tree the hash of nothing."""
        if not self.frontier:
            return hashlib.sha256().digest()
        node = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


def make_seal(
    place: tuple[str, str, str], leaves: tuple[str, int, int], root: bytes, key_id: str, sign: Callable[[bytes], bytes]
) -> Seal:
    """Sign an hour's root; `place` is (controller, camera, hour), `leaves` is (run, first leaf, count).

    `sign` returns the raw Ed25519 signature (RFC 8032), so the same seal always has the same bytes.
    """
    run, first_leaf, count = leaves
    statement = seal_statement(*place, (run, count, root.hex()))
    return Seal(
        run=run,
        first_leaf=first_leaf,
        count=count,
        root=root.hex(),
        key_id=key_id,
        signature=base64.b64encode(sign(statement)).decode(),
    )
