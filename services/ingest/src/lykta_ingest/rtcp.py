"""Reads RTCP sender reports (RFC 3550 section 6.4.1) to learn what the camera's own clock says."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SENDER_REPORT = 200
_NTP_UNIX_OFFSET_S = 2_208_988_800
_report = struct.Struct(">BBHIIII").unpack_from
_REPORT_BYTES = 20


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The camera said: at `unix_ms` of my clock, the RTP time was `rtp_timestamp` (90 kHz, wraps at 2^32)."""

    ssrc: int
    unix_ms: int
    rtp_timestamp: int


def parse_sender_report(packet: bytes | memoryview) -> SenderReport | None:
    """Return the first sender report of a compound packet, or None; never raises on broken input."""
    position = 0
    while position + 8 <= len(packet):
        first, kind, words = packet[position], packet[position + 1], packet[position + 2] << 8 | packet[position + 3]
        size = 4 * (words + 1)
        if first >> 6 != 2 or position + size > len(packet):
            return None
        if kind == _SENDER_REPORT and size >= _REPORT_BYTES + 8:
            _, _, _, ssrc, seconds, fraction, timestamp = _report(packet, position)
            if seconds < _NTP_UNIX_OFFSET_S:
                return None
            return SenderReport(ssrc, (seconds - _NTP_UNIX_OFFSET_S) * 1000 + (fraction * 1000 >> 32), timestamp)
        position += size
    return None
