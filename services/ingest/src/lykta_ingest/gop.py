"""Gathers access units into GOPs on one time line: 90 kHz ticks since the epoch, anchored to the platform's clock."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lykta_ingest.h264 import b_frames_seen
from lykta_ingest.media import HEAD_ROOM, MediaBuffer, MediaBuffers
from lykta_ingest.rtp import B_SLICE, DAMAGED, KEY, NEW_PARAMETERS

TICKS_PER_MS = 90
MAX_GOP_BYTES = 64 * 1024 * 1024
MAX_GOP_TICKS = 30_000 * TICKS_PER_MS
MAX_GOP_FRAMES = 4_000
_JUMP_BACK_TICKS = -1_000 * TICKS_PER_MS
_JUMP_AHEAD_TICKS = 10_000 * TICKS_PER_MS
_FALLBACK_DURATION = 3_000
_DRIFT_MS = 2_000
_DRIFTING_KEYS = 3
_OVERLAP_MS = 5_000


@dataclass(slots=True)
class Gop:
    """One closed GOP: AVCC bytes in `buffer`, one duration (ticks) and size (bytes) per frame."""

    epoch_ms: int
    sequence: int
    start_ticks: int
    end_ticks: int
    durations: array[int]
    sizes: array[int]
    buffer: MediaBuffer
    damaged: bool

    @property
    def from_ms(self) -> int:
        """Start in unix milliseconds."""
        return self.epoch_ms + self.start_ticks // TICKS_PER_MS

    @property
    def to_ms(self) -> int:
        """End in unix milliseconds; equals the start of the next GOP of the epoch."""
        return self.epoch_ms + self.end_ticks // TICKS_PER_MS


@dataclass(slots=True)
class Part:
    """A piece of the running GOP for live viewers, at most the part length long; `media` is valid in the call only."""

    epoch_ms: int
    sequence: int
    start_ticks: int
    durations: array[int]
    sizes: array[int]
    media: memoryview
    key: bool


class GopSink(Protocol):
    """What becomes of GOPs; called on the event loop, must not block."""

    def epoch_began(self, epoch_ms: int, reason: str) -> None:
        """A new time line or codec configuration begins at `epoch_ms` with the access unit that follows."""

    def gop_closed(self, gop: Gop) -> None:
        """Take a finished GOP."""

    def gop_lost(self, from_ms: int, to_ms: int, detail: str) -> None:
        """Learn of a stretch that cannot be kept."""

    def part_closed(self, part: Part) -> None:
        """Take a live part; only called when a part length was given."""


class GopAssembler:
    """The time line of one recording session.

    A new epoch begins with the first key frame, with a changed codec configuration, when RTP time jumps, and when RTP
    time and the platform's clock have drifted 2 s apart. Raises CameraError for B-frames.
    """

    def __init__(
        self,
        sink: GopSink,
        now_ms: Callable[[], int],
        buffers: MediaBuffers,
        *,
        last_to_ms: int = 0,
        part_ticks: int | None = None,
    ) -> None:
        self._sink = sink
        self._now_ms = now_ms
        self._buffers = buffers
        self._last_to_ms = last_to_ms
        self.buffer = buffers.take()
        self.part_ticks = part_ticks
        self.epoch_ms = 0
        self.frames = 0
        self._pending_reason = "started"
        self._recording = False
        self._timestamp = 0
        self._ticks = 0
        self._sequence = 0
        self._part_sequence = 0
        self._drifting = 0
        self._media_end = HEAD_ROOM
        self._open(0)

    def _open(self, ticks: int) -> None:
        self._start_ticks = ticks
        self._durations: array[int] = array("I")
        self._sizes: array[int] = array("I")
        self._damaged = False
        self._overflown = False
        self._part_sample = 0
        self._part_from = HEAD_ROOM
        self._part_start = ticks

    def access_unit(self, timestamp: int, start: int, flags: int) -> None:
        """Take the access unit at `[start, buffer.end)`; see `AccessUnitSink`."""
        if flags & B_SLICE:
            raise b_frames_seen()
        if not self._recording:
            self._first(timestamp, start, flags)
            return
        delta = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        if delta <= 0 or delta > _JUMP_AHEAD_TICKS:
            if delta == 0 and self._sizes and not self._overflown:
                # A further slice of the same picture: some cameras set the marker bit on every slice.
                self._sizes[-1] += self.buffer.end - start
                self._media_end = self.buffer.end
                self._damaged = self._damaged or bool(flags & DAMAGED)
            else:
                self._out_of_line(timestamp, delta, start, flags)
            return
        self._timestamp = timestamp
        self._ticks += delta
        if not self._overflown:
            self._durations.append(delta)
        if flags & KEY:
            start = self._key(timestamp, start, flags)
        elif self.part_ticks and self._ticks - self._part_start >= self.part_ticks:
            self._close_part(start)
        self._append(start, flags)

    def _first(self, timestamp: int, start: int, flags: int) -> None:
        """Begin with a key frame; what comes before one is of no use."""
        if not flags & KEY:
            self.buffer.end = start
            return
        start = self._close(start)
        self._begin(timestamp)
        self._append(start, flags)

    def finish(self) -> None:
        """Close the GOP in progress at the end of a session; its last frame gets the duration of the one before."""
        if self._recording and self._sizes:
            self._end_last_frame()
            self.buffer.end = self._media_end
            self._close(self._media_end)
        self._recording = False

    def _begin(self, timestamp: int) -> None:
        now = self._now_ms()
        ahead = self._last_to_ms - now
        if self._pending_reason == "parameters":
            self.epoch_ms = self._last_to_ms
        else:
            self.epoch_ms = max(now, self._last_to_ms) if ahead <= _OVERLAP_MS else now
        self._recording = True
        self._timestamp = timestamp
        self._ticks = self._sequence = self._part_sequence = self._drifting = 0
        self._open(0)
        self._sink.epoch_began(self.epoch_ms, self._pending_reason)

    def _key(self, timestamp: int, start: int, flags: int) -> int:
        """Close the GOP before a key frame, and begin a new epoch where that is due; return where the frame is now."""
        start = self._close(start)
        drift = self._now_ms() - self.epoch_ms - self._ticks // TICKS_PER_MS
        self._drifting = self._drifting + 1 if abs(drift) > _DRIFT_MS else 0
        if flags & NEW_PARAMETERS or self._drifting >= _DRIFTING_KEYS:
            self._pending_reason = "parameters" if flags & NEW_PARAMETERS else "clock"
            self._begin(timestamp)
        return start

    def _append(self, start: int, flags: int) -> None:
        self.frames += 1
        if flags & DAMAGED:
            self._damaged = True
        buffer = self.buffer
        if (
            self._overflown
            or buffer.end > MAX_GOP_BYTES
            or self._ticks - self._start_ticks > MAX_GOP_TICKS
            or len(self._sizes) >= MAX_GOP_FRAMES
        ):
            self._overflow()
            return
        self._sizes.append(buffer.end - start)
        self._media_end = buffer.end

    def _overflow(self) -> None:
        """Stop gathering until the next key frame; memory stays bounded."""
        self._overflown = True
        self.buffer.end = HEAD_ROOM
        del self._sizes[:], self._durations[:]

    def _out_of_line(self, timestamp: int, delta: int, start: int, flags: int) -> None:
        """Judge a time stamp that does not follow the one before."""
        if _JUMP_BACK_TICKS < delta <= 0:
            if flags & DAMAGED or delta == 0:
                self._damaged = True
                self.buffer.end = start
                return
            raise b_frames_seen()
        self._pending_reason = "clock"
        self._end_last_frame()
        start = self._close(start)
        self._recording = False
        self._first(timestamp, start, flags)

    def _end_last_frame(self) -> None:
        if len(self._durations) < len(self._sizes):
            last = self._durations[-1] if self._durations else _FALLBACK_DURATION
            self._durations.append(last)
            self._ticks += last

    def _close(self, start: int) -> int:
        """Close the GOP that ends at `start`; what lies behind it begins the next: return where that is now."""
        from_ms = self.epoch_ms + self._start_ticks // TICKS_PER_MS
        self._last_to_ms = max(self._last_to_ms, self.epoch_ms + self._ticks // TICKS_PER_MS)
        buffer, fresh = self.buffer, self.buffer
        rest = buffer.end - start
        if self._overflown:
            advice = "no key frame for 30 s or 64 MiB; set the camera's key frame interval to 2 s"
            self._sink.gop_lost(from_ms, self._last_to_ms, advice)
        elif self._sizes:
            fresh = self._buffers.take()
        fresh.end = HEAD_ROOM
        fresh.reserve(rest)[HEAD_ROOM : HEAD_ROOM + rest] = buffer.view[start : start + rest]
        fresh.end = HEAD_ROOM + rest
        if fresh is not buffer:
            self._hand_over(buffer, start)
        self.buffer = fresh
        self._open(self._ticks)
        return HEAD_ROOM

    def _hand_over(self, buffer: MediaBuffer, end: int) -> None:
        buffer.end = end
        if self.part_ticks:
            self._close_part(end)
        self._sink.gop_closed(
            Gop(
                self.epoch_ms,
                self._sequence,
                self._start_ticks,
                self._ticks,
                self._durations,
                self._sizes,
                buffer,
                self._damaged,
            )
        )
        self._sequence += 1

    def _close_part(self, end: int) -> None:
        first = self._part_sample
        if len(self._sizes) > first and not self._overflown:
            self._sink.part_closed(
                Part(
                    self.epoch_ms,
                    self._part_sequence,
                    self._part_start,
                    self._durations[first:],
                    self._sizes[first:],
                    self.buffer.view[self._part_from : end],
                    first == 0,
                )
            )
            self._part_sequence += 1
        self._part_sample, self._part_from, self._part_start = len(self._sizes), end, self._ticks
