"""How records lie in a journal file: a fixed head, three texts and a body, each checked (see `journal`).

The head's CRC covers head and texts, the SHA-256 in it covers the body, so that the evidence path's hash doubles as the
check against torn writes and costs nothing extra.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

_MAGIC = b"LJR1"
_head = struct.Struct(">4sBxHHxxIIq32sI")
HEAD_BYTES = _head.size
_IOV_MAX = 512
_META_MAX = 16 * 1024 * 1024
_BODY_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Record:
    """What to keep until `key` is done; `position` (unix ms) advances the mark of `subject` unless it is empty.

    The body is read before the next draft is built, so that it may lie in a buffer that is used again.
    """

    kind: int
    key: str
    meta: bytes
    body: bytes | bytearray | memoryview = b""
    body_sha256: bytes = b""
    subject: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class Location:
    """Where the body of a record lies."""

    file: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A live record found on recovery."""

    kind: int
    key: str
    meta: bytes
    subject: str
    position: int
    location: Location
    body_sha256: bytes


def texts_length(record: Record) -> int:
    """Return the bytes between head and body."""
    return len(record.key.encode()) + len(record.subject.encode()) + len(record.meta)


def encode(record: Record) -> bytes:
    """Return head and texts; the body follows them."""
    key, subject = record.key.encode(), record.subject.encode()
    digest = record.body_sha256 or hashlib.sha256(record.body).digest()
    texts = key + subject + record.meta
    head = _head.pack(
        _MAGIC, record.kind, len(key), len(subject), len(record.meta), len(record.body), record.position, digest, 0
    )
    return head[:-4] + zlib.crc32(texts, zlib.crc32(head[:-4])).to_bytes(4, "big") + texts


def decode(fd: int, position: int, size: int, *, check_body: bool) -> tuple[Entry, int] | None:
    """Read the record at `position`; None where no whole record begins."""
    if position + HEAD_BYTES > size:
        return None
    head = os.pread(fd, HEAD_BYTES, position)
    magic, kind, key_length, subject_length, meta_length, body_length, mark, digest, crc = _head.unpack(head)
    texts_length = key_length + subject_length + meta_length
    body_at = position + HEAD_BYTES + texts_length
    if magic != _MAGIC or meta_length > _META_MAX or body_length > _BODY_MAX or body_at + body_length > size:
        return None
    texts = os.pread(fd, texts_length, position + HEAD_BYTES)
    if zlib.crc32(texts, zlib.crc32(head[:-4])) != crc:
        return None
    if check_body and hashlib.sha256(os.pread(fd, body_length, body_at)).digest() != digest:
        return None
    key, subject = texts[:key_length].decode(), texts[key_length : key_length + subject_length].decode()
    meta = texts[key_length + subject_length :]
    return Entry(kind, key, meta, subject, mark, Location(0, body_at, body_length), digest), body_at + body_length


def write_all(fd: int, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
    """Write every buffer, however the kernel cuts the writes."""
    views = [memoryview(buffer) for buffer in buffers if len(buffer)]
    while views:
        written = os.writev(fd, views[:_IOV_MAX])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]
