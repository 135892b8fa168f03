"""The instruments of these tests: what they would say if footage were missing, foreign or broken."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.footage import StoredFragment, boxes, match, nal_units, sent_gops

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
GOPS, FRAMES = 6, 4


def nal(kind: int, text: str) -> bytes:
    """Make a NAL unit."""
    return bytes([0x60 | kind]) + text.encode()


def gop(number: int) -> list[list[bytes]]:
    """Make the frames of one GOP: parameter sets and an IDR picture first."""
    first = [nal(7, "sps"), nal(8, "pps"), nal(5, f"idr {number}")]
    return [first, *([nal(1, f"p {number}.{frame}")] for frame in range(1, FRAMES))]


def fragment(number: int, frames: list[list[bytes]], late: float = 0.2) -> StoredFragment:
    """Make a stored fragment of some frames."""
    nals = [one for frame in frames for one in frame]
    body = b"".join(len(one).to_bytes(4, "big") + one for one in nals)
    plain = (len(body) + 8).to_bytes(4, "big") + b"mdat" + body
    at = START + timedelta(seconds=number + late)
    return StoredFragment("torg-1", f"torg-1.1.{number}", at, at + timedelta(seconds=1), plain, "")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """What a camera sent in one session."""
    rows = [
        {
            "at": START.timestamp() + number + frame / FRAMES, "session": "s", "frame": number * FRAMES + frame,
            "kind": one[0] & 31, "size": len(one), "sha256": hashlib.sha256(one).hexdigest(),
        }
        for number in range(GOPS)
        for frame, nals in enumerate(gop(number))
        for one in nals
    ]  # fmt: skip
    file = tmp_path / "torg-1.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"at": 1, "sess')
    return file


def lost(capture: Path, stored: list[StoredFragment], cut_at: float | None = None) -> tuple[list[int], int]:
    """Return lost frames by GOP, and how many stored fragments nobody sent."""
    sessions = sent_gops(capture, cut_at)
    strangers = match(sessions, stored)
    return [one.lost_frames for one in sessions["s"]], len(strangers)


def test_all_there_is_all_there(capture: Path) -> None:
    """Nothing is called lost when every GOP is stored."""
    assert lost(capture, [fragment(n, gop(n)) for n in range(GOPS)]) == ([0] * GOPS, 0)


def test_a_missing_gop_is_seen(capture: Path) -> None:
    """A GOP that is not stored counts with all its frames, at its place."""
    stored = [fragment(n, gop(n)) for n in range(GOPS) if n != 2]
    assert lost(capture, stored) == ([0, 0, FRAMES, 0, 0, 0], 0)


def test_a_missing_frame_is_seen(capture: Path) -> None:
    """A GOP that lacks its last frame counts one; one that lacks a frame in the middle is not what was sent."""
    stored = [fragment(n, gop(n)) for n in range(GOPS)]
    stored[1] = fragment(1, gop(1)[:-1])
    stored[3] = fragment(3, [*gop(3)[:1], *gop(3)[2:]])
    assert lost(capture, stored) == ([0, 1, 0, FRAMES, 0, 0], 1)


def test_a_changed_byte_is_seen(capture: Path) -> None:
    """A stored picture that differs in one byte was never sent."""
    stored = [fragment(n, gop(n)) for n in range(GOPS)]
    stored[4] = fragment(4, [*gop(4)[:1], [nal(1, "q 4.1")], *gop(4)[2:]])
    assert lost(capture, stored) == ([0, 0, 0, 0, FRAMES, 0], 1)


def test_a_picture_stored_twice_is_seen(capture: Path) -> None:
    """A fragment that is stored again is one that was not sent again."""
    stored = [fragment(n, gop(n)) for n in (*range(GOPS), 5)]
    assert lost(capture, stored) == ([0] * GOPS, 1)


def test_what_went_to_the_dead_is_not_missed(capture: Path) -> None:
    """What a camera sent to a client that had died is not counted as sent."""
    stored = [fragment(n, gop(n)) for n in range(4)]
    assert lost(capture, stored, START.timestamp() + 4.3) == ([0, 0, 0, 0, 2], 0)


@pytest.mark.parametrize(
    "broken", [b"\x00\x00\x00\x04mdat", b"\x00\x00\x00\x20mdat\x00", b"\x00\x00\x00\x0cmdat\x00\x00\x00\x09"]
)
def test_a_broken_file_is_refused(broken: bytes) -> None:
    """Boxes or NAL units that reach out of their file are no footage."""
    with pytest.raises(AssertionError):
        nal_units(broken)
    assert list(boxes(b"")) == []
