"""Loads a video file as the access units a camera would send, with times in 90 kHz ticks."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lykta_camera_sim.annexb import access_units, split_nals
from lykta_camera_sim.errors import FootageError
from lykta_camera_sim.mp4 import Mp4Video, read_mp4

CLOCK_HZ = 90_000
_IDR, _SPS, _PPS, _DELIMITER = 5, 7, 8, 9


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture: its NAL units as sent, when it is sent and which time it carries (90 kHz ticks from the start)."""

    nals: tuple[bytes, ...]
    send_ticks: int
    picture_ticks: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Video:
    """A loop of access units that starts with a key frame and lasts ``loop_ticks``."""

    units: tuple[AccessUnit, ...]
    loop_ticks: int
    sps: bytes
    pps: bytes

    @property
    def profile_level_id(self) -> str:
        """Six hex digits for the SDP (RFC 6184, 8.1)."""
        return self.sps[1:4].hex()


def _with_parameter_sets(nals: tuple[bytes, ...], sets: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Puts the parameter sets in front of a key frame that has none, behind a delimiter if there is one."""
    kinds = {nal[0] & 31 for nal in nals}
    if _IDR not in kinds or kinds & {_SPS, _PPS}:
        return nals
    cut = 1 if nals[0][0] & 31 == _DELIMITER else 0
    return nals[:cut] + sets + nals[cut:]


def _assemble(rows: Iterable[tuple[tuple[bytes, ...], int, int]], loop_ticks: int, sets: tuple[bytes, ...]) -> Video:
    units = []
    for nals, send_ticks, picture_ticks in rows:
        is_key = any(nal[0] & 31 == _IDR for nal in nals)
        units.append(AccessUnit(_with_parameter_sets(nals, sets), send_ticks, picture_ticks, is_key))
    if not units or not units[0].is_key:
        raise FootageError("the video must start with an IDR picture, otherwise it cannot be looped")
    sps = next((nal for nal in units[0].nals if nal[0] & 31 == _SPS), b"")
    pps = next((nal for nal in units[0].nals if nal[0] & 31 == _PPS), b"")
    if len(sps) < 4 or not pps:
        raise FootageError("the video has no SPS and PPS in front of its first picture")
    return Video(tuple(units), loop_ticks, sps, pps)


def _from_mp4(video: Mp4Video) -> Video:
    scale = Fraction(CLOCK_HZ, video.timescale)
    first_shift = video.samples[0].composition_offset
    rows = [
        (
            sample.nals,
            round(sample.decode_time * scale),
            round((sample.decode_time + sample.composition_offset - first_shift) * scale),
        )
        for sample in video.samples
    ]
    last = video.samples[-1]
    return _assemble(rows, round((last.decode_time + last.duration) * scale), video.sps + video.pps)


def video_from_nals(nals: list[bytes], fps: float) -> Video:
    """Makes a loop from NAL units in decoding order, shown at a constant frame rate.

    Raises:
        FootageError: the rate is not positive, or the stream does not start with SPS, PPS and an IDR picture.
    """
    if not 0 < fps <= 1000:
        raise FootageError("the frame rate must lie between 0 and 1000 per second", str(fps))
    units = access_units(nals)
    sets = tuple(next((nal for nal in nals if nal[0] & 31 == kind), b"") for kind in (_SPS, _PPS))
    step = Fraction(CLOCK_HZ) / Fraction(fps).limit_denominator(1001)
    rows = [(unit, round(index * step), round(index * step)) for index, unit in enumerate(units)]
    return _assemble(rows, round(len(units) * step), tuple(one for one in sets if one))


def load_video(path: Path, fps: float | None = None) -> Video:
    """Reads an ``.mp4`` file, or an Annex B byte stream for which ``fps`` must be given; blocks on the disk.

    Raises:
        FootageError: the file is missing, damaged, not H.264, or a byte stream without a frame rate.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FootageError("cannot read the video file", str(path)) from error
    if content[4:8] in (b"ftyp", b"styp", b"moov", b"free", b"mdat"):
        return _from_mp4(read_mp4(content))
    if not content.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        raise FootageError("the file is neither MP4 nor an H.264 byte stream", str(path))
    if fps is None:
        raise FootageError("a byte stream carries no frame rate; give fps", str(path))
    return video_from_nals(split_nals(content), fps)
