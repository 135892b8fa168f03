"""Reads the H.264 samples of a plain or fragmented MP4 file (ISO/IEC 14496-12 and -15), nothing else."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from lykta_camera_sim.errors import FootageError

Span = tuple[int, int]  # start and end of a box body in the file
Defaults = tuple[int, int]  # duration and size of a sample that names none
_U32 = struct.Struct(">I")
_TFHD_BASE_OFFSET, _TFHD_DESCRIPTION = 0x1, 0x2
_TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS = 0x8, 0x10, 0x20
_TRUN_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION = 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True)
class Mp4Sample:
    """One access unit: its NAL units without length prefix; times count in the track's time scale."""

    nals: tuple[bytes, ...]
    decode_time: int
    duration: int
    composition_offset: int = 0


@dataclass(frozen=True, slots=True)
class Mp4Video:
    """The first H.264 track of a file, with the parameter sets of its ``avcC`` box."""

    timescale: int
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    samples: tuple[Mp4Sample, ...]


@dataclass(slots=True)
class _Track:
    track_id: int = 0
    timescale: int = 0
    nal_length_size: int = 4
    sps: tuple[bytes, ...] = ()
    pps: tuple[bytes, ...] = ()
    samples: list[Mp4Sample] = field(default_factory=list)


def _boxes(data: memoryview, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields (type, body start, body end) of the boxes in ``data[start:end]``."""
    while start + 8 <= end:
        size, kind = _U32.unpack_from(data, start)[0], bytes(data[start + 4 : start + 8])
        body = start + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], body + 8
        elif size == 0:
            size = end - start
        if size < body - start or start + size > end:
            raise FootageError("the MP4 file is cut off or damaged at byte", str(start))
        yield kind, body, start + size
        start += size


def _children(data: memoryview, start: int, end: int) -> dict[bytes, Span]:
    return {kind: (body, stop) for kind, body, stop in _boxes(data, start, end)}


def _path(data: memoryview, span: Span, *names: bytes) -> Span:
    for name in names:
        found = _children(data, *span).get(name)
        if found is None:
            raise FootageError("the MP4 file has no box", name.decode("latin-1"))
        span = found
    return span


def _table(data: memoryview, span: Span, fmt: str) -> list[tuple[int, ...]]:
    """Entries of a full box that is a count followed by equal rows."""
    start, end = span
    row = struct.Struct(fmt)
    count = _U32.unpack_from(data, start + 4)[0]
    if start + 8 + count * row.size > end:
        raise FootageError("a sample table of the MP4 file is cut off")
    return list(row.iter_unpack(data[start + 8 : start + 8 + count * row.size]))


def _split(sample: memoryview, length_size: int) -> tuple[bytes, ...]:
    nals, at = [], 0
    while at + length_size <= len(sample):
        size = int.from_bytes(sample[at : at + length_size], "big")
        at += length_size
        if size == 0:
            continue
        if at + size > len(sample):
            raise FootageError("an MP4 sample is shorter than its NAL lengths say")
        nals.append(bytes(sample[at : at + size]))
        at += size
    return tuple(nals)


def _parameter_sets(data: memoryview, start: int, count: int) -> tuple[tuple[bytes, ...], int]:
    sets = []
    for _ in range(count):
        size = int.from_bytes(data[start : start + 2], "big")
        sets.append(bytes(data[start + 2 : start + 2 + size]))
        start += 2 + size
    return tuple(sets), start


def _read_description(data: memoryview, stsd: Span, track: _Track) -> bool:
    for kind, body, end in _boxes(data, stsd[0] + 8, stsd[1]):
        if kind not in (b"avc1", b"avc3"):
            continue
        start, _ = _path(data, (body + 78, end), b"avcC")
        track.nal_length_size = (data[start + 4] & 3) + 1
        track.sps, after = _parameter_sets(data, start + 6, data[start + 5] & 31)
        track.pps, _ = _parameter_sets(data, after + 1, data[after])
        return True
    return False


def _sample_offsets(data: memoryview, stbl: dict[bytes, Span], sizes: list[int]) -> list[int]:
    if b"co64" in stbl:
        chunks = [row[0] for row in _table(data, stbl[b"co64"], ">Q")]
    else:
        chunks = [row[0] for row in _table(data, stbl[b"stco"], ">I")]
    runs = _table(data, stbl[b"stsc"], ">III")
    offsets: list[int] = []
    run = 0
    for number, at in enumerate(chunks, start=1):
        while run + 1 < len(runs) and runs[run + 1][0] <= number:
            run += 1
        for _ in range(runs[run][1]):
            if len(offsets) == len(sizes):
                break
            offsets.append(at)
            at += sizes[len(offsets) - 1]
    if len(offsets) != len(sizes):
        raise FootageError("the MP4 file's chunks hold fewer samples than its size table")
    return offsets


def _sample_sizes(data: memoryview, span: Span) -> list[int]:
    fixed, count = struct.unpack_from(">II", data, span[0] + 4)
    if fixed:
        return [fixed] * count
    return [row[0] for row in struct.iter_unpack(">I", data[span[0] + 12 : span[0] + 12 + 4 * count])]


def _read_plain_samples(data: memoryview, span: Span, track: _Track) -> None:
    stbl = _children(data, *span)
    sizes = _sample_sizes(data, stbl[b"stsz"])
    durations = [delta for count, delta in _table(data, stbl[b"stts"], ">II") for _ in range(count)]
    runs = _table(data, stbl[b"ctts"], ">Ii") if b"ctts" in stbl else []
    shifts = [shift for count, shift in runs for _ in range(count)]
    decode_time = 0
    for index, offset in enumerate(_sample_offsets(data, stbl, sizes)):
        nals = _split(data[offset : offset + sizes[index]], track.nal_length_size)
        shift = shifts[index] if shifts else 0
        track.samples.append(Mp4Sample(nals, decode_time, durations[index], shift))
        decode_time += durations[index]


def _find_track(data: memoryview, moov: Span) -> _Track:
    for kind, body, end in _boxes(data, *moov):
        if kind != b"trak":
            continue
        handler, _ = _path(data, (body, end), b"mdia", b"hdlr")
        if bytes(data[handler + 8 : handler + 12]) != b"vide":
            continue
        track = _Track()
        tkhd, _ = _path(data, (body, end), b"tkhd")
        track.track_id = _U32.unpack_from(data, tkhd + (20 if data[tkhd] else 12))[0]
        mdhd, _ = _path(data, (body, end), b"mdia", b"mdhd")
        track.timescale = _U32.unpack_from(data, mdhd + (20 if data[mdhd] else 12))[0]
        stbl = _path(data, (body, end), b"mdia", b"minf", b"stbl")
        if not _read_description(data, _path(data, stbl, b"stsd"), track):
            raise FootageError("the video track is not H.264 (avc1 or avc3); transcode it first")
        _read_plain_samples(data, stbl, track)
        return track
    raise FootageError("the MP4 file has no video track")


def _track_defaults(data: memoryview, moov: Span, track_id: int) -> Defaults:
    """Default sample duration and size of ``trex``."""
    mvex = _children(data, *moov).get(b"mvex")
    for kind, body, _ in _boxes(data, *mvex) if mvex else ():
        if kind == b"trex" and _U32.unpack_from(data, body + 4)[0] == track_id:
            duration, size = struct.unpack_from(">II", data, body + 12)
            return duration, size
    return 0, 0


def _header(data: memoryview, span: Span, moof_at: int, default: Defaults) -> tuple[int, int, int, int]:
    """Track id, base offset, default duration and default size of a ``tfhd`` box."""
    at = span[0]
    flags = _U32.unpack_from(data, at)[0] & 0xFFFFFF
    track_id = _U32.unpack_from(data, at + 4)[0]
    at += 8
    base, (duration, size) = moof_at, default
    if flags & _TFHD_BASE_OFFSET:
        base, at = struct.unpack_from(">Q", data, at)[0], at + 8
    if flags & _TFHD_DESCRIPTION:
        at += 4
    if flags & _TFHD_DURATION:
        duration, at = _U32.unpack_from(data, at)[0], at + 4
    if flags & _TFHD_SIZE:
        size = _U32.unpack_from(data, at)[0]
    return track_id, base, duration, size


def _run(data: memoryview, start: int, offset: int, default: Defaults) -> tuple[list[tuple[int, int, int]], int]:
    """Rows (duration, size, composition offset) of a ``trun`` box and where its data starts, from ``offset``."""
    version, flags = data[start], _U32.unpack_from(data, start)[0] & 0xFFFFFF
    count = _U32.unpack_from(data, start + 4)[0]
    at = start + 8
    if flags & _TRUN_OFFSET:
        offset, at = offset + struct.unpack_from(">i", data, at)[0], at + 4
    if flags & _TRUN_FIRST_FLAGS:
        at += 4
    rows = []
    for _ in range(count):
        (duration, size), shift = default, 0
        if flags & _TRUN_DURATION:
            duration, at = _U32.unpack_from(data, at)[0], at + 4
        if flags & _TRUN_SIZE:
            size, at = _U32.unpack_from(data, at)[0], at + 4
        if flags & _TRUN_FLAGS:
            at += 4
        if flags & _TRUN_COMPOSITION:
            shift, at = struct.unpack_from(">i" if version else ">I", data, at)[0], at + 4
        rows.append((duration, size, shift))
    return rows, offset


def _read_fragment(data: memoryview, moof_at: int, span: Span, track: _Track, default: Defaults) -> None:
    for kind, body, end in _boxes(data, *span):
        if kind != b"traf":
            continue
        head = _path(data, (body, end), b"tfhd")
        track_id, base, duration, size = _header(data, head, moof_at, default)
        if track_id != track.track_id:
            continue
        last = track.samples[-1] if track.samples else None
        decode_time = last.decode_time + last.duration if last else 0
        next_offset = base
        for name, start, _ in _boxes(data, body, end):
            if name == b"trun":
                rows, offset = _run(data, start, base, (duration, size))
                next_offset = offset if offset != base else next_offset
                for length, count, shift in rows:
                    nals = _split(data[next_offset : next_offset + count], track.nal_length_size)
                    track.samples.append(Mp4Sample(nals, decode_time, length, shift))
                    next_offset, decode_time = next_offset + count, decode_time + length


def read_mp4(content: bytes) -> Mp4Video:
    """Reads the first H.264 track; decode times start at 0 and edit lists are ignored.

    Raises:
        FootageError: the file is damaged, has no video track, or its video is not H.264.
    """
    data = memoryview(content)
    try:
        moov = _path(data, (0, len(data)), b"moov")
        track = _find_track(data, moov)
        default = _track_defaults(data, moov, track.track_id)
        for kind, body, end in _boxes(data, 0, len(data)):
            if kind == b"moof":
                _read_fragment(data, body - 8, (body, end), track, default)
    except (struct.error, IndexError, KeyError) as error:
        raise FootageError("the MP4 file is damaged") from error
    if not track.samples:
        raise FootageError("the MP4 file has no video samples")
    return Mp4Video(track.timescale, track.sps, track.pps, tuple(track.samples))
