"""What a demo camera sent, and what a clip holds, as hashes of NAL units that can be compared."""

import hashlib
import json
from pathlib import Path

from lykta_camera_sim.capture import CaptureRecord
from lykta_camera_sim.mp4 import read_mp4


def captured(file: Path) -> list[CaptureRecord]:
    """Read a camera's capture; a line that is still being written is left out."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [CaptureRecord(**json.loads(line)) for line in lines if line.endswith("\n")]


def nal_hashes(file: Path) -> list[str]:
    """Return the SHA-256 of every NAL unit of an MP4 file, in order."""
    video = read_mp4(file.read_bytes())
    return [hashlib.sha256(nal).hexdigest() for sample in video.samples for nal in sample.nals]


def is_part_of(part: list[str], whole: list[str]) -> bool:
    """Say whether a list is an unbroken part of another."""
    if not part:
        return False
    starts = (index for index, item in enumerate(whole) if item == part[0])
    return any(whole[start : start + len(part)] == part for start in starts)
