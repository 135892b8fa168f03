"""What a client gets: the camera's pictures, bit-exact, endlessly and in real time."""

import asyncio
import hashlib
import itertools
import json
import struct

import pytest
from lykta_camera_sim import CameraSimError, CameraSimulator, CameraSpec, UnknownCameraError
from lykta_camera_sim.video import load_video


async def test_nals_arrive_bit_exact_and_the_loop_is_seamless(clip, connect):
    """Over a loop's end every NAL unit is the file's, and time stamps go on by one frame's length."""
    units = load_video(clip).units
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= len(units) + 5)
    frames = client.frames()
    assert [nals for _, nals in frames[: len(units) + 5]] == [list(u.nals) for u in (*units, *units[:5])]
    steps = {(later - earlier) & 0xFFFFFFFF for (earlier, _), (later, _) in itertools.pairwise(frames)}
    assert steps == {4500}


async def test_sequence_and_time_wrap(clip, connect):
    """Numbers that start near their end go on from 0, without a hole; PLAY tells the first ones."""
    spec = CameraSpec("torg", clip, first_sequence=65_530, first_timestamp=2**32 - 9000, payload_limit=300)
    async with CameraSimulator(cameras=[spec]) as sim:
        client = await connect(sim.url("torg"))
        answer = await client.play()
        await client.receive(lambda c: len(c.frames()) >= 6)
    assert "seq=65530;rtptime=4294958296" in answer.header("rtp-info")
    numbers = [sequence for sequence, *_ in client.rtp()]
    assert numbers == [(65_530 + index) & 0xFFFF for index in range(len(numbers))]
    assert [timestamp for timestamp, _ in client.frames()][:4] == [2**32 - 9000, 2**32 - 4500, 0, 4500]


async def test_numbers_are_random_by_default(clip, connect):
    """Two sessions of one camera start at different sequence numbers, time stamps and sources."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        seen = set()
        for _ in range(2):
            client = await connect(sim.url("torg"))
            await client.play()
            await client.receive(lambda c: len(c.rtp()) >= 1)
            seen.add(client.packets[-1][1][2:12])
    assert len({data[:6] for data in seen}) == len({data[6:] for data in seen}) == 2


async def test_clients_see_the_same_pictures(clip, connect):
    """A second client starts at a key frame, and from there both get the same pictures."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        first = await connect(sim.url("torg"))
        await first.play()
        await first.receive(lambda c: len(c.frames()) >= 3)
        second = await connect(sim.url("torg"))
        await second.play("RTP/AVP/TCP;unicast;interleaved=6-7")
        await asyncio.gather(
            first.receive(lambda c: len(c.frames()) >= 35), second.receive(lambda c: len(c.frames(6)) >= 12)
        )
    theirs = [nals for _, nals in second.frames(6)]
    mine = [nals for _, nals in first.frames()]
    assert [nal[0] & 31 for nal in theirs[0][:2]] == [7, 8]
    at = mine.index(theirs[0])
    assert mine[at : at + 12] == theirs[:12]


async def test_pictures_are_paced(clip, connect):
    """While a camera of 20 frames/s sends 30 frames, one of 10 frames/s sends about half as many."""
    raw = clip.with_suffix(".pace.h264")
    raw.write_bytes(b"".join(b"\0\0\1" + nal for unit in load_video(clip).units for nal in unit.nals))
    cameras = [CameraSpec("fast", clip), CameraSpec("slow", raw, fps=10)]
    async with CameraSimulator(cameras=cameras) as sim:
        for name in ("slow", "fast"):
            client = await connect(sim.url(name))
            await client.play()
        await client.receive(lambda c: len(c.frames()) >= 30)
        assert 10 <= sim.stats("slow").frames_sent <= 20


async def test_capture_is_what_arrives(clip, connect, tmp_path):
    """The record has the size and hash of each NAL unit sent, in memory and in the file, in the order of arrival."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)], capture_dir=tmp_path) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 25)
        records = sim.captured("torg")
    arrived = [(hashlib.sha256(nal).hexdigest(), len(nal)) for _, nals in client.frames() for nal in nals]
    assert [(one.sha256, one.size) for one in records][: len(arrived)] == arrived
    assert [one.rtp for one in records if one.kind in (1, 5)][:25] == [at for at, _ in client.frames()[:25]]
    assert sorted(one.at for one in records) == [one.at for one in records]
    lines = [json.loads(line) for line in (tmp_path / "torg.jsonl").read_text().splitlines()]
    assert [line["sha256"] for line in lines][: len(records)] == [one.sha256 for one in records]
    assert not any(line["damaged"] for line in lines)


async def test_sender_report_comes_first_and_is_wrong_by_the_given_offset(clip, connect):
    """The first packet is a sender report whose time is the host's plus the camera's offset, as is the RTP time."""
    spec = CameraSpec("torg", clip, clock_offset_s=-3600.0)
    async with CameraSimulator(cameras=[spec], capture=True) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 1)
        sent = sim.captured("torg")[0]
    assert client.packets[0][0] == 1
    seconds, fraction, rtp = struct.unpack_from(">III", client.rtcp()[0], 8)
    assert seconds - 2_208_988_800 + fraction / 2**32 == pytest.approx(sent.at - 3600, abs=1e-3)
    assert 0 <= (rtp - sent.rtp) & 0xFFFFFFFF < 90_000


async def test_no_reports_when_told(clip, connect):
    """A camera without sender reports sends none."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, sender_reports=False)]) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 3)
    assert client.rtcp() == []


@pytest.mark.parametrize("options", [{"offset_s": 0.6}, {"free_running": True}])
async def test_another_start_is_still_a_key_frame(clip, connect, options):
    """A camera that starts within its loop starts with a key frame of the file."""
    units = load_video(clip).units
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, **options)], seed=7) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 4)
    start = [list(unit.nals) for unit in units].index(client.frames()[0][1])
    assert units[start].is_key
    assert start == 20 or options == {"free_running": True}


async def test_cameras_share_one_reading_of_a_file(clip):
    """A hundred cameras of one file hold its packets once."""
    async with CameraSimulator(cameras=[CameraSpec(f"c{number}", clip) for number in range(100)]) as sim:
        assert len({id(sim.camera(name).stream) for name in sim.names}) == 1


async def test_wrong_use_is_refused(clip):
    """Unknown and doubled names, and cameras added outside the context, are refused with the reason."""
    sim = CameraSimulator(cameras=[CameraSpec("torg", clip)])
    with pytest.raises(CameraSimError, match="enter"):
        await sim.add(CameraSpec("bro", clip))
    async with sim:
        with pytest.raises(CameraSimError, match="two cameras"):
            await sim.add(CameraSpec("torg", clip))
        with pytest.raises(UnknownCameraError, match="known: torg"):
            sim.url("bro")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": "a/b"}, "camera name"),
        ({"auth": "kerberos"}, "unknown authentication"),
        ({"username": "u"}, "no password"),
        ({"payload_limit": 10}, "payload_limit"),
        ({"session_timeout_s": 0}, "session_timeout_s"),
    ],
)
def test_impossible_cameras_are_refused(clip, values, says):
    """A specification that makes no camera is refused when it is made."""
    with pytest.raises(CameraSimError, match=says):
        CameraSpec(**{"name": "torg", "path": clip} | values)


def test_password_is_not_in_the_representation(clip):
    """A printed specification does not show the password."""
    assert "hemligt" not in repr(CameraSpec("torg", clip, username="op", password="hemligt"))


@pytest.mark.foreign
@pytest.mark.parametrize("auth", ["basic", "digest", "digest-qop", "digest+basic"])
async def test_ffmpeg_records_it(clip, cache, ffmpeg, auth):
    """A camera whose password needs quoting is opened and copied by ffmpeg, and the copy decodes without a word."""
    out = cache / f"recorded-{auth}.mp4"
    spec = CameraSpec("torg", clip, username="op", password="p@ss:1/å", auth=auth)
    async with CameraSimulator(cameras=[spec]) as sim:
        arguments = ["-rtsp_transport", "tcp", "-i", sim.url("torg"), "-c", "copy", "-t", "2.5", out]
        await asyncio.to_thread(ffmpeg, *arguments)
    said = await asyncio.to_thread(ffmpeg, "-i", out, "-f", "null", "-")
    assert said.stderr == b""
    recorded = [nal for unit in load_video(out).units for nal in unit.nals if nal[0] & 31 in (1, 5)]
    pictures = [nal for unit in load_video(clip).units for nal in unit.nals if nal[0] & 31 in (1, 5)]
    assert len(recorded) >= 45
    assert recorded == (pictures * 3)[: len(recorded)]
