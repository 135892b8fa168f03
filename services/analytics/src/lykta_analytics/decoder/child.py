"""The decoder child: locks itself up, then turns parts into pictures until its pipe closes.

Started as `python -I -m lykta_analytics.decoder.child --ring-fd N`; the only module here that touches libav.
"""

import mmap
import os
import sys
from collections.abc import Iterator, Sequence

import av
from av.codec.context import Flags

from lykta_analytics.decoder import fmp4, sandbox
from lykta_analytics.decoder.protocol import (
    MAX_FRAME_BYTES,
    PART_HEADER_BYTES,
    POSSIBLE,
    RING_BYTES,
    RING_FD_ARGUMENT,
    SLOTS,
    PartHeader,
    Record,
    RecordKind,
    pack_record,
    unpack_header,
)

_MAX_PIXELS = 4096 * 2304
_MAX_WIDTH = 768
_SPACING_MS = 180  # five a second, with room for a camera's jitter


class PartDecoder:
    """Keeps one libav decoder and the time of the last picture given out; pictures at most every 200 ms."""

    def __init__(self, ring: mmap.mmap) -> None:
        self._ring = ring
        self._codec: av.VideoCodecContext | None = None
        self._configuration = b""
        self._last_ms = -(1 << 62)
        self._expected = 0

    def decode(self, header: PartHeader, init: bytes, part: bytes) -> Iterator[Record]:
        """Decodes one part; yields up to four frame records and then the closing one.

        After a fault the decoder is thrown away, so that the next key part starts clean.
        """
        try:
            content = fmp4.read_part(part)
            if init:
                self._configure(init)
            elif self._codec is not None and not content.follows(self._expected):
                self._codec = None  # pictures that refer to lost ones would show things that are not there
            if self._codec is None:
                yield Record(RecordKind.NEEDS_KEY)
                return
            self._expected = content.decode_time + content.duration_ticks
            yield from self._frames(self._codec, header.from_ms, content.samples)
        except (ValueError, OSError, MemoryError, av.FFmpegError):
            self._codec = None
            self._configuration = b""
            yield Record(RecordKind.CORRUPT)
            return
        yield Record(RecordKind.DONE)

    def _configure(self, init: bytes) -> None:
        name, configuration = fmp4.codec_configuration(init)
        if self._codec is not None and configuration == self._configuration:
            return
        codec = av.CodecContext.create(name, "r")
        if not isinstance(codec, av.VideoCodecContext):
            raise ValueError("not a video codec")
        codec.extradata = configuration
        codec.thread_count = 1
        codec.flags |= Flags.low_delay
        codec.options = {"max_pixels": str(_MAX_PIXELS)}
        codec.open()
        self._codec, self._configuration = codec, configuration

    def _frames(self, codec: av.VideoCodecContext, from_ms: int, samples: Sequence[fmp4.Sample]) -> Iterator[Record]:
        times = [from_ms + sample.offset_ticks * 1000 // fmp4.TIME_SCALE for sample in samples]
        due = self._due(times)
        slot = 0
        for at_ms, sample in zip(times, samples, strict=True):
            packet = av.Packet(sample.data)
            packet.pts = packet.dts = at_ms
            for frame in codec.decode(packet):
                if (frame.pts if frame.pts is not None else at_ms) in due and slot < SLOTS:
                    self._last_ms = at_ms
                    yield self._store(frame, slot, at_ms)
                    slot += 1

    def _due(self, times: Sequence[int]) -> set[int]:
        """Chooses which pictures of a part are given out, from its end: the newest is the one least delayed."""
        if times and times[0] < self._last_ms:
            self._last_ms = -(1 << 62)  # the time line began again
        chosen: list[int] = []
        for at_ms in reversed(times):
            spaced = not chosen or chosen[-1] - at_ms >= _SPACING_MS
            if spaced and at_ms - self._last_ms >= _SPACING_MS and len(chosen) < SLOTS:
                chosen.append(at_ms)
        return set(chosen)

    def _store(self, frame: av.VideoFrame, slot: int, at_ms: int) -> Record:
        width = min(frame.width, _MAX_WIDTH)
        height = max(2, round(frame.height * width / frame.width))
        if width * height * 3 > MAX_FRAME_BYTES:
            raise ValueError("picture is too tall")
        picture = frame.reformat(width=width, height=height, format="bgr24")
        plane, row_bytes = picture.planes[0], width * 3
        start = slot * MAX_FRAME_BYTES
        pixels = memoryview(plane)
        for row in range(height):
            source = row * plane.line_size
            self._ring[start + row * row_bytes : start + (row + 1) * row_bytes] = pixels[source : source + row_bytes]
        return Record(RecordKind.FRAME, slot, width, height, frame.width, frame.height, at_ms)


def _warm_up() -> None:
    """Has libav and the interpreter load whatever they load late, while files can still be opened."""
    av.VideoFrame(64, 64, "yuv420p").reformat(width=32, height=32, format="bgr24")
    try:
        codec = av.CodecContext.create("h264", "r")
        codec.decode(av.Packet(b"\0\0\0\1\x65"))
    except av.FFmpegError:
        return


def _read(count: int) -> bytes:
    chunks = []
    while count:
        chunk = os.read(0, min(count, 1 << 20))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def _answer(record: Record) -> None:
    os.write(1, pack_record(record))


def main() -> None:
    """Locks the process up, says what is still possible, then serves parts until the pipe closes."""
    ring_fd = int(sys.argv[sys.argv.index(RING_FD_ARGUMENT) + 1])
    sandbox.die_with_parent()
    sandbox.leave_namespaces()
    ring = mmap.mmap(ring_fd, RING_BYTES)
    sandbox.close_inherited((0, 1, 2))
    _warm_up()
    sandbox.limit_resources(sandbox.Limits())
    sandbox.filter_system_calls()
    _answer(Record(RecordKind.READY, slot=sum(1 << POSSIBLE.index(name) for name in sandbox.still_possible())))
    decoder = PartDecoder(ring)
    try:
        while True:
            header = unpack_header(_read(PART_HEADER_BYTES))
            init, part = _read(header.init_bytes), _read(header.part_bytes)
            for record in decoder.decode(header, init, part):
                _answer(record)
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
