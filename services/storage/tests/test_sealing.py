"""Hour roots in the log: after the hour, on reading, and only when the recorder's seal holds."""

from datetime import timedelta

import pytest
from lykta_common.errors import PlatformError
from lykta_storage.domain.deletion import seal_entry_id
from lykta_storage.domain.footage import CameraHour
from lykta_testing.platform import eventually

from .conftest import CAMERA, CONTROLLER, START, World

HOUR = CameraHour(CONTROLLER, CAMERA, "20260601T12")


async def test_an_hour_is_sealed_when_it_is_over(running: World) -> None:
    """After the hour the newest root of each run is in the log, once, with the recorder's signature."""
    made = await running.recorded(START, START + timedelta(seconds=6))
    assert running.log.of("footage.hour.sealed") == []
    await running.clock.advance(timedelta(minutes=32))
    (entry,) = await eventually(lambda: running.log.of("footage.hour.sealed"), what="the sealed root")
    seal = made[-1].index.seal
    assert entry.entry_id == seal_entry_id(HOUR, "01RUN", 6)
    assert entry.object == f"camera/{CAMERA}/20260601T12"
    assert dict(entry.details) == {
        "camera": CAMERA, "hour": "20260601T12", "run": "01RUN", "count": "6", "root": seal.root,
        "key_id": seal.key_id, "signature": seal.signature,
    }  # fmt: skip
    await running.restart()
    await running.clock.advance(timedelta(minutes=2))
    assert len(running.log.of("footage.hour.sealed")) == 1


async def test_an_hour_is_sealed_earlier_when_it_is_read_and_again_when_it_grew(running: World) -> None:
    """Reading a running hour logs its newest root; a later read of older fragments needs no new one."""
    await running.order()
    recorder = running.recorder()
    await (await recorder.segment(START)).publish()
    await running.facts("segment.stored")
    first = await running.open().all()
    await (await recorder.segment(START + timedelta(seconds=6))).publish()
    await running.facts("segment.stored", 2)
    again = await running.open().all()
    assert [item.fragment.seal.count for item in first + again if item.WhichOneof("item") == "fragment"] == [3] * 6
    grown = await running.open(seconds=12).all()
    counts = [item.fragment.seal.count for item in grown if item.WhichOneof("item") == "fragment"]
    assert counts == [3, 3, 3, 6, 6, 6]
    assert len(running.log.of("footage.hour.sealed")) == 2


async def test_a_hole_in_the_leaves_is_waited_for(world: World) -> None:
    """While an earlier segment is missing from the catalogue, only the root below the hole is logged."""
    async with world.service():
        await world.order()
        recorder = world.recorder()
        made = [await recorder.segment(START + timedelta(seconds=6 * number)) for number in range(3)]
        for segment in (made[0], made[2]):
            await segment.publish()
        await world.facts("segment.stored", 2)
    async with world.wired() as storage:
        proven = await storage.sealing.prove(HOUR, "01RUN", 0)
        assert proven.root.count == 3
        with pytest.raises(PlatformError) as caught:
            await storage.sealing.prove(HOUR, "01RUN", 6)
        assert caught.value.reason == "INTEGRITY"
        await world.clock.advance(timedelta(hours=1))
        await storage.sealing.seal_ended_hours()
        assert len(world.log.of("footage.hour.sealed")) == 1
    async with world.service():
        await made[1].publish()
        await world.facts("segment.stored", 3)
    async with world.wired() as storage:
        await storage.sealing.seal_ended_hours()
        assert (await storage.sealing.prove(HOUR, "01RUN", 6)).root.count == 9


async def test_a_changed_fragment_hash_does_not_lead_to_the_root(world: World) -> None:
    """A catalogue whose hashes were changed is found out against the recorder's signed root."""
    from lykta_storage.store.tables import fragments
    from sqlalchemy import update

    async with world.service():
        await world.recorded()
    async with world.wired() as storage:
        async with storage.outside.database.transaction() as connection:
            await connection.execute(update(fragments).where(fragments.c.leaf == 1).values(sha256="00" * 32))
        with pytest.raises(PlatformError) as caught:
            await storage.sealing.prove(HOUR, "01RUN", 0)
        assert caught.value.reason == "INTEGRITY"
        await world.clock.advance(timedelta(hours=1))
        assert await storage.sealing.seal_ended_hours() == 0
        assert world.log.of("footage.hour.sealed") == []
