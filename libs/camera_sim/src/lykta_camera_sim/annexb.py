"""Splits an H.264 byte stream (ITU-T H.264 Annex B) into NAL units and access units."""

import re

_START_CODE = re.compile(rb"\x00\x00\x01")
_VCL = frozenset((1, 2, 5))
_OPENS_ACCESS_UNIT = frozenset((6, 7, 8, 9, 14, 15, 16, 17, 18))


def split_nals(stream: bytes) -> list[bytes]:
    """Returns the NAL units without start codes and without trailing zero bytes."""
    marks = [(match.start(), match.end()) for match in _START_CODE.finditer(stream)]
    nals = []
    for index, (_, begin) in enumerate(marks):
        end = marks[index + 1][0] if index + 1 < len(marks) else len(stream)
        nal = stream[begin:end].rstrip(b"\x00")
        if nal:
            nals.append(nal)
    return nals


def access_units(nals: list[bytes]) -> list[tuple[bytes, ...]]:
    """Groups NAL units into access units (clause 7.4.1.2.3, for primary coded pictures of one layer).

    A new unit starts at a delimiter, parameter set or SEI after a picture, and at a slice whose first_mb_in_slice is 0.
    """
    units: list[tuple[bytes, ...]] = []
    current: list[bytes] = []
    has_picture = False
    for nal in nals:
        kind = nal[0] & 31
        first_slice = kind in _VCL and len(nal) > 1 and bool(nal[1] & 0x80)
        if has_picture and (kind in _OPENS_ACCESS_UNIT or first_slice):
            units.append(tuple(current))
            current, has_picture = [], False
        current.append(nal)
        has_picture = has_picture or kind in _VCL
    if has_picture:
        units.append(tuple(current))
    return units
