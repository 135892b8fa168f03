"""Reads fragmented MP4 as far as a decoder needs it: codec configuration from the init, samples from a part.

ISO/IEC 14496-12 (boxes) and 14496-15 (`avcC`). Runs in the sandboxed child only; input is hostile, so every length is
checked before it is used and every fault is a `ValueError`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

TIME_SCALE: Final = 90_000
_MAX_SAMPLES: Final = 10_000
_DATA_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _FLAGS, _COMPOSITION = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800
_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE = 0x1, 0x2, 0x8, 0x10


@dataclass(frozen=True, slots=True)
class Sample:
    """One coded picture: its offset in time from the part's first decode time (ticks), and its bytes."""

    offset_ticks: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A `moof`+`mdat`: decode time of its first sample, ticks it lasts, and its samples in decode order."""

    decode_time: int
    duration_ticks: int
    samples: tuple[Sample, ...]

    def follows(self, expected: int) -> bool:
        """Says whether nothing is missing before this part; half a picture's time is forgiven."""
        return abs(self.decode_time - expected) * 2 * len(self.samples) <= self.duration_ticks


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yields type and content of each box in turn; raises `ValueError` on a size that does not fit."""
    position = 0
    while position < len(data):
        if len(data) - position < 8:
            raise ValueError("box header is cut off")
        size, kind = struct.unpack_from("!I4s", data, position)
        header = 8
        if size == 1 and len(data) - position >= 16:
            size, header = struct.unpack_from("!Q", data, position + 8)[0], 16
        if size < header or size > len(data) - position:
            raise ValueError("box is longer than what holds it")
        yield kind, data[position + header : position + size]
        position += size


def child(data: memoryview, *path: bytes) -> memoryview:
    """The first box at the path; raises `ValueError` when there is none."""
    for wanted in path:
        data = next((content for kind, content in boxes(data) if kind == wanted), memoryview(b""))
        if not data:
            raise ValueError(f"no {wanted.decode('ascii', 'replace')} box")
    return data


def codec_configuration(init: bytes) -> tuple[str, bytes]:
    """Answers the libav decoder's name and its configuration record (`avcC`) from `ftyp`+`moov`."""
    table = child(memoryview(init), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    for kind, entry in boxes(table[8:]):
        if kind in (b"avc1", b"avc3"):
            return "h264", bytes(child(entry[78:], b"avcC"))
    raise ValueError("the init has no H.264 track")


def read_part(part: bytes) -> Part:
    """Cuts a `moof`+`mdat` into samples in decode order; raises `ValueError` on anything inconsistent."""
    view = memoryview(part)
    track = child(view, b"moof", b"traf")
    duration, size = _defaults(child(track, b"tfhd"))
    rows = list(_rows(child(track, b"trun"), duration, size))
    payload = child(view, b"mdat")
    if sum(row[1] for row in rows) > len(payload):
        raise ValueError("samples are longer than the mdat")
    found, position, ticks = [], 0, 0
    for row_duration, row_size in rows:
        found.append(Sample(ticks, bytes(payload[position : position + row_size])))
        position += row_size
        ticks += row_duration
    return Part(_decode_time(child(track, b"tfdt")), ticks, tuple(found))


def _decode_time(box: memoryview) -> int:
    return _u32(box, 4) << 32 | _u32(box, 8) if _u32(box, 0) >> 24 else _u32(box, 4)


def _defaults(header: memoryview) -> tuple[int, int]:
    present = _u32(header, 0) & 0xFFFFFF
    position = 8 + (8 if present & _BASE_OFFSET else 0) + (4 if present & _DESCRIPTION else 0)
    duration = _u32(header, position) if present & _DEFAULT_DURATION else 0
    position += 4 if present & _DEFAULT_DURATION else 0
    return duration, _u32(header, position) if present & _DEFAULT_SIZE else 0


def _rows(run: memoryview, duration: int, size: int) -> Iterator[tuple[int, int]]:
    """Duration and size of each sample."""
    present, count = _u32(run, 0) & 0xFFFFFF, _u32(run, 4)
    if not 0 < count <= _MAX_SAMPLES:
        raise ValueError("sample count is out of bounds")
    position = 8 + (4 if present & _DATA_OFFSET else 0) + (4 if present & _FIRST_FLAGS else 0)
    skipped = 4 * sum(1 for bit in (_FLAGS, _COMPOSITION) if present & bit)
    for _ in range(count):
        row = [duration, size]
        for column, bit in enumerate((_DURATION, _SIZE)):
            if present & bit:
                row[column], position = _u32(run, position), position + 4
        position += skipped
        yield row[0], row[1]


def _u32(data: memoryview, position: int) -> int:
    if position + 4 > len(data):
        raise ValueError("box is cut off")
    return int(struct.unpack_from("!I", data, position)[0])
