"""Each fault does what it says, for as long as it says, and nothing else."""

import asyncio
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_camera_sim import CameraSimulator, CameraSpec, Fault, FaultError
from lykta_camera_sim.faults import KINDS, ActiveFaults, damage, fault_from

SPEC = {"first_sequence": 0, "payload_limit": 200}


def holes(client):
    """Differences between neighbouring sequence numbers."""
    numbers = [sequence for sequence, *_ in client.rtp()]
    return [(later - earlier) & 0xFFFF for earlier, later in itertools.pairwise(numbers)]


async def test_drop_leaves_holes(clip, connect):
    """Dropped packets leave holes in the numbers, no more packets than counted come, and clearing ends it."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, **SPEC)], seed=1, capture=True) as sim:
        sim.fault("torg", "drop", probability=0.3)
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.rtp()) >= 60)
        assert set(holes(client)) > {1}
        assert min(holes(client)) == 1
        sim.clear("torg", "drop")
        undamaged = len([one for one in sim.captured("torg") if not one.damaged])
        assert undamaged == 0
        await sim.wait_until("torg", lambda s: any(not one.damaged for one in sim.captured("torg")))
        first_whole = next(one.rtp for one in sim.captured("torg") if not one.damaged)
        await client.receive(lambda c: len({t for t, _ in c.frames() if (t - first_whole) & 0xFFFFFFFF < 90_000}) >= 3)
    whole = [sequence for sequence, at, *_ in client.rtp() if (at - first_whole) & 0xFFFFFFFF < 90_000]
    assert whole == list(range(whole[0], whole[0] + len(whole)))


async def test_corrupt_changes_bytes_only(clip, connect, put_together):
    """Corruption keeps numbers and sizes and changes the payload of every packet."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, **SPEC)], seed=2) as sim:
        sim.fault("torg", "corrupt")
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 3)
        frame = sim.camera("torg").stream.frames[0]
    sent = [bytes(packet[16:]) for packet in frame.packets(bytearray(frame.data))]
    got = [payload for *_, payload in client.rtp()][: len(sent)]
    assert [len(one) for one in got] == [len(one) for one in sent]
    assert all(sum(x != y for x, y in zip(a, b, strict=True)) == 1 for a, b in zip(got, sent, strict=True))
    assert set(holes(client)) == {1}


async def test_reorder_and_duplicate(clip, connect):
    """Swapped packets come late, doubled ones twice; none is lost."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, **SPEC)], seed=3) as sim:
        sim.fault("torg", "reorder", probability=0.3)
        sim.fault("torg", "duplicate", probability=0.3)
        client = await connect(sim.url("torg"))
        await client.play()
        await sim.wait_until("torg", lambda s: s.frames_sent >= 5)
        await client.receive(lambda c: len({at for _, at, *_ in c.rtp()}) >= 5)
    numbers = [sequence for sequence, *_ in client.rtp()]
    assert numbers != sorted(numbers)
    assert len(numbers) > len(set(numbers))
    assert set(range(max(numbers) - 20)) <= set(numbers)


async def test_truncate_cuts_nals_without_a_hole(clip, connect):
    """Fragmented NAL units lose their end, and the numbers do not show it."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, **SPEC)]) as sim:
        sim.fault("torg", "truncate")
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len({at for _, at, *_ in c.rtp()}) >= 5)
    fragments = [payload for *_, payload in client.rtp() if payload[0] & 31 == 28]
    assert fragments
    assert all(payload[1] & 0xC0 == 0x80 for payload in fragments)
    assert set(holes(client)) == {1}


@pytest.mark.parametrize("kind", ["freeze", "hang"])
async def test_freeze_ends_at_a_key_frame(clip, connect, kind):
    """While it lasts nothing is sent; afterwards the next picture is a key frame and the time line has gone on."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 3)
        sim.fault("torg", kind, seconds=0.5)
        assert sim.state("torg")["faults"] == [kind]
        await client.receive(lambda c: len(c.frames()) >= 20)
        assert sim.state("torg")["faults"] == []
    frames = client.frames()
    steps = [((b - a) & 0xFFFFFFFF, nals) for (a, _), (b, nals) in itertools.pairwise(frames)]
    late = [(step, nals) for step, nals in steps if step != 4500]
    assert len(late) == 1
    assert late[0][0] >= 40_000
    assert late[0][1][0][0] & 31 == 7
    assert set(holes(client)) == {1}


async def test_hanging_camera_answers_nothing(clip, connect):
    """A hanging camera keeps the connection but answers no request, until cleared."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        sim.fault("torg", "hang")
        client = await connect(sim.url("torg"))
        client.writer.write(f"DESCRIBE {client.url} RTSP/1.0\r\nCSeq: 77\r\n\r\n".encode())
        await sim.wait_until("torg", lambda s: s.requests == 1)
        sim.clear("torg")
        assert (await client.ask("DESCRIBE")).header("cseq") == "1"


@pytest.mark.parametrize("mid_frame", [False, True])
async def test_disconnect_closes_and_lets_back_in(clip, connect, mid_frame):
    """Every client loses its connection, in the middle of a frame if asked, and may come back at once."""
    cameras = [CameraSpec("torg", clip, payload_limit=60_000), CameraSpec("bro", clip)]
    async with CameraSimulator(cameras=cameras) as sim:
        clients = [await connect(sim.url("torg")), await connect(sim.url("bro"))]
        for client in clients:
            await client.play()
            await client.receive(lambda c: len(c.frames()) >= 2)
        sim.fault("torg", "disconnect", mid_frame=mid_frame)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)) as lost:
            await clients[0].receive(lambda c: False)
        if mid_frame:
            assert lost.value.partial
        assert (sim.state("torg")["viewers"], sim.state("bro")["viewers"]) == (0, 1)
        assert sim.state("torg")["faults"] == []
        await (await connect(sim.url("torg"))).play()


async def test_refusing_camera_closes_without_an_answer(clip, connect):
    """A refusing camera drops its clients and closes every new connection that names it; others are served."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip), CameraSpec("bro", clip)]) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
        sim.fault("torg", "refuse")
        for one in (client, await connect(sim.url("torg"))):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await one.ask("OPTIONS")
        assert (await (await connect(sim.url("bro"))).ask("OPTIONS")).status == 200
        sim.clear("torg")
        assert (await (await connect(sim.url("torg"))).ask("DESCRIBE")).status == 200


async def test_status_fault(clip, connect):
    """DESCRIBE answers with the status for as long as the fault holds."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        sim.fault("torg", "status", status=302, location="rtsp://127.0.0.1/other")
        answer = await client.ask("DESCRIBE")
        assert (answer.status, answer.header("location")) == (302, "rtsp://127.0.0.1/other")
        sim.clear("torg", "status")
        assert (await client.ask("DESCRIBE")).status == 200


async def test_clock_fault_moves_the_reported_time(clip, connect):
    """The sender reports of a session that starts under the fault are wrong by the offset."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)], unix_time=lambda: 1_700_000_000.0) as sim:
        sim.fault("torg", "clock", offset_s=42.0)
        client = await connect(sim.url("torg"))
        await client.play()
        await client.receive(lambda c: len(c.rtcp()) >= 1)
    assert int.from_bytes(client.rtcp()[0][8:12], "big") - 2_208_988_800 == 1_700_000_042


def test_active_faults_end_by_themselves():
    """A fault holds until its time, a newer one of its kind takes its place, one without time holds until cleared."""
    active = ActiveFaults()
    active.add(Fault("drop", seconds=5, probability=0.1), 100.0)
    active.add(Fault("drop", seconds=2, probability=0.2), 100.0)
    active.add(Fault("corrupt"), 100.0)
    assert active.get("drop", 101.9).probability == 0.2
    assert active.kinds(102.0) == ["corrupt"]
    assert [fault.kind for fault in active.for_packets(1e9)] == ["corrupt"]
    active.clear("corrupt")
    active.clear("corrupt")
    assert active.kinds(0.0) == []


@given(
    st.lists(st.sampled_from(["drop", "corrupt", "reorder", "duplicate", "truncate"]), unique=True),
    st.floats(0, 1),
    st.integers(1, 12),
    st.integers(),
)
def test_damage_keeps_packets_whole(kinds, probability, count, seed):
    """Whatever faults meet, what is sent are whole packets of the frame, and no more numbers are used than it has."""
    packets = [
        bytearray(b"$\0\0\x10" + bytes((0x80, 96)) + n.to_bytes(2, "big") + bytes(8) + b"\x41abc") for n in range(count)
    ]
    faults = [Fault(kind, probability=probability) for kind in kinds]
    sent, used = damage(packets, faults, random.Random(seed))
    assert used <= count
    assert all(len(packet) == 20 and packet[0] == 0x24 for packet in sent)
    assert {int.from_bytes(packet[6:8], "big") for packet in sent} <= set(range(count))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "explode"}, "unknown fault"),
        ({}, "kind is missing"),
        ({"kind": "drop", "probability": 2}, "between 0 and 1"),
        ({"kind": "drop", "probability": "much"}, "wrong type"),
        ({"kind": "freeze", "seconds": -1}, "seconds"),
        ({"kind": "freeze", "seconds": True}, "wrong type"),
        ({"kind": "freeze", "minutes": 1}, "unknown key"),
        ({"kind": "status", "status": 200}, "between 300 and 599"),
        ({"kind": "clock", "offset_s": 1e300}, "offset_s"),
        ({"kind": "disconnect", "mid_frame": 1}, "wrong type"),
    ],
)
def test_bad_faults_are_refused(values, says):
    """A fault that does not exist, or has a value out of range or of the wrong type, is refused in words."""
    with pytest.raises(FaultError, match=says):
        fault_from(values)


def test_every_kind_can_be_read():
    """Each documented kind is accepted with its defaults."""
    assert [fault_from({"kind": kind, "seconds": None}).kind for kind in KINDS] == list(KINDS)
