"""Builders that the recorder's tests share: H.264 parameter sets, RTP packets and a video file made on the spot."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

SPS = bytes.fromhex("6764001facd9405005bb011000000300100000030320f1831960")
PPS = bytes.fromhex("68ebe3cb22c0")


class Packets:
    """Makes interleaved RTP packets of one source; sequence numbers and time stamps may start anywhere."""

    def __init__(self, sequence: int = 65_530, timestamp: int = 0xFFFF_F000, payload_type: int = 96) -> None:
        self.sequence = sequence
        self.timestamp = timestamp
        self.payload_type = payload_type

    def packet(self, payload: bytes, *, marker: bool = False, channel: int = 0) -> bytes:
        """Return one interleaved frame and count it."""
        second = self.payload_type | (0x80 if marker else 0)
        head = struct.pack(">BBHII", 0x80, second, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, 0x1234)
        self.sequence += 1
        return struct.pack(">BBH", 0x24, channel, 12 + len(payload)) + head + payload

    def unit(self, nals: list[bytes], *, limit: int = 200, ticks: int = 3000) -> list[bytes]:
        """Return the packets of one access unit, the last with the marker, and step the time."""
        payloads: list[bytes] = []
        for nal in nals:
            if len(nal) <= limit:
                payloads.append(nal)
                continue
            pieces = [nal[at : at + limit] for at in range(1, len(nal), limit)]
            for index, piece in enumerate(pieces):
                flags = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
                payloads.append(bytes((nal[0] & 0xE0 | 28, flags | nal[0] & 0x1F)) + piece)
        out = [self.packet(one, marker=index == len(payloads) - 1) for index, one in enumerate(payloads)]
        self.timestamp += ticks
        return out


@pytest.fixture(scope="session")
def new_packets() -> Callable[..., Packets]:
    """Maker of packet makers; by default about to wrap sequence numbers and time stamps."""
    return Packets


@pytest.fixture
def parameter_sets() -> tuple[bytes, bytes]:
    """A 1280×720 High profile SPS and its PPS."""
    return SPS, PPS


def encode(path: Path, *arguments: str, size: str = "320x240", rate: int = 10, seconds: int = 4) -> Path:
    """Write a synthetic H.264 file with ffmpeg."""
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}", "-t", str(seconds)]
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *arguments]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, *codec, str(path)]
    subprocess.run(command, check=True, timeout=50)
    return path


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of 320×240 at 10 frames a second, a key frame each second, no B-frames."""
    return encode(tmp_path_factory.mktemp("footage") / "plain.mp4", "-bf", "0", "-g", "10")


@pytest.fixture(scope="session")
def footage_with_b_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same picture with B-frames."""
    return encode(tmp_path_factory.mktemp("footage") / "b.mp4", "-preset", "medium", "-bf", "2", "-g", "10")
