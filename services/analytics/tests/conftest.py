"""Real H.264 in the shape of the wire: an init and one `moof`+`mdat` per GOP, made on the spot."""

import io
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import pytest

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """An init and its parts."""

    init: bytes
    parts: tuple[bytes, ...]


def encode(images: Iterable[Image], frames_per_second: int = 10, gop: int = 5, part_ms: int = 0) -> Clip:
    """Encodes BGR images as fragmented H.264; one part per GOP, or parts of about `part_ms`."""
    buffer = io.BytesIO()
    flags = {"movflags": "empty_moov+default_base_moof", "video_track_timescale": "90000"}
    flags |= {"frag_duration": str(part_ms * 1000)} if part_ms else {"movflags": "frag_keyframe+" + flags["movflags"]}
    with av.open(buffer, "w", format="mp4", options=flags) as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=frames_per_second)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.gop_size = gop
                stream.codec_context.max_b_frames = 0
                stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
        assert stream is not None
        container.mux(stream.encode())
    boxes: dict[bytes, list[bytes]] = {}
    data, position = buffer.getvalue(), 0
    while position < len(data):
        size, kind = struct.unpack_from("!I4s", data, position)
        boxes.setdefault(kind, []).append(data[position : position + size])
        position += size
    parts = tuple(moof + mdat for moof, mdat in zip(boxes[b"moof"], boxes[b"mdat"], strict=True))
    return Clip(boxes[b"ftyp"][0] + boxes[b"moov"][0], parts)


def grey(level: int, width: int = 320, height: int = 240) -> Image:
    """A uniform picture."""
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Clip]:
    """The encoder: images, frames a second, GOP and length of a part."""
    return encode


@pytest.fixture(scope="session")
def clip() -> Clip:
    """Four GOPs of half a second that grow brighter, 10 frames a second."""
    return encode(grey(20 + 10 * index) for index in range(20))
