"""What a scraper sees of storage."""

from datetime import timedelta
from typing import Any

from lykta_storage.telemetry import LOOK_SECONDS
from lykta_testing.platform import eventually

from .conftest import CONTROLLER, START, World


async def test_a_scraper_sees_what_storage_does(world: World) -> None:
    """Segments, their lag, bytes read, coverage by controller and keys are shown; nobody is named."""
    async with world.service():
        registry = world.metrics.registry

        def read(name: str, **labels: str) -> Any:
            return registry.get_sample_value(f"lykta_storage_{name}", labels)

        await world.recorded()
        await eventually(lambda: read("segments_catalogued_total", controller=CONTROLLER))
        assert read("catalogue_lag_seconds_count") == read("segments_catalogued_total", controller=CONTROLLER)
        await world.open().all()
        await eventually(lambda: read("playbacks_open") == 0)
        assert read("playback_bytes_total") > 0
        await world.clock.advance(timedelta(seconds=LOOK_SECONDS))
        await eventually(lambda: read("hour_keys_alive"))
        assert await eventually(lambda: read("coverage_seconds", controller=CONTROLLER, balance="recorded"))
        assert read("retention_success_timestamp_seconds") >= START.timestamp()
        assert not [
            label for family in registry.collect() for s in family.samples for label in s.labels if "person" in label
        ]
