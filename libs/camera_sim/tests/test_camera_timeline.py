"""The time line of a camera, on a clock that the test turns."""

import random

import pytest
from lykta_camera_sim import CameraSpec
from lykta_camera_sim.camera import Camera
from lykta_camera_sim.capture import Capture
from lykta_camera_sim.rtp import packetise
from lykta_camera_sim.video import load_video


class Wire:
    """Stands in for a client's transport; ``backlog`` is how much waits to be sent."""

    def __init__(self):
        self.sent = []
        self.backlog = 0

    def write(self, data):
        """Keeps the bytes."""
        self.sent.append(bytes(data))

    def get_write_buffer_size(self):
        """Tells the backlog."""
        return self.backlog

    def is_closing(self):
        """Stays open."""
        return False


class Waiting:
    """Stands in for the pacer and remembers who waits for when."""

    def __init__(self):
        self.members = []

    def add(self, member, due):
        """Remembers the member."""
        self.members.append((member, due))


@pytest.fixture
def rig(clip):
    """A camera with its pacer, clock at 0."""
    pacer = Waiting()
    stream = packetise(load_video(clip))
    spec = CameraSpec("torg", clip)
    camera = Camera(spec, stream, pacer, Capture(), unix_time=lambda: 0.0, dice=random.Random(1))
    return camera, pacer


def watch(camera, now):
    """Adds a client."""
    wire = Wire()
    session = camera.new_session(wire)
    camera.join(session, now)
    return wire, session


def frames_of(camera, session):
    """Numbers of the frames recorded for a client."""
    return sorted({one.frame for one in camera.capture.records() if one.session == session.session_id})


def test_every_frame_is_sent_once_when_due(rig):
    """However unevenly the clock is looked at, every frame is sent once, in order, and none before its time."""
    camera, pacer = rig
    wire, session = watch(camera, 1000.0)
    assert pacer.members == [(camera, 1000.0)]
    now, dice = 1000.0, random.Random(3)
    while now < 1007.0:
        due = camera.advance(now)
        assert now < due <= now + 0.05 + 1e-9
        assert len(wire.sent) == int((now - 1000.0) / 0.05 + 1e-6) + 1
        now += dice.random()
    assert frames_of(camera, session) == list(range(len(wire.sent)))


def test_a_process_that_stood_still_leaves_frames_out(rig):
    """After more than two seconds of standstill the camera goes on at the next key frame of the present."""
    camera, _ = rig
    _, session = watch(camera, 0.0)
    camera.advance(0.0)
    camera.advance(60.0)
    assert frames_of(camera, session) == [0, 1200]
    camera.advance(61.9)
    assert frames_of(camera, session) == [0, *range(1200, 1239)]


def test_a_camera_without_clients_sleeps_and_its_time_goes_on(rig):
    """Without clients the camera asks not to be woken; who comes later gets the pictures of then."""
    camera, pacer = rig
    _, session = watch(camera, 0.0)
    camera.advance(0.0)
    camera.leave(session)
    camera.leave(session)
    assert camera.advance(0.05) is None
    _, later = watch(camera, 33.31)
    assert len(pacer.members) == 2
    camera.advance(33.31)
    camera.advance(34.0)
    assert frames_of(camera, later)[0] == 670


def test_a_slow_client_loses_frames_up_to_a_key_frame(rig):
    """A client more than 8 MiB behind gets nothing until it caught up and a key frame comes; others lose nothing."""
    camera, _ = rig
    slow, slow_session = watch(camera, 0.0)
    _, quick_session = watch(camera, 0.0)
    camera.advance(0.1)
    slow.backlog = 9 << 20
    camera.advance(0.2)
    slow.backlog = 0
    camera.advance(1.0)
    assert frames_of(camera, slow_session) == [0, 1, 2, *range(10, 21)]
    assert frames_of(camera, quick_session) == list(range(21))
    assert camera.stats.frames_skipped == 1


def test_reports_every_five_seconds(rig):
    """A sender report goes before the first frame and then every five seconds."""
    camera, _ = rig
    wire, _ = watch(camera, 0.0)
    now = 0.0
    while now < 11:
        camera.advance(now)
        now += 0.05
    assert [index // 100 for index, data in enumerate(wire.sent) if data[1] == 1] == [0, 1, 2]
