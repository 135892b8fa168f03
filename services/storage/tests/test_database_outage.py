"""PostgreSQL loses its power while footage arrives: what was recorded meanwhile is catalogued when it is back."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from lykta_testing.postgres import OwnServer

from .conftest import START, World, reason_of

SEGMENT = timedelta(seconds=6)

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


async def test_storage_outlives_its_database(world: World, postgresql: OwnServer) -> None:
    """Killed and started again: a segment announced in between is stored once, and both segments can be watched."""
    url = await asyncio.to_thread(postgresql.new_database)
    world.backbone.use_database("storage-0", url)
    async with world.service():
        await world.order()
        recorder = world.recorder()
        first = await recorder.segment(START)
        second = await recorder.segment(START + SEGMENT)
        await first.publish()
        await world.facts("segment.stored")
        await asyncio.to_thread(postgresql.kill)
        await second.publish()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.open(seconds=12).all()
        assert reason_of(refused.value) == "DEPENDENCY_UNAVAILABLE"
        await asyncio.to_thread(postgresql.start)
        stored = await world.facts("segment.stored", 2)
        assert [fact.data["segment_id"] for fact in stored] == [made.index.segment_id for made in (first, second)]
        items = await world.open(seconds=12).all()
    assert [item.WhichOneof("item") for item in items].count("fragment") == 6
