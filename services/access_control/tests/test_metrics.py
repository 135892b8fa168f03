"""What a scraper sees of access-control."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from lykta_access_control import telemetry
from lykta_testing.platform import eventually, free_port


async def test_a_scraper_sees_decisions_and_when_mandates_run_out(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are counted by reason, mandates by state; the expiry is the first of those that cameras record under."""
    monkeypatch.setattr(telemetry, "LOOK_SECONDS", 0.05)
    async with world.service():
        await world.populate()
        await world.live()
        await world.draft(controller="bolag", by="berit")

        def read(name: str, **labels: str) -> Any:
            return world.metrics.registry.get_sample_value(f"lykta_access_control_{name}", labels)

        await world.authorize("disa", "session.list")
        await world.authorize("nils", "session.list")
        assert read("decisions_total", allowed="false", reason="NOT_FOUND") == 1
        assert read("decision_seconds_count") == 2
        await eventually(lambda: read("mandates", controller="ks", state="approved") == 1)
        await eventually(lambda: read("mandates", controller="bolag", state="draft") == 1)
        assert read("mandates", controller="bolag", state="approved") == 0
        assert read("cameras_ordered", controller="ks") == 1
        assert read("mandate_expiry_timestamp_seconds", controller="ks") > datetime.now(UTC).timestamp()
        assert read("mandate_expiry_timestamp_seconds", controller="bolag") is None


async def test_a_process_is_scraped(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process serves its metrics, says that it is ready and connected, and names every check."""
    port = free_port()
    monkeypatch.setenv("LYKTA_ACCESS_CONTROL__METRICS_LISTEN", f"127.0.0.1:{port}")
    async with world.process(), httpx.AsyncClient() as client:

        async def scraped() -> str:
            try:
                text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.TransportError:
                return ""
            wanted = ("ready 1.0", "nats_connected 1.0", 'check_failing{check="database"} 0.0')
            return text if all(f"lykta_access_control_{one}" in text for one in wanted) else ""

        text = await eventually(scraped, 30, "a ready process")
    assert "lykta_access_control_certificate_expiry_timestamp_seconds 1" in text
