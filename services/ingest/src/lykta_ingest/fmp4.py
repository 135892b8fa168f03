"""Writes H.264 access units as fragmented MP4 (ISO/IEC 14496-12 and 14496-15), remux only, byte for byte."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence

from lykta_ingest.h264 import Sps

TIMESCALE = 90_000
_TRACK_ID = 1
_KEY_SAMPLE = 0x02000000
_OTHER_SAMPLE = 0x01010000
_TFHD_FLAGS = 0x020020
_TRUN_FLAGS = 0x000305
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_HIGH_PROFILES = frozenset({100, 110, 122, 144})
_moof_fixed = struct.Struct(">I4s I4sII I4s I4sIII I4sIQ I4sIIiI")
_MOOF_FIXED_BYTES = _moof_fixed.size


def _box(kind: bytes, *parts: bytes) -> bytes:
    size = 8 + sum(map(len, parts))
    return b"".join((struct.pack(">I4s", size, kind), *parts))


def _full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def init_segment(sps: Sps, sps_nals: Sequence[bytes], pps_nals: Sequence[bytes]) -> bytes:
    """Return `ftyp` and `moov` for one H.264 track in time scale 90000; the same input gives the same bytes."""
    ftyp = _box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6", b"avc1", b"mp41")
    mvhd = _full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">IIIIIHH8x", 0, 0, TIMESCALE, 0, 0x10000, 0x100, 0),
        _MATRIX,
        struct.pack(">24xI", 2),
    )
    trex = _full_box(b"trex", 0, 0, struct.pack(">IIIII", _TRACK_ID, 1, 0, 0, 0))
    moov = _box(b"moov", mvhd, _track(sps, sps_nals, pps_nals), _box(b"mvex", trex))
    return ftyp + moov


def _track(sps: Sps, sps_nals: Sequence[bytes], pps_nals: Sequence[bytes]) -> bytes:
    tkhd = _full_box(
        b"tkhd",
        0,
        7,
        struct.pack(">IIIII8xHHHH", 0, 0, _TRACK_ID, 0, 0, 0, 0, 0, 0),
        _MATRIX,
        struct.pack(">II", sps.width << 16, sps.height << 16),
    )
    mdhd = _full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, TIMESCALE, 0, 0x55C4, 0))
    hdlr = _full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"vide"), b"video\x00")
    dinf = _box(b"dinf", _full_box(b"dref", 0, 0, struct.pack(">I", 1), _full_box(b"url ", 0, 1)))
    empty = struct.pack(">I", 0)
    stbl = _box(
        b"stbl",
        _full_box(b"stsd", 0, 0, struct.pack(">I", 1), _sample_entry(sps, sps_nals, pps_nals)),
        _full_box(b"stts", 0, 0, empty),
        _full_box(b"stsc", 0, 0, empty),
        _full_box(b"stsz", 0, 0, empty, empty),
        _full_box(b"stco", 0, 0, empty),
    )
    minf = _box(b"minf", _full_box(b"vmhd", 0, 1, bytes(8)), dinf, stbl)
    return _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf))


def _sample_entry(sps: Sps, sps_nals: Sequence[bytes], pps_nals: Sequence[bytes]) -> bytes:
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, sps.width, sps.height, 0x480000, 0x480000, 0, 1, 0x18, -1)
    return _box(b"avc1", head, _box(b"avcC", _decoder_configuration(sps, sps_nals, pps_nals)))


def _decoder_configuration(sps: Sps, sps_nals: Sequence[bytes], pps_nals: Sequence[bytes]) -> bytes:
    """Return the AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1), 4-byte NAL lengths."""
    out = bytearray((1, sps.profile, sps.constraints, sps.level, 0xFF, 0xE0 | len(sps_nals)))
    for nal in sps_nals:
        out += len(nal).to_bytes(2, "big") + nal
    out.append(len(pps_nals))
    for nal in pps_nals:
        out += len(nal).to_bytes(2, "big") + nal
    if sps.profile in _HIGH_PROFILES:
        out += bytes((0xFC | sps.chroma, 0xF8 | sps.luma_depth - 8, 0xF8 | sps.chroma_depth - 8, 0))
    return bytes(out)


def fragment_head(sequence: int, decode_time: int, durations: array[int], sizes: array[int], *, key: bool) -> bytes:
    """Return `moof` and the header of `mdat` for samples whose AVCC bytes follow.

    `decode_time` counts 90 kHz ticks since the epoch's start; `durations` (ticks) and `sizes` (bytes) are `array('I')`
    of equal length; the first sample is a key frame when `key`, the others are not.
    """
    count = len(sizes)
    table = array("I", bytes(8 * count))
    table[0::2] = durations
    table[1::2] = sizes
    if sys.byteorder == "little":
        table.byteswap()
    trun_bytes = 24 + 8 * count
    traf_bytes = 8 + 20 + 20 + trun_bytes
    moof_bytes = 8 + 16 + traf_bytes
    head = _moof_fixed.pack(
        moof_bytes, b"moof",
        16, b"mfhd", 0, sequence & 0xFFFFFFFF,
        traf_bytes, b"traf",
        20, b"tfhd", _TFHD_FLAGS, _TRACK_ID, _OTHER_SAMPLE,
        20, b"tfdt", 0x01000000, decode_time,
        trun_bytes, b"trun", _TRUN_FLAGS, count, moof_bytes + 8, _KEY_SAMPLE if key else _OTHER_SAMPLE,
    )  # fmt: skip
    return head + table.tobytes() + struct.pack(">I4s", 8 + sum(sizes), b"mdat")
