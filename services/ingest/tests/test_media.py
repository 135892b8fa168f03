"""Parameter sets, session descriptions, fMP4, GOPs and age files, each against its standard or a stranger's library."""

from __future__ import annotations

import contextlib
import io
import itertools
from array import array
from typing import Any

import av
import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lykta_camera_sim.rtp import packetise
from lykta_camera_sim.video import load_video
from lykta_ingest.agefile import Recipient
from lykta_ingest.errors import CameraError
from lykta_ingest.fmp4 import fragment_head, init_segment
from lykta_ingest.gop import Gop, GopAssembler, Part
from lykta_ingest.h264 import NAL_PPS, NAL_SPS, parse_sps, require_no_reordering
from lykta_ingest.media import HEAD_ROOM, MediaBuffers
from lykta_ingest.rtp import H264Depacketizer
from lykta_ingest.sdp import parse_sdp

SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\na=control:*\r\nm=audio 0 RTP/AVP 8\r\na=control:a\r\n"
    "m=video 0 RTP/AVP 96 97\r\na=rtpmap:97 H264/90000\r\n"
    "a=fmtp:97 packetization-mode=1;profile-level-id=64001f;"
    "sprop-parameter-sets=Z2QAH6zZQFAFuwEQAAADABAAAAMDIPGDGWA=,aOvjyyLA\r\n"
    "a=control:trackID=1\r\n"
)


class Sink:
    """Keeps what an assembler hands out."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, str]] = []
        self.gops: list[Gop] = []
        self.parts: list[tuple[bool, int, bytes]] = []
        self.lost: list[str] = []

    def epoch_began(self, epoch_ms: int, reason: str) -> None:
        """Keep."""
        self.epochs.append((epoch_ms, reason))

    def gop_closed(self, gop: Gop) -> None:
        """Keep."""
        self.gops.append(gop)

    def gop_lost(self, from_ms: int, to_ms: int, detail: str) -> None:
        """Keep."""
        self.lost.append(detail)

    def part_closed(self, part: Part) -> None:
        """Copy, because its memory is used again."""
        self.parts.append((part.key, len(part.sizes), bytes(part.media)))


class Line:
    """A camera's access units, fed straight into an assembler, and a clock that follows them."""

    def __init__(self, **more: Any) -> None:
        self.sink = Sink()
        self.now = 1_000_000
        self.assembler = GopAssembler(self.sink, lambda: self.now, MediaBuffers(), **more)
        self.depacketizer = H264Depacketizer(self.assembler, 96)
        self.timestamp = 0xFFFF_0000

    def unit(self, *, key: bool = False, ticks: int = 9_000, flags: int = 0, size: int = 100) -> None:
        """Give the assembler one access unit, and let the clock go on."""
        buffer = self.assembler.buffer
        start = buffer.end
        payload = bytes([1 if key else 0]) * size
        buffer.reserve(size)[start : start + size] = payload
        buffer.end += size
        self.assembler.access_unit(self.timestamp & 0xFFFFFFFF, start, flags | (1 if key else 0))
        self.timestamp += ticks
        self.now += ticks // 90


def test_gops_follow_each_other_on_one_time_line_over_the_wrap() -> None:
    """GOPs begin with key frames, touch each other exactly, and hold all bytes, while RTP time wraps."""
    line = Line(part_ticks=18_000)
    line.unit()
    for number in range(41):
        line.unit(key=number % 10 == 0, size=100 + number)
    gops = line.sink.gops
    assert [len(gop.sizes) for gop in gops] == [10, 10, 10, 10]
    assert gops[0].from_ms == line.sink.epochs[0][0]
    assert all(a.to_ms == b.from_ms and a.to_ms - a.from_ms == 1_000 for a, b in itertools.pairwise(gops))
    assert [gop.buffer.end - HEAD_ROOM for gop in gops] == [sum(gop.sizes) for gop in gops]
    assert all(sum(gop.durations) == gop.end_ticks - gop.start_ticks for gop in gops)
    parts = line.sink.parts
    assert [key for key, _, _ in parts[:6]] == [True, False, False, False, False, True]
    assert b"".join(media for _, _, media in parts[:5]) == bytes(gops[0].buffer.view[HEAD_ROOM : gops[0].buffer.end])


def test_pictures_before_the_first_key_frame_are_left_out_and_the_end_closes_the_last_gop() -> None:
    """Without a key frame nothing begins; `finish` gives the last frame the duration of the one before."""
    line = Line()
    for _ in range(5):
        line.unit()
    assert line.assembler.buffer.end == HEAD_ROOM
    line.unit(key=True)
    line.unit()
    line.assembler.finish()
    assert [list(gop.durations) for gop in line.sink.gops] == [[9_000, 9_000]]


def test_a_jump_of_rtp_time_begins_a_new_epoch_with_the_next_key_frame() -> None:
    """Time that jumps ahead or back by more than a second is not believed."""
    for jump in (90_000 * 3600, -90_000 * 60):
        line = Line()
        line.unit(key=True)
        line.unit()
        line.timestamp += jump
        line.unit()
        line.unit(key=True)
        line.unit(key=True)
        assert [reason for _, reason in line.sink.epochs] == ["started", "clock"]
        assert line.sink.epochs[1][0] >= line.sink.gops[0].to_ms


def test_drift_against_the_platforms_clock_begins_a_new_epoch() -> None:
    """When RTP time and the platform's clock are 2 s apart for three key frames, the time line is anchored anew."""
    line = Line()
    for number in range(60):
        line.unit(key=number % 5 == 0)
        line.now += 60
    assert "clock" in [reason for _, reason in line.sink.epochs]


def test_slightly_decreasing_time_means_b_frames_and_a_repeated_time_a_further_slice() -> None:
    """A time stamp that goes back a little is refused as B-frames; an equal one joins the picture before."""
    line = Line()
    line.unit(key=True, ticks=0)
    line.unit(ticks=9_000)
    line.unit()
    line.assembler.finish()
    assert list(line.sink.gops[0].sizes) == [200, 100]
    line = Line()
    line.unit(key=True)
    line.timestamp -= 12_000
    with pytest.raises(CameraError, match="B-frames"):
        line.unit()


def test_a_stream_without_key_frames_is_given_up_with_advice_and_bounded_memory() -> None:
    """After 30 s without a key frame the stretch is declared lost, and the next key frame begins again."""
    line = Line()
    line.unit(key=True)
    for _ in range(400):
        line.unit(size=1_000)
    assert line.assembler.buffer.end <= HEAD_ROOM + 1_000 * 302
    line.unit(key=True)
    line.unit(key=True)
    assert "key frame interval" in line.sink.lost[0]
    assert len(line.sink.gops) == 1


def test_real_footage_becomes_fragments_that_a_strangers_library_decodes(footage: Any) -> None:
    """Every fragment is a complete MP4 file whose pictures decode, in order, without a warning."""
    line = Line()
    sequence = 0
    for frame in packetise(load_video(footage)).frames:
        wire = memoryview(frame.stamp(sequence, frame.picture_ticks, 7, 0))
        sequence += len(frame.offsets)
        line.depacketizer.feed(wire, 0, len(wire), 0)
    line.assembler.finish()
    sets = line.depacketizer.parameters
    sps = [nal for (kind, _), nal in sets.items() if kind == NAL_SPS]
    pps = [nal for (kind, _), nal in sets.items() if kind == NAL_PPS]
    init = init_segment(parse_sps(sps[0]), sps, pps)
    assert len(line.sink.gops) == 4
    for gop in line.sink.gops:
        head = fragment_head(gop.sequence + 1, gop.start_ticks, gop.durations, gop.sizes, key=True)
        whole = init + head + bytes(gop.buffer.view[HEAD_ROOM : gop.buffer.end])
        with av.open(io.BytesIO(whole)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.codec_context.name) == (320, 240, "h264")
            pictures = list(container.decode(stream))
        assert len(pictures) == 10
        assert [picture.pts - pictures[0].pts for picture in pictures] == [9_000 * n for n in range(10)]
        assert pictures[0].pts == gop.start_ticks


def test_fragment_heads_have_the_sizes_they_say() -> None:
    """`moof` and `mdat` sizes and the data offset fit together."""
    head = fragment_head(1, 1 << 40, array("I", [3000] * 3), array("I", [10, 20, 30]), key=False)
    moof = int.from_bytes(head[:4], "big")
    assert head[moof + 4 : moof + 8] == b"mdat"
    assert int.from_bytes(head[moof : moof + 4], "big") == 8 + 60
    assert len(head) == moof + 8


@given(
    size=st.one_of(st.integers(0, 200), st.sampled_from([65_535, 65_536, 65_537, 131_072, 200_000])),
    seed=st.integers(0, 255),
)
@settings(max_examples=40, deadline=None)
def test_what_we_encrypt_pyrage_opens(size: int, seed: int) -> None:
    """An age file of any size opens with the recipient's key in an independent implementation, and with no other."""
    identity = pyrage.x25519.Identity.generate()
    plaintext = bytes([seed]) * size
    sealed = bytes(Recipient.parse(str(identity.to_public())).encrypt(plaintext))
    assert pyrage.decrypt(sealed, [identity]) == plaintext
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [pyrage.x25519.Identity.generate()])


@pytest.mark.parametrize("text", ["", "age1", "age1qqqq", "AGE-SECRET-KEY-1QQ", "ssh-ed25519 AAAA"])
def test_a_broken_recipient_is_refused(text: str) -> None:
    """Text that is no X25519 recipient raises ValueError."""
    with pytest.raises(ValueError):
        Recipient.parse(text)


def test_the_video_track_is_found_and_audio_left_alone() -> None:
    """The H.264 track is chosen with its own payload type, absolute control URL and parameter sets."""
    track = parse_sdp(SDP.encode(), "rtsp://cam/stream/")
    assert (track.control_url, track.payload_type) == ("rtsp://cam/stream/trackID=1", 97)
    sps = parse_sps(track.parameter_sets[0])
    assert (sps.width, sps.height, sps.codec) == (1280, 720, "avc1.64001f")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (SDP.replace("H264", "H265"), "H265"),
        (SDP.replace("m=video", "m=application"), "no video"),
        (SDP.replace("mode=1", "mode=2"), "packetization"),
        (SDP.replace("H264/90000", "H264/8000"), "90000"),
        (SDP.replace("Z2QA", "%%%"), "base64"),
        ("<html>", "not SDP"),
        (SDP + "a=x\r\n" * 20_000, "64 KiB"),
    ],
)
def test_a_description_that_cannot_be_recorded_is_refused_with_a_reason(text: str, word: str) -> None:
    """Each kind of unusable session description names itself."""
    with pytest.raises(CameraError, match=word):
        parse_sdp(text.encode(), "rtsp://cam/")


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_random_bytes_as_parameter_sets_or_descriptions_raise_nothing_but_camera_errors(data: bytes) -> None:
    """Whatever a camera sends here ends in a value or in a CameraError."""
    for parse in (lambda: parse_sps(b"\x67" + data), lambda: parse_sdp(b"v=0\n" + data, "rtsp://c/")):
        with contextlib.suppress(CameraError):
            parse()


def test_declared_reordering_is_refused(footage_with_b_frames: Any) -> None:
    """The SPS of a stream with B-frames declares reordering, which is refused with advice."""
    sps = parse_sps(load_video(footage_with_b_frames).sps)
    with pytest.raises(CameraError, match="no B-frames"):
        require_no_reordering(sps)
