"""Reads the few facts the recorder needs from H.264 parameter sets and slice headers (ITU-T H.264)."""

from __future__ import annotations

from dataclasses import dataclass

from lykta_ingest.errors import malformed, unsupported

NAL_SLICE = 1
NAL_IDR = 5
NAL_SEI = 6
NAL_SPS = 7
NAL_PPS = 8

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_SAR = 255
_MAX_SIDE = 16384
_B_FRAMES_ADVICE = "set the camera's H.264 encoder to use no B-frames (GOP structure IPPP, or profile Baseline)"


@dataclass(frozen=True, slots=True)
class Sps:
    """Facts of a sequence parameter set; `reorder_frames` is None where the stream does not declare it."""

    profile: int
    constraints: int
    level: int
    sps_id: int
    width: int
    height: int
    poc_type: int
    reorder_frames: int | None
    chroma: int = 1
    luma_depth: int = 8
    chroma_depth: int = 8

    @property
    def codec(self) -> str:
        """RFC 6381 codec string, for example `avc1.64001f`."""
        return f"avc1.{self.profile:02x}{self.constraints:02x}{self.level:02x}"


class BitReader:
    """Reads bits of an RBSP, most significant first; reading past the end raises ValueError."""

    __slots__ = ("_bits", "_left", "_value")

    def __init__(self, rbsp: bytes) -> None:
        self._value = int.from_bytes(rbsp, "big")
        self._bits = len(rbsp) * 8
        self._left = self._bits

    def u(self, count: int) -> int:
        """Return the next `count` bits as an unsigned number."""
        if count > self._left:
            raise ValueError("bit string ends early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """Return an unsigned Exp-Golomb number (H.264 section 9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("Exp-Golomb number is longer than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return a signed Exp-Golomb number (H.264 section 9.1.1)."""
        k = self.ue()
        return (k + 1) // 2 if k & 1 else -(k // 2)


def unescape(nal: bytes) -> bytes:
    """Remove the emulation prevention bytes of a NAL unit (H.264 section 7.4.1.1)."""
    if b"\x00\x00\x03" not in nal:
        return nal
    out = bytearray()
    start = 0
    while (found := nal.find(b"\x00\x00\x03", start)) >= 0:
        out += nal[start : found + 2]
        start = found + 3
    out += nal[start:]
    return bytes(out)


def parse_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set NAL unit; raises CameraError when it is malformed or cannot be recorded."""
    if len(nal) < 4 or nal[0] & 0x1F != NAL_SPS:
        raise malformed("the camera sent a sequence parameter set that is too short; restart the camera")
    try:
        return _read_sps(nal)
    except ValueError as error:
        raise malformed("the camera sent a broken H.264 sequence parameter set; restart the camera") from error


def _read_sps(nal: bytes) -> Sps:
    bits = BitReader(unescape(nal[1:]))
    profile, constraints, level, sps_id = bits.u(8), bits.u(8), bits.u(8), bits.ue()
    chroma, luma_depth, chroma_depth = _read_chroma(bits) if profile in _HIGH_PROFILES else (1, 8, 8)
    bits.ue()
    poc_type = _skip_poc(bits)
    bits.ue()
    bits.u(1)
    width_mbs, height_maps = bits.ue() + 1, bits.ue() + 1
    frame_mbs_only = bits.u(1)
    if not frame_mbs_only:
        bits.u(1)
    bits.u(1)
    left = right = top = bottom = 0
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    crop_x = 2 if chroma in {1, 2} else 1
    crop_y = (2 if chroma == 1 else 1) * (2 - frame_mbs_only)
    width = width_mbs * 16 - (left + right) * crop_x
    height = height_maps * 16 * (2 - frame_mbs_only) - (top + bottom) * crop_y
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise ValueError("picture size out of range")
    reorder = _read_reorder(bits) if bits.u(1) else None
    return Sps(profile, constraints, level, sps_id, width, height, poc_type, reorder, chroma, luma_depth, chroma_depth)


def _read_chroma(bits: BitReader) -> tuple[int, int, int]:
    chroma = bits.ue()
    if chroma > 3:
        raise ValueError("chroma format out of range")
    if chroma == 3:
        bits.u(1)
    luma_depth, chroma_depth = bits.ue() + 8, bits.ue() + 8
    if luma_depth > 14 or chroma_depth > 14:
        raise ValueError("sample depth out of range")
    bits.u(1)
    if bits.u(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, luma_depth, chroma_depth


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_poc(bits: BitReader) -> int:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        cycle = bits.ue()
        if cycle > 255:
            raise ValueError("too many reference frames in the order count cycle")
        for _ in range(cycle):
            bits.se()
    elif kind > 2:
        raise ValueError("picture order count type out of range")
    return kind


def _read_reorder(bits: BitReader) -> int | None:
    """Walk the VUI (H.264 annex E) down to `max_num_reorder_frames`."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):
        bits.u(1)
    if bits.u(1):
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):
        bits.ue()
        bits.ue()
    if bits.u(1):
        bits.u(32)
        bits.u(32)
        bits.u(1)
    nal_hrd = bits.u(1)
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.u(1)
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.u(1)
    bits.u(1)
    if not bits.u(1):
        return None
    bits.u(1)
    for _ in range(4):
        bits.ue()
    return bits.ue()


def _skip_hrd(bits: BitReader) -> None:
    count = bits.ue() + 1
    if count > 32:
        raise ValueError("too many coded picture buffers")
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)


def require_no_reordering(sps: Sps) -> None:
    """Refuse a stream that declares B-frames: our decode times come from RTP, which carries presentation times."""
    if sps.reorder_frames:
        raise unsupported(f"the camera's H.264 stream declares B-frames; {_B_FRAMES_ADVICE}")


def b_frames_seen() -> Exception:
    """Return the fault for B-frames noticed in slice headers or in decreasing RTP timestamps."""
    return unsupported(f"the camera sends B-frames; {_B_FRAMES_ADVICE}")


def parameter_set_key(nal: bytes) -> tuple[int, int]:
    """Return (NAL type, parameter set id), the identity under which a parameter set replaces an earlier one."""
    kind = nal[0] & 0x1F
    skip = 4 if kind == NAL_SPS else 1
    try:
        return kind, BitReader(unescape(nal[skip : skip + 16])).ue()
    except ValueError as error:
        raise malformed("the camera sent a broken H.264 parameter set; restart the camera") from error


def _first_byte_is_b(value: int) -> bool:
    """Tell whether a slice header that begins with this byte is of type B (first_mb_in_slice must be 0)."""
    if not value & 0x80:
        return False
    bits = value & 0x7F
    return bits >> 4 == 0b010 or bits >> 2 == 0b00111


B_SLICE_FIRST_BYTES = frozenset(value for value in range(256) if _first_byte_is_b(value))
"""First bytes of slice headers (after the NAL header) of first slices with slice_type 1 or 6 (H.264 table 7-6)."""
