"""The demuxer against ffmpeg, and against damaged files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lykta_camera_sim import FootageError
from lykta_camera_sim.annexb import access_units, split_nals
from lykta_camera_sim.mp4 import read_mp4
from lykta_camera_sim.video import load_video, video_from_nals


@pytest.fixture(scope="module")
def variants(cache, clip, ffmpeg):
    """The clip as plain, fragmented, fast-start, audio-carrying, large-offset and B-frame files."""
    made = {"plain": clip}
    sound = ["-f", "lavfi", "-i", "sine=duration=2"]
    recipes = {
        "fragmented": ["-i", clip, "-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof"],
        "fragmented_by_time": ["-i", clip, "-c", "copy", "-movflags", "empty_moov", "-frag_duration", "150000"],
        "faststart": ["-i", clip, "-c", "copy", "-movflags", "+faststart", "-video_track_timescale", "1000"],
        "with_sound": [*sound, "-i", clip, "-c:v", "copy", "-c:a", "aac"],
        "sound_fragmented": [
            *sound,
            "-i",
            clip,
            "-c:v",
            "copy",
            "-c:a",
            "aac",
            "-movflags",
            "frag_keyframe+empty_moov",
        ],
        "b_frames": ["-i", clip, "-c:v", "libx264", "-preset", "fast", "-bf", "2", "-g", "20"],
        "slices": ["-i", clip, "-c:v", "libx264", "-preset", "ultrafast", "-slices", "4", "-g", "10", "-aud", "1"],
    }
    for name, arguments in recipes.items():
        made[name] = cache / f"{name}.mp4"
        ffmpeg(*arguments, made[name])
    return made


NAMES = [
    "plain", "fragmented", "fragmented_by_time", "faststart", "with_sound", "sound_fragmented", "b_frames", "slices",
]  # fmt: skip


@pytest.mark.foreign
@pytest.mark.parametrize("name", NAMES)
def test_same_nals_as_ffmpeg(name, variants, ffmpeg):
    """Every NAL unit comes out in the order and with the bytes that ffmpeg's h264_mp4toannexb gives."""
    raw = ffmpeg(
        "-i", variants[name], "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", "-"
    ).stdout
    theirs = [nal for nal in split_nals(raw) if nal[0] & 31 not in (7, 8)]
    video = load_video(variants[name])
    ours = [nal for unit in video.units for nal in unit.nals if nal[0] & 31 not in (7, 8)]
    assert ours == theirs
    assert {nal for unit in video.units for nal in unit.nals} == set(split_nals(raw))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sound_fragmented"])  # its first frame lasts longer
def test_times_of_every_container(name, variants):
    """All containers of the same pictures give 40 frames, 4,500 ticks apart, in a loop of two seconds."""
    video = load_video(variants[name])
    assert [unit.send_ticks for unit in video.units] == [4500 * index for index in range(40)]
    assert sorted(unit.picture_ticks for unit in video.units) == [4500 * index for index in range(40)]
    assert video.loop_ticks == 180_000
    assert video.units[0].is_key


def test_key_frames_carry_parameter_sets(clip):
    """Each key frame starts with SPS and PPS, as from a real camera, and no other frame has them."""
    video = load_video(clip)
    assert [unit.is_key for unit in video.units] == [index % 10 == 0 for index in range(40)]
    for unit in video.units:
        assert ([nal[0] & 31 for nal in unit.nals[:2]] == [7, 8]) == unit.is_key


@pytest.mark.foreign
def test_byte_stream_equals_mp4(cache, variants, ffmpeg):
    """A byte stream gives the same access units as the MP4 it was made from, slices and delimiters included."""
    for name in ("plain", "slices"):
        path = cache / f"{name}.h264"
        ffmpeg("-i", variants[name], "-c", "copy", path)
        streamed, boxed = load_video(path, fps=20), load_video(variants[name])
        assert [unit.send_ticks for unit in streamed.units] == [unit.send_ticks for unit in boxed.units]
        picture = [[n for n in unit.nals if n[0] & 31 not in (7, 8)] for unit in streamed.units]
        assert picture == [[n for n in unit.nals if n[0] & 31 not in (7, 8)] for unit in boxed.units]


def test_ntsc_rate_does_not_drift(clip):
    """29.97 frames/s is taken as 30000/1001, so that an hour of loops is an hour."""
    nals = [nal for unit in load_video(clip).units for nal in unit.nals]
    assert video_from_nals(nals, 29.97).loop_ticks == round(40 * 90_000 * 1001 / 30_000)


@given(
    st.lists(st.binary(min_size=2, max_size=40).filter(lambda b: b"\0\0" not in b and b[-1] and b[0] & 31), max_size=8)
)
def test_byte_stream_splits_where_it_was_joined(nals):
    """NAL units joined with either start code come apart again, whatever they contain."""
    joined = b"".join((b"\0\0\0\1" if index % 2 else b"\0\0\1") + nal for index, nal in enumerate(nals))
    assert split_nals(joined) == nals


def test_access_units_end_before_delimiters_and_first_slices():
    """A picture's slices stay together; SEI, parameter sets and a first slice open the next unit."""
    sps, sei, idr, rest, inter = b"\x67a", b"\x06b", b"\x65\x88", b"\x65\x40", b"\x41\x9a"
    assert access_units([sps, sei, idr, rest, inter, sei, inter]) == [(sps, sei, idr, rest), (inter,), (sei, inter)]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_mp4_is_refused_in_our_words(clip, data):
    """A file cut off or with flipped bytes is read or refused with FootageError, never anything else."""
    content = bytearray(clip.read_bytes())
    moov = content.rindex(b"moov")
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(moov, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from((len(content), moov + 200, len(content) - 40)))]
    try:
        read_mp4(bytes(content))
    except FootageError:
        return


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither MP4"),
        (b"RIFF____AVI ", "neither MP4"),
        (b"\0\0\0\x08ftyp", "no box: moov"),
        (b"\0\0\0\1\x67abcd", "give fps"),
    ],
)
def test_unusable_files_say_why(tmp_path, content, says):
    """A file that cannot be served is refused with what is wrong."""
    path = tmp_path / "video"
    path.write_bytes(content)
    with pytest.raises(FootageError, match=says):
        load_video(path)
    with pytest.raises(FootageError, match="cannot read"):
        load_video(tmp_path / "absent.mp4")


def test_stream_without_leading_key_frame_is_refused():
    """A loop must start with an IDR picture and its parameter sets, and at a sane rate."""
    with pytest.raises(FootageError, match="IDR"):
        video_from_nals([b"\x41\x9a\x00"], 10)
    with pytest.raises(FootageError, match="SPS and PPS"):
        video_from_nals([b"\x65\x88\x00"], 10)
    with pytest.raises(FootageError, match="frame rate"):
        video_from_nals([b"\x65\x88\x00"], 0)


def test_other_codecs_are_refused(cache, clip, ffmpeg):
    """An MP4 with MPEG-4 part 2 video is refused with the advice to transcode."""
    path = cache / "part2.mp4"
    ffmpeg("-i", clip, "-c:v", "mpeg4", path)
    with pytest.raises(FootageError, match="video track is not"):
        load_video(path)
