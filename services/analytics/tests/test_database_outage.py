"""PostgreSQL loses its power while pictures are looked at: nothing is forgotten, and nothing needs a restart."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from lykta_testing.platform import eventually
from lykta_testing.postgres import OwnServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

START = datetime(2026, 6, 1, 12, tzinfo=UTC)


async def test_analytics_outlives_its_database(
    bench: Any, postgresql: OwnServer, street: Any, make_mandate: Callable[..., Any]
) -> None:
    """People who come while the database is away become an incident, told once, when it is back."""
    url = await asyncio.to_thread(postgresql.new_database)
    bench.settings = bench.settings.model_copy(update={"database_url": url})
    async with bench.analytics():
        await bench.order(make_mandate())

        async def failing() -> Any:
            return await bench.health.failures()

        async def well() -> bool:
            return not await failing()

        await eventually(well, 20, "health")
        await asyncio.to_thread(postgresql.kill)
        assert "UNAVAILABLE" in (await failing())["database"]
        await bench.play(street, START)
        assert bench.of("incident.opened") == []
        await asyncio.to_thread(postgresql.start)
        await bench.until("incident.opened")
        await eventually(well, 20, "health")
    ids = [event.id for _, event, _ in bench.told]
    assert len(ids) == len(set(ids))
