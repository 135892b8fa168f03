"""Turns interleaved RTP into H.264 access units (RFC 3550, RFC 6184), in place and without an object per packet."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Protocol

from lykta_ingest.errors import CameraError
from lykta_ingest.h264 import B_SLICE_FIRST_BYTES, NAL_IDR, NAL_PPS, NAL_SLICE, NAL_SPS, parameter_set_key
from lykta_ingest.media import HEAD_ROOM, MediaBuffer

MAX_NAL_BYTES = 8 * 1024 * 1024
MAX_AU_BYTES = 16 * 1024 * 1024

KEY = 1
DAMAGED = 2
B_SLICE = 4
NEW_PARAMETERS = 8

DOLLAR = 0x24
_PREFIX = 4
_RTP_HEADER = 12
_STAP_A = 24
_FU_A = 28
_NAL_PREFIX = 5
_PARAMETER_SETS_MAX = 64
_RUN_MAX = 128
_RUN_MIN = 3
_RUN_SHAPES_MAX = 256
_RESTART_AFTER = 32
_header = struct.Struct(">BBHII").unpack_from
_nal_prefix = struct.Struct(">IB").pack_into
_run_tail = struct.Struct(">IIBB").pack


class AccessUnitSink(Protocol):
    """Takes access units; `buffer` is where they are gathered, and the sink may exchange it within `access_unit`."""

    buffer: MediaBuffer

    def access_unit(self, timestamp: int, start: int, flags: int) -> None:
        """Take the access unit at `[start, buffer.end)`, AVCC bytes; what is not wanted is cut off `buffer.end`."""
        ...


_run_shapes: dict[int, struct.Struct] = {}


def _run_shape(length: int) -> struct.Struct:
    """Return the layout of one interleaved frame of an FU-A: before the sequence number, it, after it; no payload."""
    shape = _run_shapes.get(length)
    if shape is None:
        if len(_run_shapes) >= _RUN_SHAPES_MAX:
            _run_shapes.clear()
        shape = _run_shapes[length] = struct.Struct(f">6sH10s{length - _RTP_HEADER - 2}x")
    return shape


class H264Depacketizer:
    """Collects the NAL units of one RTP source into access units.

    Whatever arrives (loss, reordering, truncation, garbage) it never raises and never hands out a NAL unit that
    differs from what was sent: an incomplete NAL unit is dropped and the access unit (or the next one) is flagged
    `DAMAGED`. `parameters` holds the newest content of each parameter set by (NAL type, id); seed it from the SDP.
    Packets are not put back in order: RTP over TCP cannot be reordered by the network, so a late packet is a fault.
    """

    __slots__ = (
        "_au_flags",
        "_au_start",
        "_au_ts",
        "_au_vcl",
        "_damaged",
        "_expected",
        "_fu_at",
        "_fu_header",
        "_fu_length",
        "_late",
        "_late_next",
        "_payload_type",
        "_sink",
        "_ssrc",
        "faults",
        "lost_packets",
        "packets",
        "parameters",
    )

    def __init__(self, sink: AccessUnitSink, payload_type: int) -> None:
        self._sink = sink
        self._payload_type = payload_type
        self._ssrc = -1
        self._expected = -1
        self._late = 0
        self._late_next = -1
        self._au_start = HEAD_ROOM
        self._au_ts = -1
        self._au_flags = 0
        self._au_vcl = False
        self._damaged = False
        self._fu_at = -1
        self._fu_header = 0
        self._fu_length = 0
        self.parameters: dict[tuple[int, int], bytes] = {}
        self.packets = 0
        self.lost_packets = 0
        self.faults = 0

    def seed(self, parameter_sets: Iterable[bytes]) -> None:
        """Take the parameter sets that were announced out of band; broken ones are left out."""
        for nal in parameter_sets:
            if nal and nal[0] & 0x1F in {NAL_SPS, NAL_PPS}:
                self._note_parameters(nal)
        self._au_flags = 0
        self._damaged = False

    def feed(self, view: memoryview, start: int, end: int, channel: int) -> int:
        """Consume complete interleaved frames of `channel` from view[start:end]; return where it stopped.

        It stops at an incomplete frame, a frame of another channel or anything that is not a frame (RFC 2326
        section 10.12). Each payload byte is copied once.
        """
        position = start
        while end - position > _PREFIX and view[position] == DOLLAR and view[position + 1] == channel:
            length = view[position + 2] << 8 | view[position + 3]
            following = position + _PREFIX + length
            if following > end:
                break
            self._packet(view, position + _PREFIX, following)
            position = following
            if self._fu_at >= 0 and length == self._fu_length:
                count = (end - position) // (length + _PREFIX)
                if count >= _RUN_MIN:
                    position = self._run(view, position, min(count, _RUN_MAX), length, channel)
        return position

    def _run(self, view: memoryview, start: int, count: int, length: int, channel: int) -> int:
        """Take as many equal middle fragments of the open FU-A as lie in a row; return where they end."""
        stride = length + _PREFIX
        size = length - _RTP_HEADER - 2
        expected = self._expected
        buffer = self._sink.buffer
        end = buffer.end
        count = min(count, 0x10000 - expected, (MAX_NAL_BYTES - end + self._fu_at) // size)
        if count < _RUN_MIN:
            return start
        rows = _run_shape(length).iter_unpack(view[start : start + count * stride])
        before, sequence, after = zip(*rows, strict=True)
        want_before = bytes((DOLLAR, channel, length >> 8, length & 0xFF, 0x80, self._payload_type))
        want_after = _run_tail(self._au_ts, self._ssrc, self._fu_header & 0xE0 | _FU_A, self._fu_header & 0x1F)
        if (
            before.count(want_before) != count
            or after.count(want_after) != count
            or sequence != tuple(range(expected, expected + count))
        ):
            pairs = enumerate(zip(before, sequence, after, strict=True))
            count = next((i for i, row in pairs if row != (want_before, expected + i, want_after)), count)
        out = buffer.reserve(count * size)
        payload = start + _PREFIX + _RTP_HEADER + 2
        for _ in range(count):
            out[end : end + size] = view[payload : payload + size]
            end += size
            payload += stride
        buffer.end = end
        self._expected = (expected + count) & 0xFFFF
        self.packets += count
        return start + count * stride

    def _packet(self, view: memoryview, start: int, end: int) -> None:
        if end - start < _RTP_HEADER:
            self._damage()
            return
        first, second, sequence, timestamp, ssrc = _header(view, start)
        if first >> 6 != 2:
            self._damage()
            return
        if second & 0x7F != self._payload_type:
            return
        self.packets += 1
        if ssrc != self._ssrc:
            self._new_source(ssrc)
        lost = False
        if sequence != self._expected:
            lost = self._expected >= 0
            if lost and not self._resynchronise(sequence):
                return
        self._expected = (sequence + 1) & 0xFFFF
        start += _RTP_HEADER
        if first & 0x3F:
            start, end = self._skip_extras(view, first, start, end)
        if timestamp != self._au_ts:
            if self._au_ts >= 0:
                self._finish()
                if lost:
                    self._damage()
            self._au_ts = timestamp
        if start < end:
            self._payload(view, start, end)
        else:
            self._damage()
        if second & 0x80:
            self._finish()

    def _new_source(self, ssrc: int) -> None:
        if self._ssrc >= 0:
            self._abandon_nal()
            self._damage()
        self._ssrc = ssrc
        self._expected = -1
        self._late = 0

    def _resynchronise(self, sequence: int) -> bool:
        """Judge an unexpected sequence number (RFC 3550 appendix A.1); False means the packet is to be ignored.

        A late or repeated packet is ignored, unless so many follow each other that the camera must have restarted.
        """
        ahead = (sequence - self._expected) & 0xFFFF
        if ahead >= 0x8000:
            self._late = self._late + 1 if sequence == self._late_next else 1
            self._late_next = (sequence + 1) & 0xFFFF
            if self._late < _RESTART_AFTER:
                return False
            ahead = 0
        self._late = 0
        self.lost_packets += ahead
        self._abandon_nal()
        self._damage()
        return True

    def _skip_extras(self, view: memoryview, first: int, start: int, end: int) -> tuple[int, int]:
        """Step over CSRCs, header extension and padding (RFC 3550 section 5.1); an empty range when they do not fit."""
        start += 4 * (first & 0x0F)
        if first & 0x10:
            if start + 4 > end:
                return end, end
            start += 4 + 4 * (view[start + 2] << 8 | view[start + 3])
        if first & 0x20 and start < end:
            end -= view[end - 1]
        return min(start, end), end

    def _payload(self, view: memoryview, start: int, end: int) -> None:
        header = view[start]
        kind = header & 0x1F
        if kind == _FU_A and end - start > 2:
            self._fragment(view, start, end)
            return
        self._abandon_nal()
        if header & 0x80:
            self._damage()
        elif 1 <= kind <= 23:
            self._whole(view, start, end)
        elif kind == _STAP_A:
            self._aggregate(view, start + 1, end)
        else:
            self._damage()

    def _fragment(self, view: memoryview, start: int, end: int) -> None:
        """Take one FU-A (RFC 6184 section 5.8)."""
        indicator, header = view[start], view[start + 1]
        nal_header = indicator & 0xE0 | header & 0x1F
        buffer = self._sink.buffer
        if header & 0x80:
            self._abandon_nal()
            if indicator & 0x80 or header & 0x20 or not 1 <= nal_header & 0x1F <= 23:
                self._damage()
                return
            self._fu_at = buffer.end
            self._fu_header = nal_header
            buffer.reserve(_NAL_PREFIX)
            buffer.end += _NAL_PREFIX
            self._note_slice(nal_header, view[start + 2])
        elif self._fu_at < 0 or nal_header != self._fu_header:
            self._abandon_nal()
            self._damage()
            return
        size = end - start - 2
        at = buffer.end
        buffer.reserve(size)[at : at + size] = view[start + 2 : end]
        buffer.end = at = at + size
        nal_bytes = at - self._fu_at - 4
        if nal_bytes > MAX_NAL_BYTES:
            self._abandon_nal()
        elif header & 0x40:
            _nal_prefix(buffer.view, self._fu_at, nal_bytes, nal_header)
            start, self._fu_at = self._fu_at, -1
            self._completed(nal_header, start)
        else:
            self._fu_length = size + 2 + _RTP_HEADER

    def _whole(self, view: memoryview, start: int, end: int) -> None:
        size = end - start
        buffer = self._sink.buffer
        at = buffer.end
        header = view[start]
        out = buffer.reserve(size + 4)
        _nal_prefix(out, at, size, header)
        out[at + _NAL_PREFIX : at + 4 + size] = view[start + 1 : end]
        buffer.end = at + 4 + size
        if size > 1:
            self._note_slice(header, view[start + 1])
        self._completed(header, at)

    def _aggregate(self, view: memoryview, start: int, end: int) -> None:
        """Take one STAP-A (RFC 6184 section 5.7.1)."""
        while end - start > 2:
            size = view[start] << 8 | view[start + 1]
            start += 2
            if not size or size > end - start or view[start] & 0x80 or not 1 <= view[start] & 0x1F <= 23:
                self._damage()
                return
            self._whole(view, start, start + size)
            start += size
        if start != end:
            self._damage()

    def _note_slice(self, nal_header: int, first_byte: int) -> None:
        if nal_header & 0x1F == NAL_SLICE and first_byte in B_SLICE_FIRST_BYTES:
            self._au_flags |= B_SLICE

    def _completed(self, nal_header: int, at: int) -> None:
        """Count the complete NAL unit at `at` into the access unit."""
        kind = nal_header & 0x1F
        buffer = self._sink.buffer
        if buffer.end - self._au_start > MAX_AU_BYTES:
            self._drop_unit()
            return
        if NAL_SLICE <= kind <= NAL_IDR:
            self._au_vcl = True
            if kind == NAL_IDR:
                self._au_flags |= KEY
        elif kind in {NAL_SPS, NAL_PPS}:
            self._note_parameters(bytes(buffer.view[at + 4 : buffer.end]))

    def _note_parameters(self, nal: bytes) -> None:
        try:
            key = parameter_set_key(nal)
        except CameraError:
            self._damage()
            return
        if self.parameters.get(key) != nal:
            if len(self.parameters) >= _PARAMETER_SETS_MAX:
                self.parameters.clear()
            self.parameters[key] = nal
            self._au_flags |= NEW_PARAMETERS

    def _abandon_nal(self) -> None:
        """Drop the FU-A in progress, which can no longer become whole."""
        if self._fu_at >= 0:
            self._sink.buffer.end = self._fu_at
            self._fu_at = -1
            self._damage()

    def _damage(self) -> None:
        self._damaged = True
        self.faults += 1

    def _drop_unit(self) -> None:
        self._sink.buffer.end = self._au_start
        self._fu_at = -1
        self._au_flags = 0
        self._au_vcl = False
        self._damage()

    def _finish(self) -> None:
        """Hand out the access unit; NAL units without a picture yet stay and lead the next access unit."""
        if self._fu_at >= 0:
            self._abandon_nal()
        if not self._au_vcl:
            return
        flags = self._au_flags | DAMAGED if self._damaged else self._au_flags
        self._au_flags = 0
        self._au_vcl = False
        self._damaged = False
        sink = self._sink
        sink.access_unit(self._au_ts, self._au_start, flags)
        self._au_start = sink.buffer.end
