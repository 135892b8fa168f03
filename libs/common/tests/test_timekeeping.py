"""A clock that is off is told before anybody relies on it."""

from datetime import UTC, datetime, timedelta

import pytest
from lykta_common.config import ServiceSettings
from lykta_common.errors import PlatformError
from lykta_common.messaging import open_messaging
from lykta_common.timekeeping import Timekeeper
from lykta_testing.platform import Backbone, open_platform


class Plain(ServiceSettings):
    """A service with no settings of its own."""


@pytest.mark.parametrize("workload", ["ingest", "analytics", "storage", "access-control", "audit"])
async def test_a_right_clock_is_right_for_every_service(nats_backbone: Backbone, workload: str) -> None:
    """Every service's user may ask NATS for its time, which is that of this machine."""
    settings = nats_backbone.settings(Plain, workload)
    async with open_platform(workload) as platform, open_messaging(settings, platform.telemetry) as messaging:
        assert abs(await messaging.server_time() - datetime.now(UTC)) < timedelta(seconds=5)
        await Timekeeper(messaging).check()


@pytest.mark.parametrize(("minutes", "side"), [(10, "600 s ahead of"), (-10, "600 s behind")])
async def test_a_clock_ten_minutes_off_is_named_until_it_is_put_right(
    nats_backbone: Backbone, minutes: int, side: str
) -> None:
    """A wrong clock fails the check with how wrong it is and what to do; a clock put right passes at once."""
    off = timedelta(minutes=minutes)
    async with (
        open_platform("storage") as platform,
        open_messaging(nats_backbone.settings(Plain, "storage"), platform.telemetry) as messaging,
    ):
        keeper = Timekeeper(messaging, lambda: datetime.now(UTC) + off)
        for _ in range(2):
            with pytest.raises(PlatformError, match=rf"{side}.*NTP") as caught:
                await keeper.check()
            assert caught.value.reason == "WRONG_STATE"
        off = timedelta()
        await keeper.check()


async def test_without_nats_nothing_is_said_about_the_clock(nats_backbone: Backbone) -> None:
    """A NATS that is away is another check's matter, and what is known of the clock stays."""
    off = timedelta(minutes=10)
    async with (
        open_platform("storage") as platform,
        open_messaging(nats_backbone.settings(Plain, "storage"), platform.telemetry) as messaging,
    ):
        fresh, knowing = (Timekeeper(messaging, lambda: datetime.now(UTC) + off) for _ in range(2))
        with pytest.raises(PlatformError, match="600 s ahead"):
            await knowing.check()
        await nats_backbone.nats.kill()
        off += timedelta(minutes=1)  # time to ask again
        await fresh.check()
        with pytest.raises(PlatformError, match="600 s ahead"):
            await knowing.check()
