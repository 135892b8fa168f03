"""Cuts access units into RTP packets once (RFC 6184 mode 1, RFC 2326 10.12), so that sending only patches headers."""

import hashlib
import struct
from dataclasses import dataclass, replace

from lykta_camera_sim.video import Video

PAYLOAD_TYPE = 96
PACKET_HEAD_BYTES = 16  # '$', channel, length, RTP header
_FU_A, _STAP_A = 28, 24
_PARAMETER_SETS = frozenset((7, 8, 13, 15))
_HEAD = struct.Struct(">BBHBBHII")
_VARYING = struct.Struct(">HII")


@dataclass(frozen=True, slots=True)
class SentNal:
    """What is known of a NAL unit on the wire: type, size in bytes and SHA-256 in hex."""

    kind: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FrameTemplate:
    """The interleaved packets of one access unit, back to back, with empty sequence, time and source fields."""

    data: bytes
    offsets: tuple[int, ...]
    send_ticks: int
    picture_ticks: int
    is_key: bool
    nals: tuple[SentNal, ...]

    def stamp(self, sequence: int, timestamp: int, source: int, channel: int) -> bytearray:
        """Returns the packets with their headers filled in; ``sequence`` is that of the first packet."""
        wire = bytearray(self.data)
        patch = _VARYING.pack_into
        for offset in self.offsets:
            patch(wire, offset + 6, sequence, timestamp, source)
            sequence = (sequence + 1) & 0xFFFF
        if channel:
            for offset in self.offsets:
                wire[offset + 1] = channel
        return wire

    def packets(self, wire: bytearray) -> list[bytearray]:
        """Splits what :meth:`stamp` returned into single packets."""
        ends = (*self.offsets[1:], len(wire))
        return [wire[start:end] for start, end in zip(self.offsets, ends, strict=True)]


@dataclass(frozen=True, slots=True)
class Stream:
    """All frames of a loop, ready to send; ``video`` keeps only what describes it, not its pictures."""

    video: Video
    frames: tuple[FrameTemplate, ...]

    @property
    def loop_ticks(self) -> int:
        """Length of the loop in 90 kHz ticks."""
        return self.video.loop_ticks


def _fragments(nal: bytes, limit: int) -> list[bytes]:
    indicator = (nal[0] & 0xE0) | _FU_A
    kind = nal[0] & 31
    pieces = [nal[at : at + limit - 2] for at in range(1, len(nal), limit - 2)]
    last = len(pieces) - 1
    return [
        bytes((indicator, kind | (0x80 if index == 0 else 0) | (0x40 if index == last else 0))) + piece
        for index, piece in enumerate(pieces)
    ]


def _aggregate(nals: list[bytes]) -> bytes:
    reference = max(nal[0] & 0x60 for nal in nals)
    return bytes((reference | _STAP_A,)) + b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def payloads(nals: tuple[bytes, ...], limit: int, aggregate: bool = True) -> list[bytes]:
    """Returns RTP payloads of at most ``limit`` bytes: STAP-A for parameter sets in a row, FU-A for what is too big."""
    out: list[bytes] = []
    waiting: list[bytes] = []

    def flush() -> None:
        if len(waiting) > 1:
            out.append(_aggregate(waiting))
        else:
            out.extend(waiting)
        waiting.clear()

    for nal in nals:
        if aggregate and nal[0] & 31 in _PARAMETER_SETS and 1 + sum(len(one) + 2 for one in [*waiting, nal]) <= limit:
            waiting.append(nal)
            continue
        flush()
        out.extend([nal] if len(nal) <= limit else _fragments(nal, limit))
    flush()
    return out


def packetise(video: Video, payload_limit: int = 1400, aggregate: bool = True) -> Stream:
    """Prepares every frame of a loop; costs memory about the size of the file."""
    frames = []
    for unit in video.units:
        parts = payloads(unit.nals, payload_limit, aggregate)
        wire, offsets = bytearray(), []
        for index, payload in enumerate(parts):
            offsets.append(len(wire))
            marker = 0x80 if index == len(parts) - 1 else 0
            wire += _HEAD.pack(0x24, 0, len(payload) + 12, 0x80, PAYLOAD_TYPE | marker, 0, 0, 0)
            wire += payload
        nals = tuple(SentNal(nal[0] & 31, len(nal), hashlib.sha256(nal).hexdigest()) for nal in unit.nals)
        frames.append(
            FrameTemplate(bytes(wire), tuple(offsets), unit.send_ticks, unit.picture_ticks, unit.is_key, nals)
        )
    return Stream(replace(video, units=()), tuple(frames))


_NTP_EPOCH = 2_208_988_800
_NAME = b"camera"


@dataclass(frozen=True, slots=True)
class SentSoFar:
    """What a sender report says was sent: packets and payload bytes."""

    packets: int
    octets: int


def sender_report(source: int, unix_time: float, timestamp: int, sent: SentSoFar, channel: int = 1) -> bytes:
    """Builds an interleaved RTCP compound of sender report and source description (RFC 3550, 6.4.1 and 6.5)."""
    seconds = int(unix_time // 1)
    fraction = int((unix_time - seconds) * (1 << 32)) & 0xFFFFFFFF
    report = struct.pack(
        ">BBHIIIIII", 0x80, 200, 6, source, (seconds + _NTP_EPOCH) & 0xFFFFFFFF, fraction, timestamp,
        sent.packets & 0xFFFFFFFF, sent.octets & 0xFFFFFFFF,
    )  # fmt: skip
    item = bytes((1, len(_NAME))) + _NAME
    chunk = struct.pack(">I", source) + item
    chunk += b"\x00" * (4 - len(chunk) % 4)
    description = struct.pack(">BBH", 0x81, 202, len(chunk) // 4) + chunk
    body = report + description
    return struct.pack(">BBH", 0x24, channel, len(body)) + body
