"""Finds the one byte of an entry that was changed, by trying every single change until the leaf hash fits."""

from hashlib import sha256

SEARCH_BOUND = 4096
"""Entries longer than this many bytes are named but not searched: trials grow with the square of the length."""


def changed_byte(data: bytes, leaf: bytes) -> tuple[int, int] | None:
    """Give (offset, original value) of the single changed byte in `data` if its leaf hash was `leaf`."""
    if len(data) > SEARCH_BOUND:
        return None
    prefix = sha256(b"\x00")
    for offset, now in enumerate(data):
        rest = data[offset + 1 :]
        for value in range(256):
            if value == now:
                continue
            trial = prefix.copy()
            trial.update(bytes((value,)) + rest)
            if trial.digest() == leaf:
                return offset, value
        prefix.update(data[offset : offset + 1])
    return None


def fitting_length(data: bytes, leaf: bytes) -> int | None:
    """Length of the prefix of `data` whose leaf hash is `leaf`: finds a changed length field."""
    prefix = sha256(b"\x00")
    for length in range(len(data) + 1):
        if prefix.digest() == leaf:
            return length
        prefix.update(data[length : length + 1])
    return None
