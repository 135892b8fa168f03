"""Gathers access units into GOPs on one time line: 90 kHz ticks since the epoch, anchored to the platform's clock."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lykta_ingest.h264 import b_frames_seen
from lykta_ingest.rtp import B_SLICE, DAMAGED, KEY, NEW_PARAMETERS

TICKS_PER_MS = 90
MAX_GOP_BYTES = 64 * 1024 * 1024
MAX_GOP_TICKS = 30_000 * TICKS_PER_MS
_JUMP_BACK_TICKS = -1_000 * TICKS_PER_MS
_JUMP_AHEAD_TICKS = 10_000 * TICKS_PER_MS
_FALLBACK_DURATION = 3_000
_DRIFT_MS = 2_000
_DRIFTING_KEYS = 3
_OVERLAP_MS = 5_000


@dataclass(slots=True)
class Gop:
    """One closed GOP: AVCC bytes in `chunks`, one duration (ticks) and size (bytes) per frame."""

    epoch_ms: int
    sequence: int
    start_ticks: int
    end_ticks: int
    durations: array[int]
    sizes: array[int]
    chunks: list[bytes]
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
    """A piece of the running GOP for live viewers, at most the part length long."""

    epoch_ms: int
    sequence: int
    start_ticks: int
    durations: array[int]
    sizes: array[int]
    chunks: list[bytes]
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
        self, sink: GopSink, now_ms: Callable[[], int], *, last_to_ms: int = 0, part_ticks: int | None = None
    ) -> None:
        self._sink = sink
        self._now_ms = now_ms
        self._last_to_ms = last_to_ms
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
        self._prefix_damaged = False
        self._open(0)

    def _open(self, ticks: int) -> None:
        self._start_ticks = ticks
        self._durations: array[int] = array("I")
        self._sizes: array[int] = array("I")
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._damaged = self._prefix_damaged
        self._prefix_damaged = False
        self._overflown = False
        self._part_sample = self._part_chunk = 0
        self._part_start = ticks

    def access_unit(self, timestamp: int, chunks: list[bytes], size: int, flags: int) -> None:
        """Take one access unit; the sink of `H264Depacketizer`."""
        if flags & B_SLICE:
            raise b_frames_seen()
        if not self._recording:
            if flags & KEY:
                self._begin(timestamp)
                self._append(chunks, size, flags)
            return
        delta = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        if delta <= 0 or delta > _JUMP_AHEAD_TICKS:
            if delta == 0 and self._sizes and not self._overflown:
                self._merge(chunks, size, flags)
            else:
                self._out_of_line(timestamp, delta, chunks, size, flags)
            return
        self._timestamp = timestamp
        self._ticks += delta
        self._durations.append(delta)
        if flags & KEY:
            self._key(timestamp, flags)
        elif self.part_ticks and self._ticks - self._part_start >= self.part_ticks:
            self._close_part()
        self._append(chunks, size, flags)

    def finish(self) -> None:
        """Close the GOP in progress at the end of a session; its last frame gets the duration of the one before."""
        if self._recording and self._sizes:
            self._end_last_frame()
            self._close()
        self._recording = False

    def renew(self, reason: str) -> None:
        """Begin a new epoch with the next key frame; what is gathered so far is closed."""
        self.finish()
        self._pending_reason = reason

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

    def _key(self, timestamp: int, flags: int) -> None:
        """Close the GOP before a key frame, and begin a new epoch where that is due."""
        self._close()
        drift = self._now_ms() - self.epoch_ms - self._ticks // TICKS_PER_MS
        self._drifting = self._drifting + 1 if abs(drift) > _DRIFT_MS else 0
        if flags & NEW_PARAMETERS or self._drifting >= _DRIFTING_KEYS:
            self._pending_reason = "parameters" if flags & NEW_PARAMETERS else "clock"
            self._begin(timestamp)

    def _append(self, chunks: list[bytes], size: int, flags: int) -> None:
        self.frames += 1
        if flags & DAMAGED:
            self._damaged = True
        self._bytes += size
        if self._overflown or self._bytes > MAX_GOP_BYTES or self._ticks - self._start_ticks > MAX_GOP_TICKS:
            self._overflow()
            return
        self._sizes.append(size)
        self._chunks += chunks

    def _merge(self, chunks: list[bytes], size: int, flags: int) -> None:
        """Add a further slice of the same picture: some cameras set the marker bit on every slice."""
        self._chunks += chunks
        self._sizes[-1] += size
        self._bytes += size
        if flags & DAMAGED:
            self._damaged = True

    def _overflow(self) -> None:
        """Stop gathering until the next key frame; memory stays bounded."""
        self._overflown = True
        self._chunks.clear()
        del self._sizes[:], self._durations[:]
        self._part_chunk = self._part_sample = 0

    def _out_of_line(self, timestamp: int, delta: int, chunks: list[bytes], size: int, flags: int) -> None:
        """Judge a time stamp that does not follow the one before."""
        if _JUMP_BACK_TICKS < delta <= 0:
            if flags & DAMAGED or delta == 0:
                self._damaged = True
                return
            raise b_frames_seen()
        self.renew("clock")
        self.access_unit(timestamp, chunks, size, flags)

    def _end_last_frame(self) -> None:
        if len(self._durations) < len(self._sizes):
            last = self._durations[-1] if self._durations else _FALLBACK_DURATION
            self._durations.append(last)
            self._ticks += last

    def _close(self) -> None:
        from_ms = self.epoch_ms + self._start_ticks // TICKS_PER_MS
        self._last_to_ms = self.epoch_ms + self._ticks // TICKS_PER_MS
        if self._overflown:
            self._sink.gop_lost(
                from_ms, self._last_to_ms, "no key frame for 30 s or 64 MiB; set the camera's key frame interval to 2 s"
            )
        elif self._sizes:
            if self.part_ticks:
                self._close_part()
            self._sink.gop_closed(
                Gop(
                    self.epoch_ms,
                    self._sequence,
                    self._start_ticks,
                    self._ticks,
                    self._durations,
                    self._sizes,
                    self._chunks,
                    self._damaged,
                )
            )
            self._sequence += 1
        self._open(self._ticks)

    def _close_part(self) -> None:
        first = self._part_sample
        if len(self._sizes) > first and not self._overflown:
            self._sink.part_closed(
                Part(
                    self.epoch_ms,
                    self._part_sequence,
                    self._part_start,
                    self._durations[first:],
                    self._sizes[first:],
                    self._chunks[self._part_chunk :],
                    first == 0,
                )
            )
            self._part_sequence += 1
        self._part_sample, self._part_chunk, self._part_start = len(self._sizes), len(self._chunks), self._ticks
