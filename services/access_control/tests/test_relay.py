"""The relay of orders: the bucket follows the database through crashes, outages and races, and never goes back."""

import asyncio
import copy
from typing import Any

import pytest
from lykta_access_control.store import relay as relay_module
from lykta_access_control.store.tables import orders, outbox
from lykta_testing.clock import ManualClock
from lykta_testing.platform import eventually
from sqlalchemy import select, update


@pytest.fixture
def no_relay(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keep the relay from publishing, as if the process had died between the commit and the bucket."""

    async def dead(_self: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(relay_module.OrderRelay, "run", dead)
    return monkeypatch


async def test_an_order_that_was_committed_and_not_published_is_published_at_the_next_start(
    world: Any, no_relay: pytest.MonkeyPatch
) -> None:
    """A crash between the approval's commit and the bucket heals by itself, with the very same signed order."""
    async with world.service():
        await world.populate()
        mandate = await world.live()
        async with world.wire() as wire:
            await wire.entries("mandate.approve")
            assert await wire.order("ks.torget-1") is None
    no_relay.undo()
    async with world.service(), world.wire() as wire:
        order = await eventually(lambda: wire.order("ks.torget-1"))
        assert (order.status, order.mandate.mandate_id) == ("live", mandate.mandate_id)


async def test_a_lost_or_spoiled_bucket_is_written_again(world: Any) -> None:
    """What was deleted from the bucket, or put there by somebody else's key, is replaced at the next start."""
    async with world.service():
        await world.populate()
        await world.live(cameras=["torget-1", "torget-2"])
        async with world.wire() as wire:
            before = [await eventually(lambda key=key: wire.order(key)) for key in ("ks.torget-1", "ks.torget-2")]
    async with world.wire() as wire:
        bucket = await wire.bucket()
        await bucket.delete("ks.torget-1")
        await bucket.put("ks.torget-2", b'{"payloadType":"x"}')
        async with world.service():
            assert await eventually(lambda: wire.order("ks.torget-1")) == before[0]

            async def mended() -> bool:
                return bool((await bucket.get("ks.torget-2")).value.startswith(b'{"payloadType":"application'))

            await eventually(mended)
            assert await wire.order("ks.torget-2") == before[1]


async def test_a_newer_order_in_the_bucket_is_never_replaced(world: Any) -> None:
    """A database restored from an older copy does not bring an ended surveillance back to life."""
    async with world.service(), world.wire() as wire:
        await world.populate()
        mandate = await world.live()
        await eventually(lambda: wire.order("ks.torget-1"))
        async with world.database() as database, database.reading() as connection:
            copy = (await connection.execute(select(orders))).mappings().one()
        await world.end(mandate.mandate_id)

        async def ended() -> Any:
            order = await wire.order("ks.torget-1")
            return order if order.status == "ended" else None

        newest = await eventually(ended)
    async with world.database() as database, database.transaction() as connection:
        await connection.execute(update(orders).values(**copy))
    async with world.service(), world.wire() as wire:
        await world.add_camera("ada", "ks", "torget-3")
        await world.live(cameras=["torget-3"])
        await eventually(lambda: wire.order("ks.torget-3"))
        assert await wire.order("ks.torget-1") == newest


async def test_serials_rise_when_the_clock_stands_still(world: Any, clock: ManualClock) -> None:
    """Orders made in the same millisecond still have rising serials."""
    async with world.service(clock), world.wire() as wire:
        world.now = clock.now().timestamp()
        await world.populate()
        serials = []

        async def reached(mandate_id: str, status: str) -> Any:
            found = await wire.order("ks.torget-1")
            wanted = found is not None and (found.mandate.mandate_id, found.status) == (mandate_id, status)
            return found if wanted else None

        for _ in range(3):
            mandate_id = (await world.live()).mandate_id
            serials.append((await eventually(lambda of=mandate_id: reached(of, "live"))).serial)
            await world.end(mandate_id)
            serials.append((await eventually(lambda of=mandate_id: reached(of, "ended"))).serial)
        assert serials == sorted(set(serials))


async def test_two_processes_decide_and_publish_as_one(world: Any) -> None:
    """Two processes on one database: every step is stated once, in its mandate's order, and the newest orders stand."""
    async with world.service(), world.second_replica() as stubs, world.wire() as wire:
        await world.populate()
        other = copy.copy(world)
        other.stubs = stubs

        async def work(hand: Any, camera: str) -> str:
            for _ in range(4):
                await hand.end((await hand.live(cameras=[camera])).mandate_id)
            return str((await hand.live(cameras=[camera])).mandate_id)

        newest = await asyncio.gather(work(world, "torget-1"), work(other, "torget-2"))
        records = await wire.entries("mandate.approve", 10)
        for camera, mandate_id in zip(("torget-1", "torget-2"), newest, strict=True):

            async def stands(camera: str = camera, mandate_id: str = mandate_id) -> bool:
                order = await wire.order(f"ks.{camera}")
                return order is not None and (order.mandate.mandate_id, order.status) == (mandate_id, "live")

            await eventually(stands, what=f"the newest order of {camera}")
    events = [event.id for event in await _settled(world)]
    assert len(events) == len(set(events))
    steps: dict[str, list[str]] = {}
    for record in records:
        if record["action"].startswith("mandate."):
            steps.setdefault(record["object"], []).append(record["action"].removeprefix("mandate."))
    assert len(steps) == 10
    assert sum(taken == ["draft", "propose", "approve", "end"] for taken in steps.values()) == 8


async def _settled(world: Any) -> list[Any]:
    """Return all facts once no outbox row is left."""
    async with world.service(), world.wire() as wire:
        async with world.database() as database:

            async def empty() -> bool:
                async with database.reading() as connection:
                    return (await connection.execute(select(outbox))).first() is None

            await eventually(empty, what="an empty outbox")
        return list(await wire.events("AUDIT"))


async def test_without_nats_everything_is_decided_and_published_later(world: Any) -> None:
    """NATS away: approvals, grants and questions go on; orders and facts arrive when it is back, each once."""
    async with world.service():
        await world.populate()
        async with world.wire() as wire:
            await wire.entries("camera.create", 4)
        await world.backbone.nats.kill()
        mandate = await world.live()
        case = await world.open_case()
        grant = await world.ask(case.case_id)
        await world.issue(grant.grant_id)
        assert (await world.played("ivar", grant.grant_id)).allowed
        await world.backbone.nats.start()
        async with world.wire() as wire:
            order = await eventually(lambda: wire.order("ks.torget-1"), seconds=30)
            assert order.mandate.mandate_id == mandate.mandate_id
            entries = await wire.entries("grant.approve")
        assert sum(entry["action"] == "mandate.approve" for entry in entries) == 1
