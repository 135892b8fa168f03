"""PostgreSQL loses its power while the service runs: nothing is decided without it, and nothing needs a restart."""

import asyncio
from typing import Any

import grpc
import pytest
from lykta_testing.platform import eventually
from lykta_testing.postgres import OwnServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


async def test_the_service_outlives_its_database(world: Any, postgresql: OwnServer) -> None:
    """Killed and started again, the database is taken up by the running service, with all that was committed."""
    url = await asyncio.to_thread(postgresql.new_database)
    world.backbone.use_database("access-control-0", url)
    async with world.service(), world.wire() as wire:
        await world.populate()
        case = await world.open_case()
        await asyncio.to_thread(postgresql.kill)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.live()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        await asyncio.to_thread(postgresql.start)

        async def back() -> Any:
            try:
                return await world.live()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None

        mandate = await eventually(back, what="a mandate in force")
        order = await eventually(lambda: wire.order("ks.torget-1"), what="its order")
        assert order.mandate.mandate_id == mandate.mandate_id
        assert (await world.ask(case.case_id)).state
        assert len(await wire.entries("mandate.approve")) >= 1
