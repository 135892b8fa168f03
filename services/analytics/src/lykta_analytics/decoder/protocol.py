"""What parent and decoder child say to each other over two pipes and one piece of shared memory.

The parent sends one part and waits; the child answers with its frames and one closing record. Standard library only,
because both sides load it.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

RING_FD_ARGUMENT: Final = "--ring-fd"
POSSIBLE: Final = ("network", "files", "processes")
SLOTS: Final = 4
MAX_FRAME_BYTES: Final = 1280 * 960 * 3
RING_BYTES: Final = SLOTS * MAX_FRAME_BYTES
MAX_PART_BYTES: Final = 16 << 20
MAX_INIT_BYTES: Final = 64 << 10

_PART: Final = struct.Struct("!qII")
_RECORD: Final = struct.Struct("!BBHHHHq")
PART_HEADER_BYTES: Final = _PART.size
RECORD_BYTES: Final = _RECORD.size


class RecordKind(IntEnum):
    """What a record from the child means; `FRAME` comes any number of times before one of the others."""

    FRAME = 1
    DONE = 2
    CORRUPT = 3
    NEEDS_KEY = 4
    READY = 5


class PartHeader(NamedTuple):
    """Precedes a part: time of its first frame, then the lengths of an init (0 when none) and of the part."""

    from_ms: int
    init_bytes: int
    part_bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """One answer of the child; sizes in pixels, `at_ms` in unix milliseconds of media time.

    For `READY` the field `slot` carries a bit for each thing that is still possible (`POSSIBLE`, in order).
    """

    kind: RecordKind
    slot: int = 0
    width: int = 0
    height: int = 0
    source_width: int = 0
    source_height: int = 0
    at_ms: int = 0


def pack_header(header: PartHeader) -> bytes:
    """Serialises a part header to `PART_HEADER_BYTES` bytes."""
    return _PART.pack(*header)


def unpack_header(raw: bytes) -> PartHeader:
    """Reads a part header; raises `ValueError` when a length is out of bounds."""
    header = PartHeader(*_PART.unpack(raw))
    if header.init_bytes > MAX_INIT_BYTES or header.part_bytes > MAX_PART_BYTES:
        raise ValueError("part or init is too long")
    return header


def pack_record(record: Record) -> bytes:
    """Serialises a record to `RECORD_BYTES` bytes."""
    return _RECORD.pack(
        record.kind,
        record.slot,
        record.width,
        record.height,
        record.source_width,
        record.source_height,
        record.at_ms,
    )


def unpack_record(raw: bytes) -> Record:
    """Reads a record and refuses one that would make the reader leave the ring; the child is not trusted.

    Raises `ValueError`.
    """
    kind, slot, width, height, source_width, source_height, at_ms = _RECORD.unpack(raw)
    record = Record(RecordKind(kind), slot, width, height, source_width, source_height, at_ms)
    fits = slot < SLOTS and 0 < width * height * 3 <= MAX_FRAME_BYTES
    if record.kind is RecordKind.FRAME and not fits:
        raise ValueError("frame lies outside the ring")
    return record
