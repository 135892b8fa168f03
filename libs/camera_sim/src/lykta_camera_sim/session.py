"""The sending side of one client: its own RTP numbers, its sender reports, and what it misses when it is too slow."""

import asyncio
import random
import secrets
from dataclasses import dataclass

from lykta_camera_sim.air import OnAir
from lykta_camera_sim.capture import Capture
from lykta_camera_sim.faults import damage
from lykta_camera_sim.rtp import PACKET_HEAD_BYTES, FrameTemplate, SentSoFar, sender_report
from lykta_camera_sim.spec import CameraSpec

REPORT_EVERY_S = 5.0
_BACKLOG_LIMIT_BYTES = 8 << 20


@dataclass(slots=True)
class CameraStats:
    """Counters of one camera since its start."""

    frames_sent: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    frames_skipped: int = 0
    requests: int = 0
    auth_failures: int = 0
    video_setups: int = 0
    audio_setups: int = 0
    plays: int = 0
    teardowns: int = 0
    keepalives: int = 0


class PlayingSession:
    """Sends frames to one client. A client more than 8 MiB behind loses frames up to a key frame, as with a camera."""

    def __init__(
        self,
        transport: asyncio.Transport,
        spec: CameraSpec,
        stats: CameraStats,
        capture: Capture | None,
        dice: random.Random,
    ) -> None:
        self.session_id = secrets.token_hex(8)
        self.channel = 0
        self.sequence = spec.first_sequence if spec.first_sequence is not None else secrets.randbits(16)
        self.base_timestamp = spec.first_timestamp if spec.first_timestamp is not None else secrets.randbits(32)
        self._transport = transport
        self._spec = spec
        self._stats = stats
        self._capture = capture
        self._dice = dice
        self.source = secrets.randbits(32)
        self.is_set_up = False
        self._start = 0
        self._needs_key = True
        self._next_report = 0.0
        self._packets = 0
        self._octets = 0

    def start_at(self, frame: int) -> None:
        """Sends nothing before the frame with this number, which is a key frame."""
        self._start = frame

    def timestamp(self, ticks: int) -> int:
        """Returns the RTP time stamp of a position on the camera's time line (90 kHz ticks)."""
        return (self.base_timestamp + ticks) & 0xFFFFFFFF

    def wait_for_key(self) -> None:
        """Leaves out frames until the next key frame."""
        self._needs_key = True

    def send(self, air: OnAir) -> None:
        """Sends one frame, with a sender report before it when one is due."""
        frame = air.frame
        if air.number < self._start or (self._needs_key and not frame.is_key) or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > _BACKLOG_LIMIT_BYTES:
            self._needs_key = True
            self._stats.frames_skipped += 1
            return
        self._needs_key = False
        timestamp = self.timestamp(air.ticks)
        wire = frame.stamp(self.sequence, timestamp, self.source, self.channel)
        count = len(frame.offsets)
        if air.faults:
            packets, count = damage(frame.packets(wire), air.faults, self._dice)
            wire = bytearray().join(packets)
        self.sequence = (self.sequence + count) & 0xFFFF
        if self._spec.sender_reports and air.now >= self._next_report:
            self._next_report = air.now + REPORT_EVERY_S
            wire = self._report(air) + wire
        self._packets += count
        self._octets += len(frame.data) - PACKET_HEAD_BYTES * len(frame.offsets)
        self._transport.write(wire)
        self._count(count, len(wire))
        if self._capture is not None:
            self._capture.add(air, self.session_id, timestamp)

    def send_half(self, frame: FrameTemplate) -> None:
        """Sends the first half of the bytes of a frame, as a camera that dies while sending."""
        wire = frame.stamp(self.sequence, self.base_timestamp, self.source, self.channel)
        self._transport.write(wire[: len(wire) // 2])

    def _count(self, packets: int, size: int) -> None:
        stats = self._stats
        stats.frames_sent += 1
        stats.packets_sent += packets
        stats.bytes_sent += size

    def _report(self, air: OnAir) -> bytearray:
        return bytearray(
            sender_report(
                self.source,
                air.camera_time,
                self.timestamp(air.now_ticks),
                SentSoFar(self._packets, self._octets),
                self.channel + 1,
            )
        )
