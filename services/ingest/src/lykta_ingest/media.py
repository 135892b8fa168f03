"""Buffers in which a GOP is gathered: room for its head in front, so that the whole fragment ends up in one piece."""

from __future__ import annotations

from collections import deque

HEAD_ROOM = 64 * 1024
"""Bytes kept free in front of the media for `ftyp`, `moov`, `moof` and the header of `mdat`."""
_FIRST_BYTES = 256 * 1024
_POOLED_BYTES_MAX = 4 * 1024 * 1024
_POOLED_MAX = 16


class MediaBuffer:
    """AVCC bytes from `HEAD_ROOM` up to `end`; grows by doubling, positions stay valid."""

    __slots__ = ("end", "size", "view")

    def __init__(self, size: int = _FIRST_BYTES) -> None:
        self.size = size
        self.view = memoryview(bytearray(size))
        self.end = HEAD_ROOM

    def reserve(self, count: int) -> memoryview:
        """Make room for `count` more bytes; return the view to write to at `end`."""
        needed = self.end + count
        if needed > self.size:
            while self.size < needed:
                self.size *= 2
            grown = memoryview(bytearray(self.size))
            grown[HEAD_ROOM : self.end] = self.view[HEAD_ROOM : self.end]
            self.view = grown
        return self.view


class MediaBuffers:
    """A pool: what the spool's worker has written is used again, so that memory is neither zeroed nor mapped anew."""

    def __init__(self) -> None:
        self._free: deque[MediaBuffer] = deque(maxlen=_POOLED_MAX)
        self.scratch = bytearray(_FIRST_BYTES)

    def take(self) -> MediaBuffer:
        """Return an empty buffer; any thread."""
        try:
            buffer = self._free.pop()
        except IndexError:
            return MediaBuffer()
        buffer.end = HEAD_ROOM
        return buffer

    def give_back(self, buffer: MediaBuffer) -> None:
        """Let a buffer be used again; any thread. Large ones are let go."""
        if buffer.size <= _POOLED_BYTES_MAX:
            self._free.append(buffer)

    def scratch_of(self, count: int) -> bytearray:
        """Return the worker's own buffer with at least so many bytes; its content lasts until the next call."""
        if len(self.scratch) < count:
            self.scratch = bytearray(count + count // 4)
        return self.scratch
